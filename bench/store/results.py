"""The result store of one output folder: append-only records, gold labels, readable copies of the sets."""

from __future__ import annotations

import base64
import os
import zlib
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout

from bench.errors import UserError
from bench.store.check import GoldLabels, decode, parse_record, rescored, sealed
from bench.store.code import code_digest
from bench.store.files import check_schema, explained, read_json, regular_file, write_json
from bench.store.identity import canonical

if TYPE_CHECKING:
    import numpy as np

Record = dict[str, Any]
SHOWN_ROWS = 200  # of a distilled set, copied to the output folder for reading; the whole set is in the cache


def canonical_order(record: Record) -> tuple[Any, ...]:
    """Sort key: task, dpc (all data last), student, method, set, run."""
    dpc = record["dpc"]
    names = (record[kind]["label"] for kind in ("task", "student", "method"))
    task, student, method = names
    return (task, dpc is None, dpc or 0, student, method, record["set"], record["run"], record["key"])


def _names(cell: dict[str, Any]) -> tuple[Any, ...]:
    return (cell["task"], cell["method"], cell["student"], cell["dpc"])


def encode_predictions(labels: np.ndarray) -> dict[str, Any]:
    """Predicted labels, int [n], as compressed JSON-safe text."""
    import numpy as np

    small = np.asarray(labels).astype(np.min_scalar_type(int(np.max(labels, initial=0))))
    data = base64.b64encode(zlib.compress(small.tobytes(), 9)).decode("ascii")
    return {"n": len(small), "dtype": small.dtype.name, "data": data}


def decode_predictions(record: Record) -> np.ndarray:
    """The predicted labels of a record, int64 [n]."""
    return decode(record["predictions"])


class ResultStore:
    """`OUT/results/records.jsonl` and what belongs to it. One writer at a time; readers need no lock.

    A record is one line, appended by one write and synced, with its predictions: a replicate is there or
    it is not. A last line without its end (a crash in the middle of a write) is dropped by the next writer.
    """

    def __init__(self, out: Path, mode: Literal["r", "w"] = "r") -> None:
        self.out = out
        self.folder = out / "results"
        self.path = self.folder / "records.jsonl"
        self.said: list[str] = []  # what the user should hear of the records; whoever passes it on empties it
        self._gold = GoldLabels(self.folder / "tasks")
        self._held: set[int] = set()  # hashes of lines that were checked
        self._rescored: dict[int, dict[str, float]] = {}  # hash of a line -> its metrics by today's code
        self._mode = mode
        self._lock: FileLock | None = None
        if mode == "w":
            self._open_for_writing()
        elif self.folder.exists():
            check_schema(self.folder, "the results in", "use another output folder, or the bench that wrote it")

    def _open_for_writing(self) -> None:
        with explained(self.out):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "writer.lock", timeout=0)
            try:
                lock.acquire()
            except Timeout:
                raise UserError(
                    f"another bench is writing to {self.out}: wait for it, or give this one its own --out"
                ) from None
            self._lock = lock
            try:
                check_schema(self.folder, "the results in", "use another output folder, or the bench that wrote it")
                self._drop_torn_end()
            except BaseException:
                lock.release()
                raise

    def _drop_torn_end(self) -> None:
        if not self.path.exists():
            return
        with open(self.path, "r+b") as file:
            content = file.read()
            if content and not content.endswith(b"\n"):
                file.truncate(content.rfind(b"\n") + 1)

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> ResultStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def append(self, record: Record) -> None:
        """Add one record, wholly or not at all."""
        if self._lock is None:
            raise RuntimeError("the store is not open for writing")
        line = sealed(canonical(record).encode()) + b"\n"
        with explained(self.out):
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                before = os.fstat(fd).st_size
                try:
                    if os.write(fd, line) != len(line):
                        raise OSError(28, "No space left on device")
                    os.fsync(fd)
                except OSError:
                    os.ftruncate(fd, before)
                    raise
            finally:
                os.close(fd)

    def records(self) -> list[Record]:
        """The last record of every key, in canonical order.

        Each is checked once a process: its form, and its score against its predictions and the gold labels. A score
        of an older `bench.metrics` is replaced by today's, and `said` gets a line. UserError names what is damaged.
        """
        if not self.path.exists():
            return []
        content = regular_file(self.path, "the file of records").read_bytes()
        latest: dict[str, tuple[int, bytes, Record]] = {}
        damaged: dict[int, str] = {}
        for number, line in enumerate(content[: content.rfind(b"\n") + 1].split(b"\n")[:-1], start=1):
            try:
                record = parse_record(line)
            except (ValueError, RecursionError) as error:
                damaged[number] = str(error)
                continue
            latest[record["key"]] = (number, line, record)
        for number, line, record in latest.values():
            try:
                self._check_score(hash(line), record)
            except ValueError as error:
                damaged[number] = str(error)
        if damaged:
            self._refuse(damaged)
        return sorted((record for _, _, record in latest.values()), key=canonical_order)

    @cached_property
    def _metrics_code(self) -> str:
        return code_digest("bench.metrics")

    def _check_score(self, line: int, record: Record) -> None:
        if record["status"] == "ok" and line not in self._held:
            revision = record["task"]["revision"]
            if self._gold.of(revision) is None:
                if self._mode == "r":
                    raise self._no_task(revision)
                return  # the run that holds the store writes the file
            now = rescored(record, self._gold, self._metrics_code)
            if now is not None:
                if not self._rescored:
                    self.said.append(f"{self.path}: scores of another version are computed anew from the predictions")
                self._rescored[line] = now
            self._held.add(line)
        if line in self._rescored:
            record["metrics"] = dict(self._rescored[line])
            record["score"] = record["metrics"][record["metric"]]

    def _refuse(self, damaged: dict[int, str]) -> None:
        first, *others = sorted(damaged)
        more = f"; so are lines {', '.join(map(str, others[:20]))}{' ...' * (len(others) > 20)}" if others else ""
        lines = "those lines" if others else "that line"
        gold = (
            "" if str(self._gold.folder) not in damaged[first] else " (or that file, when it is the one that changed)"
        )
        raise UserError(
            f"{self.path} line {first} is damaged ({damaged[first]}){more}: "
            f"delete {lines}{gold} and run again to compute it anew"
        )

    def put_plan(self, suite: str, cells: list[dict[str, Any]]) -> None:
        """Note the planned cells; one with the same names but another key replaces the older one."""
        known = {(cell["suite"], *_names(cell)): cell for cell in self.cells()}
        changed = False
        for cell in cells:
            name = (suite, *_names(cell))
            old = known.get(name)
            if old is not None and old["key"] == cell["key"]:
                replicates = list(dict.fromkeys([*old["replicates"], *cell["replicates"]]))
            else:
                replicates = list(cell["replicates"])
            new = {**cell, "suite": suite, "replicates": replicates}
            changed |= new != old
            known[name] = new
        if changed:
            write_json(self.folder / "plan.json", list(known.values()))

    def cells(self) -> list[dict[str, Any]]:
        """Every planned cell: suite, key, names, dpc and the keys of its replicates."""
        path = self.folder / "plan.json"
        found: list[dict[str, Any]] = read_json(path) if path.exists() else []
        return found

    def task(self, revision: str) -> dict[str, Any]:
        """Fields, label names, metric and gold labels of a task revision."""
        if self._gold.of(revision) is None:
            raise self._no_task(revision)
        found: dict[str, Any] = read_json(self._gold.path(revision))
        return found

    def has_task(self, revision: str) -> bool:
        """Whether the description of a task revision is there."""
        return self._gold.path(revision).exists()

    def _no_task(self, revision: str) -> UserError:
        return UserError(f"{self._gold.path(revision)} is missing: run the same `bench run` again to write it anew")

    def put_task(self, revision: str, description: dict[str, Any]) -> None:
        if not self.has_task(revision):
            write_json(self._gold.path(revision), description)

    def set(self, set_key: str) -> dict[str, Any] | None:
        """The readable copy of a distilled set, or None."""
        path = self.out / "sets" / f"{set_key}.json"
        if not path.exists():
            return None
        found: dict[str, Any] = read_json(path)
        return found

    def reports(self, set_key: str) -> list[dict[str, Any]]:
        """What the artifacts that a set was made of tell of themselves: facts, curves, texts (see docs/plugins.md)."""
        keys = (self.set(set_key) or {}).get("reports", [])
        paths = [self.out / "reports" / f"{key}.json" for key in keys]
        return [read_json(path) for path in paths if path.exists()]

    def put_set(self, set_key: str, description: dict[str, Any]) -> None:
        """Keep a readable copy of a set, and the reports of what it was made of, once each."""
        reports = description.get("reports", {})
        description = {**description, "reports": list(reports)}
        for key, report in reports.items():
            if not (self.out / "reports" / f"{key}.json").exists():
                write_json(self.out / "reports" / f"{key}.json", report)
        path = self.out / "sets" / f"{set_key}.json"
        if not path.exists():
            write_json(path, description)
