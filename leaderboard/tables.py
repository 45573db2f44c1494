"""The tables of a board, the same for markdown and page: heads, cells and what their lines are sorted by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.board import LEAGUES, Board, Overview, Row, overviews
from leaderboard.columns import Column, Kind, Shown, View, columns, plain
from leaderboard.figures import NOTHING, percent, short_score

UNRANKED = "No league yet"


@dataclass(frozen=True)
class Cell:
    """One cell; `order` is what its column sorts by, None stays last."""

    shown: Shown
    kind: Kind = "number"
    order: float | None = None


@dataclass(frozen=True)
class Table:
    """Heads (text, kind), a line of cells a row, and perhaps one line that stays at the foot."""

    title: str
    heads: tuple[tuple[str, Kind], ...]
    lines: tuple[tuple[Cell, ...], ...]
    foot: tuple[Cell, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Section:
    """The rows of one league, task and student."""

    league: str
    task: str
    student: str
    rows: tuple[Row, ...]

    @property
    def league_title(self) -> str:
        return league_title(self.league)


def league_title(league: str) -> str:
    """`A: text, hard labels`."""
    return f"{league}: {LEAGUES.get(league, 'other')}"


def sections(board: Board) -> list[Section]:
    """In reading order, of the rows with a league."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in board.rows:
        if row.league is not None:
            groups.setdefault((row.league, row.task, row.student), []).append(row)
    return [Section(*place, tuple(rows)) for place, rows in groups.items()]


def _cell(column: Column, board: Board, row: Row) -> Cell:
    return Cell(column.shown(board, row), column.kind, column.order(board, row))


def _table(view: View, title: str, board: Board, rows: Sequence[Row]) -> Table:
    mine = [column for column in columns(view) if column.when(board, rows)]
    return Table(
        title,
        tuple((column.heading(board, rows), column.kind) for column in mine),
        tuple(tuple(_cell(column, board, row) for column in mine) for row in rows),
    )


def details(board: Board, section: Section) -> Table:
    """All columns of a section's rows."""
    return _table("details", f"{section.task}, {section.student}", board, section.rows)


def unranked(board: Board) -> Table | None:
    """The rows without a league: nobody has seen yet what their sets are, or their replicates disagree."""
    rows = [row for row in board.rows if row.league is None]
    return _table("unranked", UNRANKED, board, rows) if rows else None


def _short(row: Row | None) -> Cell:
    return Cell(plain(short_score(row)), order=row.summary.mean if row is not None and row.summary else None)


def _overview(table: Overview) -> Table:
    many = len(table.columns) > 1
    heads: list[tuple[str, Kind]] = [("method", "name")]
    heads += [(f"{task} {dpc}", "number") for task, dpc in table.columns]
    lines = []
    for method, cells, mean in table.rows:
        shown = plain(NOTHING) if mean is None else Shown((("strong", percent(mean)),))
        tail = [Cell(shown, order=mean)] if many else []
        lines.append((Cell(plain(method), "name"), *map(_short, cells), *tail))
    foot = [Cell(plain("all data"), "name"), *(_short(table.full.get(task)) for task, _ in table.columns)]
    foot += [Cell(plain(""))] if many else []
    left_out = ", ".join(table.left_out) if many else ""
    return Table(
        f"Overview: {table.student}, league {table.league} ({LEAGUES.get(table.league, 'other')})",
        (*heads, ("mean", "number")) if many else tuple(heads),
        tuple(lines),
        tuple(foot) if table.full else (),
        f"No mean, because a cell is missing or incomplete: {left_out}." if left_out else "",
    )


def overview_tables(board: Board) -> list[Table]:
    """Methods x (task, dpc), one table a league and student; the rows of all data at their foot."""
    return [_overview(table) for table in overviews(board) if table.rows]
