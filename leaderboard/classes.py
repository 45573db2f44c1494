"""Per-class results of a section's rows, as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leaderboard.cells import counted
from leaderboard.confusion import Confusion, class_names, collapse_text
from leaderboard.figures import NOTHING, percent
from leaderboard.row import Row
from leaderboard.tables import Place


@dataclass(frozen=True)
class ClassTable:
    """A row's matrix: a line a gold class with the shares of the predicted ones, recall, precision, F1 and test rows.

    `hit`: place of the share that is right in each line; None for the line of all classes that are not shown.
    """

    title: str
    note: str
    collapsed: str
    heads: tuple[str, ...]
    lines: tuple[tuple[str, int | None, tuple[str, ...]], ...]
    at: Place


def _percents(values: np.ndarray) -> list[str]:
    return [NOTHING if np.isnan(value) else percent(value) for value in values]


def _note(row: Row, found: Confusion) -> str:
    """What is not in the matrix; nothing when all is."""
    parts = []
    if found.counted < row.planned:
        parts.append(f"{found.counted} of {counted(row.planned, 'replicate')} counted: the others have no predictions")
    if len(found.shown) < len(found.names):
        parts.append(f"the {len(found.shown)} of {len(found.names)} classes with most errors")
    return "; ".join(parts)


def class_table(row: Row, found: Confusion) -> ClassTable:
    """The texts of a row's matrix, in percent with one decimal."""
    names = class_names(found.names, found.shown)
    tests = found.gold // found.counted
    figures = np.stack([found.recall, found.precision, found.f1])
    lines: list[tuple[str, int | None, tuple[str, ...]]] = []
    for place, shares in enumerate(found.shares):
        if place < len(found.shown):
            label = found.shown[place]
            tail = [*_percents(figures[:, label]), str(tests[label])]
        else:
            tail = [NOTHING] * 3 + [str(tests.sum() - tests[list(found.shown)].sum())]
        lines.append((names[place], place if place < len(found.shown) else None, (*_percents(shares), *tail)))
    size = "no data" if row.size == "none" else "all data" if row.dpc is None else f"dpc {row.dpc}"
    return ClassTable(
        title=f"{size}, {row.method}",
        note=_note(row, found),
        collapsed=collapse_text(found),
        heads=(*names, "recall", "precision", "F1", "test rows"),
        lines=tuple(lines),
        at=(("dpc", row.size), ("method", row.method)),
    )


def class_tables(rows: Sequence[Row]) -> list[ClassTable]:
    """Of the rows whose task has its card."""
    return [class_table(row, row.confusion) for row in rows if row.confusion is not None]
