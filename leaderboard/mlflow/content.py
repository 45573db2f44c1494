"""What MLflow is told: the content of the run of a replicate, and of the run of a cell. Nothing here loads mlflow."""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.store.identity import canonical
from bench.store.record import Kind, Record
from leaderboard.board import Board
from leaderboard.columns import columns
from leaderboard.figures import row_state, score_text
from leaderboard.row import Row

RUN_STATUS = {"ok": "FINISHED", "not_applicable": "FINISHED", "not_run": "KILLED"}  # all others: FAILED
KEY, CELL, STATUS, REASON, FINISHED = "bench.key", "bench.cell", "bench.status", "bench.reason", "bench.finished"
NOTE = "mlflow.note.content"


@dataclass(frozen=True)
class Content:
    """What stays for all time (`params`) and what may change (all else) of a run; times in milliseconds."""

    name: str
    params: dict[str, str]
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    status: str | None = None  # None: still runs
    start: int = 0
    end: int = 0

    @property
    def stamp(self) -> str:
        """Another one when what may change is another; a tag tells the times too."""
        return _stamp(self.metrics, self.tags, self.status)


def _stamp(*told: Any) -> str:
    return hashlib.sha256(canonical(told).encode()).hexdigest()


def _milliseconds(iso: str) -> int:
    try:
        moment = datetime.datetime.fromisoformat(iso)
    except ValueError:
        return int(time.time() * 1000)
    return int(moment.timestamp() * 1000)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)


def _params(record: Record) -> dict[str, str]:
    """`task`, `method`, `student` and each of their parameters."""
    params: dict[str, str] = {}
    kinds: tuple[Kind, ...] = ("task", "method", "student")
    for kind in kinds:
        plugin = record.plugin(kind)
        params[kind] = plugin.label
        params |= {f"{kind}.{name}": _text(value) for name, value in plugin.params.items()}
    params["dpc"] = "all" if record.dpc is None else str(record.dpc)
    return params | ({"metric": record.metric} if record.metric else {})


def _end(record: Record) -> int:
    return _milliseconds(record.time.finished)


def _start(record: Record) -> int:
    return _end(record) - int(1000 * record.time.student_s)


def _told(record: Record) -> tuple[dict[str, float], dict[str, str], str]:
    """Metrics, tags and status of the run of a replicate."""
    metrics = {} if record.score is None else {"score": record.score}
    metrics |= record.metrics | {"student_s": record.time.student_s}
    if record.time.distil_s is not None:
        metrics["distil_s"] = record.time.distil_s
    tags = {KEY: record.key, STATUS: record.status, FINISHED: record.time.finished, REASON: record.reason or ""}
    tags |= {"bench.set_key": record.set_key, "bench.suite": record.suite, "bench.of_cell": record.cell}
    tags |= {f"bench.seed.{name}": str(getattr(record.seed, name)) for name in ("base", "set", "run")}
    return metrics, tags, RUN_STATUS.get(record.status, "FAILED")


def replicate_stamp(record: Record) -> str:
    """`of_replicate(record).stamp`, in a tenth of the time."""
    return _stamp(*_told(record))


def of_replicate(record: Record) -> Content:
    """The run of one replicate; its parent is the run of its cell."""
    metrics, tags, status = _told(record)
    params = _params(record) | {"set": str(record.set), "run": str(record.run)}
    name = f"set {record.set} run {record.run}"
    return Content(name, params, metrics, tags, status, start=_start(record), end=_end(record))


def of_cell(members: Sequence[Record]) -> Content:
    """The run of a cell before its figures are told."""
    first = members[0]
    dpc = "all" if first.dpc is None else first.dpc
    return Content(
        name=f"{first.task.label} {first.method.label} dpc={dpc} {first.student.label}",
        params=_params(first),
        tags={CELL: first.cell, "bench.suite": first.suite},
        start=min(map(_start, members)),
        end=max(map(_end, members)),
    )


def with_figures(content: Content, board: Board, row: Row) -> Content:
    """The run of a cell with its figures on the board: fractions, seconds and counts."""
    values = {column.measure: column.value(board, row) for column in columns("mlflow")}
    shown = score_text(row.summary) if row.summary else row_state(row)
    failed = any(row.statuses[status] for status in ("failed", "timeout", "oom"))
    ended = failed or row.complete or not row.applicable  # a cell that still runs stays open
    tags = {NOTE: f"{shown}, {row.ok}/{row.planned} ok", REASON: row.reason or "", "bench.league": row.league or ""}
    tags["bench.box"] = row.box or ""
    return Content(
        name=content.name,
        params=content.params,
        metrics={name: float(value) for name, value in values.items() if value is not None},
        tags=content.tags | tags,
        status=("FAILED" if failed else "FINISHED") if ended else None,
        start=content.start,
        end=content.end,
    )
