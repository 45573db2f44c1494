"""The records as a pandas table, for an analysis of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.store.results import ResultStore, canonical_order
from leaderboard.box import box
from leaderboard.cells import gather

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "key",
    "cell",
    "suite",
    "status",
    "reason",
    "league",
    "dpc",
    "set",
    "run",
    "set_key",
    "set_digest",
    "near_test",
    "chosen_on",
    "preparation",
    "train_copies",
    "metric",
    "score",
    "n_train",
    "n_bytes",
)
MEMORIES = ("distil_memory", "student_memory")


def current(store: ResultStore) -> set[str]:
    """Keys of the records that the board counts: not those of an older code, base seed or revision of a task."""
    cells, _ = gather(store.records(), store.cells())
    return {record.key for cell in cells for record in cell.records}


def records_frame(store: ResultStore) -> pd.DataFrame:
    """One row a replicate, in canonical order: labels, indices, seeds, status, scores as fractions, seconds.

    `current`: whether the board counts it; records of an older code or base seed are no part of the same average. Its
    labels are those of its row on the board; one that stands in two rows, by two labels, is here twice.
    Columns of `metrics` are named `metrics.<name>`, those of `time` `time.<name>`; predictions are left out
    (`record.predictions.labels()` reads them from a record), and what a set was made of.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    cells, _ = gather(store.records(), store.cells())
    counted = [record for cell in cells for record in cell.records]
    shown = {record.key for record in counted}
    rest = (record for record in store.records() if record.key not in shown)
    for record in sorted([*counted, *rest], key=canonical_order):
        row: dict[str, Any] = {
            "task": record.task.label,
            "method": record.method.label,
            "student": record.student.label,
            "current": record.key in shown,
            "box": box(record),
        }
        row |= {name: getattr(record, name) for name in COLUMNS}
        row |= {f"seed.{name}": getattr(record.seed, name) for name in ("base", "run", "set")}
        row |= {f"metrics.{name}": value for name, value in record.metrics.items()}
        row |= {f"time.{name}": getattr(record.time, name) for name in ("distil_s", "finished", "student_s")}
        for name in MEMORIES:
            memory = getattr(record.time, name)
            row |= {f"time.{name}": memory and memory.process, f"time.{name}_gpu": memory and memory.gpu}
        rows.append(row)
    memories = [f"time.{name}{kind}" for name in MEMORIES for kind in ("", "_gpu")]
    counts = dict.fromkeys(
        ("dpc", "n_train", "n_bytes", "near_test", "preparation", "train_copies", *memories), "Int64"
    )
    return pd.DataFrame(rows).astype(counts) if rows else pd.DataFrame()
