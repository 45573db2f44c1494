"""What planned cells can tell apart, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.errors import UserError
from bench.store.labels import split
from leaderboard.board import Board
from leaderboard.figures import difference_text, percent
from leaderboard.names import labels
from leaderboard.resolution import (
    ITEMS,
    Design,
    Dimension,
    detectable,
    expected_spread,
    needed,
    spread_of_pair,
)
from leaderboard.row import Row
from leaderboard.statistics import FEWEST_SETS, paired_difference

WORDS: dict[Dimension, str] = {"sets": "sets a method", "runs": "runs a set", "items": "test rows"}
OF_PREPARED = WORDS | {"sets": "preparations a method", "runs": "replicates of each"}
Block = tuple[str, int | None, str]  # task, dpc, student


@dataclass(frozen=True)
class Planned:
    """A planned cell: how many different sets it has, and replicates in all; preparations: 0 where sets count."""

    task: str
    dpc: int | None
    student: str
    method: str
    sets: int
    replicates: int
    preparations: int = 0

    @property
    def units(self) -> int:
        """Independent observations."""
        return self.preparations or self.sets


def smallest(cells: Sequence[Planned], board: Board, items: Mapping[str, int]) -> list[tuple[str, ...]]:
    """A line for each block of two or more methods, and one for those of its methods that have several preparations;
    items: test rows of the tasks that are known.
    """
    lines: list[tuple[str, ...]] = []
    for block, members in _blocks(cells).items():
        task, dpc, student = block
        if dpc is None or len({cell.method for cell in members}) < 2:
            continue
        prepared = [cell for cell in members if cell.preparations]
        others = [cell for cell in members if not cell.preparations]
        for mine, what in ((others, "sets"), (prepared, "preparations")):
            if not mine or (mine is others and len(others) == 1):
                continue
            design = _design(mine, items.get(task, ITEMS))
            spread, source = expected_spread(board.rows, task, student, dpc, prepared=mine is prepared)
            rows = f"{design.items}" if task in items else f"{design.items} assumed"
            size = f"{design.sets}{' preparations' * (mine is prepared)} x {design.runs}"
            least = (
                percent(detectable(spread, design)) if design.sets >= FEWEST_SETS else f"nothing: fewer than 3 {what}"
            )
            lines.append((task, str(dpc), student, size, rows, least, source))
    return lines


def separations(wanted: str, cells: Sequence[Planned], board: Board, items: Mapping[str, int]) -> list[str]:
    """For each planned block that has earlier rows of both methods: what would separate them. wanted: `A,B`.

    Raises UserError when these are not two methods of the board.
    """
    names = _pair(wanted, board)
    lines = []
    for (task, dpc, student), members in _blocks(cells).items():
        rows = [_row(board, task, dpc, student, name) for name in names]
        if rows[0] is None or rows[1] is None:
            continue
        lines.append(f"{task} dpc {dpc} {student}: {_separation(rows[0], rows[1], members, items.get(task, ITEMS))}")
    if not lines:
        raise UserError(f"no planned cell has earlier results of both {names[0]} and {names[1]} in the output folder")
    return [f"\n{names[0]} less {names[1]}:", *lines]


def _separation(one: Row, other: Row, members: Sequence[Planned], items: int) -> str:
    difference, spread = paired_difference(one.scores, other.scores), spread_of_pair(one, other)
    if difference is None or spread is None:
        return "fewer than 3 earlier sets: nothing to go by"
    words = OF_PREPARED if difference.prepared else WORDS
    mine = [cell for cell in members if cell.method in (one.method, other.method)] or members
    if difference.prepared != any(cell.preparations for cell in mine):
        return f"{difference_text(difference)}; of another number of preparations than planned: nothing to go by"
    design = _design([cell for cell in mine if bool(cell.preparations) == difference.prepared], items)
    found = {dimension: needed(spread, design, difference.mean, dimension) for dimension in words}
    here = {dimension: getattr(design, dimension) for dimension in words}
    said = difference_text(difference)
    if all(found[dimension] == here[dimension] for dimension in words):
        return f"{said}; this plan separates such a difference in 8 of 10 cases or more"
    enough = [f"{n:,} {words[dimension]} (now {here[dimension]:,})" for dimension, n in found.items() if n is not None]
    return f"{said}; in 8 of 10 cases separated by {' or '.join(enough) or 'no larger number of one of these alone'}"


def _pair(wanted: str, board: Board) -> list[str]:
    known = list(dict.fromkeys((row.method, row.method_name) for row in board.rows))
    chosen = sorted(
        labels("method", split(wanted, wanted), known, "in the output folder"), key=[name for name, _ in known].index
    )
    if len(chosen) != 2:
        raise UserError(f"--separate {wanted}: name two methods of the output folder, as the board names them: A,B")
    return chosen


def _row(board: Board, task: str, dpc: int | None, student: str, method: str) -> Row | None:
    return next((row for row in board.rows if row.names == (task, student, dpc, method) and row.summary), None)


def _blocks(cells: Sequence[Planned]) -> dict[Block, list[Planned]]:
    found: dict[Block, list[Planned]] = {}
    for cell in cells:
        found.setdefault((cell.task, cell.dpc, cell.student), []).append(cell)
    return found


def _design(cells: Sequence[Planned], items: int) -> Design:
    """Of the method with most sets (or preparations); a deterministic one has one, and is compared over the other's."""
    most = max(cells, key=lambda cell: cell.units)
    return Design(most.units, most.replicates // most.units, items)
