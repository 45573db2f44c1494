"""The tables of a board, the same for markdown and page: heads, cells and what their lines are sorted by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from leaderboard.board import Board
from leaderboard.columns import Column, Kind, Shown, Style, View, columns, plain
from leaderboard.figures import NOTHING, OTHER_SETS, box_mark, mean_ranks_text, percent, rank_text, short_score
from leaderboard.mean_ranks import MeanRanks, over_tasks
from leaderboard.overview import Overview, overviews
from leaderboard.row import LEAGUES, Row, dpc_order
from leaderboard.transfer import Line, Transfer, transfers

UNRANKED = "No league yet"
TRANSFER = "Transfer: the same sets under several students"
Facet = Literal["task", "dpc", "student", "method"]
Place = tuple[tuple[Facet, str], ...]  # what a line, a column or a table is of: what a page can filter by


@dataclass(frozen=True)
class Cell:
    """One cell; `order` is what its column sorts by, None stays last."""

    shown: Shown
    kind: Kind = "number"
    order: float | None = None


@dataclass(frozen=True)
class Table:
    """Heads (text, kind), a line of cells a row, and perhaps some that stay at the foot.

    For a page: the places of the table, of each line, of each column and of each foot, and the columns that it folds
    or sorts upwards.
    """

    title: str
    heads: tuple[tuple[str, Kind], ...]
    lines: tuple[tuple[Cell, ...], ...]
    feet: tuple[tuple[Cell, ...], ...] = ()
    note: str = ""
    at: Place = ()
    lines_at: tuple[Place, ...] = ()
    heads_at: tuple[Place, ...] = ()
    feet_at: tuple[Place, ...] = ()
    folded: frozenset[int] = frozenset()
    upwards: frozenset[int] = frozenset()  # columns that the first click sorts from the lowest on
    ranks: MeanRanks | None = None  # of an overview of several tasks


@dataclass(frozen=True)
class Section:
    """The rows of one league, task and student."""

    league: str
    task: str
    student: str
    rows: tuple[Row, ...]

    @property
    def dpcs(self) -> list[int]:
        """In ascending order."""
        return sorted({row.dpc for row in self.rows if row.dpc is not None})

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


def _reference_cell(column: Column, board: Board, row: Row, beside: Row) -> Cell:
    """The cell of a row of another league: marked, and silent where the row would be compared."""
    if column.compares:
        return Cell(plain(NOTHING), column.kind)
    cell = _cell(column, board, row)
    if column.kind != "name":
        return cell
    student = "" if row.student == beside.student else f", {row.student}"
    mark: tuple[Style, str] = ("soft", f" (reference, league {row.league}{student})")
    return replace(cell, shown=replace(cell.shown, pieces=(*cell.shown.pieces, mark)))


def _place(row: Row, *facets: Facet) -> Place:
    known: dict[Facet, str] = {"task": row.task, "dpc": row.size, "student": row.student, "method": row.method}
    return tuple((facet, known[facet]) for facet in facets)


def _table(
    view: View,
    title: str,
    board: Board,
    rows: Sequence[Row],
    references: Sequence[Row] = (),
    at: Sequence[Facet] = (),
    lines_at: Sequence[Facet] = ("dpc", "method"),
) -> Table:
    """references: rows of another league; each stands behind the rows of its dpc. at: what all rows share."""
    mine = [column for column in columns(view) if column.when(board, rows)]
    lines = [(row, tuple(_cell(column, board, row) for column in mine)) for row in rows]
    lines += [(row, tuple(_reference_cell(column, board, row, rows[0]) for column in mine)) for row in references]
    if references:
        lines.sort(key=lambda line: dpc_order(line[0].dpc))
    return Table(
        title,
        tuple((column.heading(board, rows), column.kind) for column in mine),
        tuple(cells for _, cells in lines),
        at=_place(rows[0], *at),
        lines_at=tuple(_place(row, *lines_at) for row, _ in lines),
        folded=frozenset(place for place, column in enumerate(mine) if column.folded),
        upwards=frozenset(place for place, column in enumerate(mine) if column.upwards),
    )


def details(board: Board, section: Section, view: View = "details") -> Table:
    """All columns of a section's rows, and of the references beside them; view: "page" for what a page folds too."""
    title = f"{section.task}, {section.student}"
    table = _table(view, title, board, section.rows, references(board, section), ("task", "student"))
    boxes = {row.box for row in section.rows if row.summary is not None}
    alike = next(iter(boxes), None) if len(boxes) == 1 else None
    said = f"All rows of league {section.league} here are {alike} boxes."
    return replace(table, note=said) if alike in ("white", "black") else table


def references(board: Board, section: Section) -> list[Row]:
    """The rows of another league that stand beside a section's, each once."""
    places = ((section.league, section.task, section.student, dpc) for dpc in [*section.dpcs, None])
    return list({row.names: row for place in places for row in board.references.get(place, ())}.values())


def unranked(board: Board) -> Table | None:
    """The rows without a league: nobody has seen yet what their sets are, or their replicates disagree."""
    rows = [row for row in board.rows if row.league is None]
    facets: tuple[Facet, ...] = ("task", "dpc", "student", "method")
    return _table("unranked", UNRANKED, board, rows, lines_at=facets) if rows else None


def _short(row: Row | None) -> Cell:
    return Cell(plain(short_score(row)), order=row.summary.mean if row is not None and row.summary else None)


def _overview(table: Overview, whole: Overview) -> Table:
    """whole: the same with the rows that are not shown by choice, which no mean rank leaves out."""
    many = len(table.columns) > 1
    heads: list[tuple[str, Kind]] = [("method", "name")]
    heads += [(f"{task} {dpc}", "number") for task, dpc in table.columns]
    lines = []
    for method, cells, mean in table.rows:
        shown = plain(NOTHING) if mean is None else Shown((("strong", percent(mean)),))
        tail = [Cell(shown, order=mean)] if many else []
        lines.append((Cell(plain(method), "name"), *map(_short, cells), *tail))
    rest = [Cell(plain(""))] if many else []
    feet = [
        (Cell(plain(name), "name"), *(_short(found.get(task)) for task, _ in table.columns), *rest)
        for name, found in table.ends.items()
    ]
    left_out = ", ".join(table.left_out) if many else ""
    notes = [f"No mean, because a cell is missing or incomplete: {left_out}."] if left_out else []
    if many and (ahead := _ahead(table)):
        notes.append(f"Of these, ahead of every row with a mean over the columns that they have: {', '.join(ahead)}.")
    ranks = over_tasks(whole)
    notes += [mean_ranks_text(ranks)] if ranks is not None else []
    return Table(
        f"Overview: {table.student}, league {table.league} ({LEAGUES.get(table.league, 'other')})",
        (*heads, ("mean", "number")) if many else tuple(heads),
        tuple(lines),
        tuple(feet),
        " ".join(notes),
        ranks=ranks,
    )


def _ahead(table: Overview) -> list[str]:
    """Methods without a mean whose own columns have a higher one than there for any method with a mean."""
    whole = [cells for _, cells, mean in table.rows if mean is not None]
    found = []
    for method, cells, _ in (row for row in table.rows if row[2] is None):
        places = [place for place, cell in enumerate(cells) if cell and cell.complete and not cell.outdated]
        own, *others = (_mean(line, places) for line in (cells, *whole))
        if places and others and own > max(others):
            found.append(f"{method} ({len(places)} of {len(table.columns)})")
    return found


def _mean(cells: Sequence[Row | None], places: Sequence[int]) -> float:
    found = [cell.summary.mean for place in places if (cell := cells[place]) and cell.summary]
    return sum(found) / len(found) if found else 0.0


def _placed(table: Table, of: Overview) -> Table:
    """The table of an overview with its places; a mean over columns, which may stand at the end, is of all of them."""
    columns: list[Place] = [(), *((("task", task), ("dpc", str(dpc))) for task, dpc in of.columns)]
    return replace(
        table,
        at=(("student", of.student),),
        lines_at=tuple((("method", method),) for method, _, _ in of.rows),
        heads_at=(*columns, *[()] * (len(table.heads) - len(columns))),
        feet_at=tuple((("dpc", row.size),) for found in of.ends.values() for row in [next(iter(found.values()))]),
    )


def overview_tables(board: Board) -> list[Table]:
    """Methods x (task, dpc), one table a league and student; the rows of all data, and of none, at their foot."""
    shown = overviews(board)
    whole = overviews(board, hidden=True) if board.hidden else shown
    return [_placed(_overview(*each), each[0]) for each in zip(shown, whole, strict=True) if each[0].rows]


def _under(row: Row | None, rank: tuple[int, int] | None) -> Cell:
    """A score with its mark, and the rank among the whole lines of a transfer table."""
    place: tuple[Style, str] = ("soft", f" ({rank_text(rank)})" if rank else "")
    cell = _short(row)
    return replace(cell, shown=Shown((("", f"{cell.shown}{box_mark(row)}"), place)))


def _method(line: Line) -> Cell:
    return Cell(plain(line.method if line.same_sets else f"{line.method} {OTHER_SETS}"), "name")


def _transfer(found: Transfer) -> Table:
    many = found.averaged
    heads: list[tuple[str, Kind]] = [("method", "name")]
    heads += [(f"{student} ({league})", "number") for league, student in found.students]
    heads += [("mean, black box", "number")] if many else []
    lines = []
    for line in found.lines:
        mean = Shown((("strong", NOTHING if line.mean is None else percent(line.mean)),))
        tail = [Cell(mean, order=line.mean)] if many else []
        lines.append((_method(line), *map(_under, line.rows, line.ranks), *tail))
    foot = (Cell(plain("all data"), "name"), *map(_short, found.full), *([Cell(plain(""))] if many else []))
    return Table(
        f"{found.task}, dpc {found.dpc}",
        tuple(heads),
        tuple(lines),
        (foot,) if any(found.full) else (),
        " ".join(_transfer_notes(found)),
        at=(("task", found.task), ("dpc", str(found.dpc))),
        lines_at=tuple((("method", line.method),) for line in found.lines),
        heads_at=((), *((("student", student),) for _, student in found.students), *([()] if many else [])),
        feet_at=((("dpc", "all"),),) if any(found.full) else (),
    )


def _transfer_notes(found: Transfer) -> list[str]:
    """What the reader of a transfer table has to know of its lines."""
    notes = []
    whole = [line for line in found.lines if not line.defects]
    names = [found.students[place][1] for place in found.outside]
    if whole and found.averaged:
        notes.append(f"The mean is over {', '.join(names)}: no ranked row is a white box under these.")
        unsure = [line.method for line in whole if line.mean is None]
        notes += [f"No mean, because its box is not known: {', '.join(unsure)}."] if unsure else []
    elif any(row is not None and row.box == "white" for line in whole for row in line.rows):
        notes.append(
            f"No mean over black-box students: {names[0]} alone in its league has no white box among the ranked rows."
            if names
            else "No mean over black-box students: each has a white box among the ranked rows."
        )
    defects = dict.fromkeys(defect for line in found.lines for defect in line.defects)
    named = [
        f"{defect}: {', '.join(each.method for each in found.lines if defect in each.defects)}" for defect in defects
    ]
    notes += [f"No rank and no mean ({'; '.join(named)})."] if named else []
    notes += [f"Scored under one of these students alone: {', '.join(found.alone)}."] if found.alone else []
    return notes


def transfer_tables(board: Board) -> list[Table]:
    """Methods x students on the same sets, one table a task and dpc; empty without a second student."""
    return [_transfer(found) for found in transfers(board)]
