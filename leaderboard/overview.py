"""Methods x (task, dpc) of one league and student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.board import Board
from leaderboard.row import Row


@dataclass(frozen=True)
class Overview:
    """Methods x (task, dpc) of one league and student; a mean over columns for rows without a hole only."""

    league: str
    student: str
    columns: tuple[tuple[str, int], ...]
    rows: tuple[tuple[str, tuple[Row | None, ...], float | None], ...]  # method, cells, mean or None
    left_out: tuple[str, ...]  # methods without a mean, because a cell is missing, incomplete or of another student
    ends: dict[str, dict[str, Row]]  # `zero-shot (no data)`, `all data`: rows without dpc, by task


def overviews(board: Board, hidden: bool = False) -> list[Overview]:
    """One table a league and student, best mean first; methods without a mean at the end.

    hidden: with the rows that are not shown by choice.
    """
    tables, rows = [], (*board.rows, *board.hidden) if hidden else board.rows
    for league in board.leagues:
        for student in sorted({row.student for row in board.rows if row.league == league}):
            mine = [row for row in rows if (row.league, row.student) == (league, student)]
            columns = tuple(dict.fromkeys((row.task, row.dpc) for row in mine if row.dpc is not None))
            cells = {(row.method, row.task, row.dpc): row for row in mine}
            found = []
            for method in dict.fromkeys(row.method for row in mine if row.dpc is not None):
                line = tuple(cells.get((method, *column)) for column in columns)
                fit = [row for row in line if row is not None and row.complete and not row.outdated]
                whole = [row.summary.mean for row in fit if row.summary]
                mean = sum(whole) / len(whole) if len(whole) == len(columns) else None
                found.append((method, line, mean))
            found.sort(key=lambda item: (item[2] is None, -(item[2] or 0.0), item[0]))
            tables.append(
                Overview(
                    league=league,
                    student=student,
                    columns=columns,
                    rows=tuple(found),
                    left_out=tuple(method for method, _, mean in found if mean is None),
                    ends=_ends(mine),
                )
            )
    return tables


def _ends(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """Those without dpc, all data last."""
    found: dict[str, dict[str, Row]] = {}
    for row in sorted((row for row in rows if row.dpc is None), key=lambda row: (row.is_full, row.method)):
        name = "all data" if row.is_full else f"{row.method} (no data)" if row.size == "none" else row.method
        found.setdefault(name, {})[row.task] = row
    return found
