"""The result store of one output folder: append-only records, gold labels, readable copies of the sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from filelock import FileLock, Timeout

from bench.errors import UserError
from bench.store.cards import Gold, TaskCards, set_cards
from bench.store.check import Wrong, by_revision, check
from bench.store.code import code_digest
from bench.store.collector import collector_paused
from bench.store.files import check_schema, explained, mark_schema, read_json, write_json
from bench.store.journal import Journal
from bench.store.line import is_record, line_of, parse_record
from bench.store.planned import PlanFile
from bench.store.pool import Pool
from bench.store.record import RECORD_SCHEMA, PlannedCell, Record, SetCard, TaskCard
from bench.store.upgrade import READABLE

SHOWN_ROWS = 200  # of a distilled set, copied to the output folder for reading; the whole set is in the cache


def canonical_order(record: Record) -> tuple[Any, ...]:
    """Sort key: task, dpc (all data last), student, method, set, run."""
    task, student, method = record.task.label, record.student.label, record.method.label
    return (task, record.dpc is None, record.dpc or 0, student, method, record.set, record.run, record.key)


class ResultStore:
    """`OUT/results/records.jsonl` and what belongs to it. One writer at a time; readers need no lock.

    A record is one line, synced with its predictions: a replicate is there or it is not. A last line without its end
    (a crash in the middle of a write) is dropped by the next writer. A folder of an older schema is read as it is; the
    next writer marks it, and adds lines of today's.
    """

    def __init__(self, out: Path, mode: Literal["r", "w"] = "r") -> None:
        self.out = out
        self.folder = out / "results"
        self.path = self.folder / "records.jsonl"
        self.said: list[str] = []  # what the user should hear of the records; whoever passes it on empties it
        self._journal = Journal(self.path, "the file of records")
        self._tasks = TaskCards(self.folder / "tasks")
        self._sets = set_cards(out / "sets")
        self._plan = PlanFile(self.folder / "plan.json")
        self._mode = mode
        self._lock: FileLock | None = None
        self._forget()
        if mode == "w":
            self._open_for_writing()
        else:
            self._check_schema()

    def _forget(self) -> None:
        self._lines = 0  # that were read
        self._pool = Pool()
        self._damaged: dict[int, str] = {}  # number of a line that is no record -> why
        self._latest: dict[str, tuple[int, Record]] = {}  # key -> number of its last line, record
        self._unchecked: dict[str, Record] = {}  # of these, whose score nobody compared yet
        self._wrong: dict[str, str] = {}  # of these, whose score is not that of the predictions -> why
        self._ordered: list[Record] | None = None

    def _check_schema(self) -> None:
        mend = "use another output folder, or the bench that wrote it"
        check_schema(self.folder, "the results in", mend, READABLE)

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
                self._check_schema()
                if cut := self._journal.mend_end(is_record):
                    self.said.append(f"{self.path}: the last line was cut short ({cut} bytes); it is left out")
                mark_schema(self.folder, RECORD_SCHEMA)
            except BaseException:
                lock.release()
                raise

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> ResultStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def append(self, *records: Record) -> None:
        """Add records, all or none; when this returns they are on the disk, by one sync."""
        if self._lock is None:
            raise RuntimeError("the store is not open for writing")
        if records:
            self._journal.append([line_of(record) for record in records])

    def records(self) -> list[Record]:
        """The last record of every key, in canonical order; the same objects at each call.

        Each line is read once a process, and checked: its form, its hash, and its score against its predictions and
        the gold labels. A score of an older `bench.metrics` is replaced by today's, and `said` gets a line. UserError
        names what is damaged.
        """
        with collector_paused():
            self._read()
            self._check_scores()
            if self._damaged or self._wrong:
                self._refuse()
            if self._ordered is None:
                self._ordered = sorted((record for _, record in self._latest.values()), key=canonical_order)
        return list(self._ordered)

    def _read(self) -> None:
        if not self._journal.is_continued():
            self._forget()
        for line in self._journal.news():
            self._lines += 1
            try:
                record = parse_record(line)
            except (ValueError, RecursionError) as error:
                self._damaged[self._lines] = str(error)
                continue
            self._pool.share(record)
            self._latest[record.key] = self._lines, record
            self._unchecked[record.key] = record
            self._wrong.pop(record.key, None)
            self._ordered = None

    @cached_property
    def _metrics_code(self) -> str:
        return code_digest("bench.metrics")

    def _check_scores(self) -> None:
        todo, left = self._unchecked, dict[str, Record]()
        for revision, records in by_revision(todo.values()).items():
            gold = self._tasks.gold(revision)
            if gold is None:
                if self._mode == "r":
                    raise self._no_task(revision)
                left |= {record.key: record for record in records}  # the run that holds the store writes the card
                continue
            for found in check(records, gold, self._metrics_code):
                if isinstance(found, Wrong):
                    self._wrong[found.record.key] = found.reason
                else:
                    self._latest[found.key] = self._latest[found.key][0], found
                    self._ordered = None
                    said = f"{self.path}: scores of another version are computed anew from the predictions"
                    if said not in self.said:
                        self.said.append(said)
        self._unchecked = left

    def _refuse(self) -> None:
        damaged = self._damaged | {self._latest[key][0]: reason for key, reason in self._wrong.items()}
        first, *others = sorted(damaged)
        more = f"; so are lines {', '.join(map(str, others[:20]))}{' ...' * (len(others) > 20)}" if others else ""
        lines = "those lines" if others else "that line"
        cards = str(self.folder / "tasks")
        gold = " (or that file, when it is the one that changed)" if cards in damaged[first] else ""
        raise UserError(
            f"{self.path} line {first} is damaged ({damaged[first]}){more}: "
            f"delete {lines}{gold} and run again to compute it anew"
        )

    def put_plan(self, cells: Sequence[PlannedCell]) -> None:
        """Note the planned cells; one with the same names but another key replaces the older one."""
        self._plan.put(cells)

    def cells(self) -> list[PlannedCell]:
        """Every planned cell, in the order of planning."""
        return self._plan.cells()

    def task(self, revision: str) -> TaskCard:
        """Fields, label names, metric and gold labels of a task revision."""
        gold = self._tasks.gold(revision)
        if gold is None:
            raise self._no_task(revision)
        return gold.card

    def gold(self, revision: str) -> Gold | None:
        """Gold labels of a task revision; None without its card."""
        return self._tasks.gold(revision)

    def has_task(self, revision: str) -> bool:
        """Whether the card of a task revision is there."""
        return self._tasks.path(revision).exists()

    def _no_task(self, revision: str) -> UserError:
        return UserError(f"{self._tasks.path(revision)} is missing: run the same `bench run` again to write it anew")

    def put_task(self, revision: str, card: TaskCard) -> None:
        """Keep the card of a task revision, unless one is there."""
        if not self.has_task(revision):
            self._tasks.write(revision, card)

    def set(self, set_key: str) -> SetCard | None:
        """The readable copy of a distilled set, or None."""
        return self._sets.read(set_key)

    def reports(self, set_key: str) -> list[dict[str, Any]]:
        """What the artifacts that a set was made of tell of themselves: facts, curves, texts (see docs/plugins.md)."""
        card = self.set(set_key)
        paths = [self._report(key) for key in card.reports] if card is not None else []
        return [read_json(path) for path in paths if path.exists()]

    def put_set(self, set_key: str, card: SetCard, reports: Mapping[str, Mapping[str, Any]]) -> bool:
        """Keep a readable copy of a set, and the reports of what it was made of (by their keys).

        True when it takes the place of a copy with other content, which older records trained on.
        """
        for key, report in reports.items():
            if not self._report(key).exists():
                write_json(self._report(key), report)
        before = self._sets.read(set_key)
        if before is None or before.set_digest != card.set_digest:
            self._sets.write(set_key, card)
        return before is not None and before.set_digest not in (None, card.set_digest)

    def _report(self, key: str) -> Path:
        return self.out / "reports" / f"{key}.json"
