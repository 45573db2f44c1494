"""Two result folders cell by cell: did a change of code, library or machine move anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.store.record import Record
from bench.store.results import ResultStore
from leaderboard.board import Board, board_of
from leaderboard.cells import CellRecords, Names, gather, replicate_of
from leaderboard.statistics import Difference, paired_difference

Verdict = Literal["same", "moved", "not separated", "undecided"]


@dataclass(frozen=True)
class Move:
    """A cell that both folders have. Counts are of replicates that both finished.

    difference: the second folder's scores less the first's, paired by replicate.
    """

    names: Names
    replicates: int
    equal: int  # with the same label for every test row
    equal_sets: int | None  # trained on sets of equal content; None: older records, which do not say
    difference: Difference | None

    @property
    def verdict(self) -> Verdict:
        if self.equal == self.replicates:
            return "same"
        if self.difference is None or self.difference.verdict == "undecided":
            return "undecided"
        return "moved" if self.difference.verdict in ("above", "below") else "not separated"


@dataclass(frozen=True)
class Moves:
    """Cells in the order of the first folder, those that one folder alone has, and what else differs."""

    cells: tuple[Move, ...]
    alone: tuple[tuple[str, ...], tuple[str, ...]]
    other_data: tuple[str, ...]  # tasks with other rows or gold labels: their cells are compared with nothing
    environment: tuple[str, ...]  # one line a name whose values differ


def moves(one: ResultStore, other: ResultStore) -> Moves:
    """Compare the cells that the boards of two folders count."""
    boards = (board_of(one), board_of(other))
    cells = [
        {
            cell.names: cell
            for cell in gather(store.records(), store.cells())[0]
            if any(r.finished for r in cell.records)
        }
        for store in (one, other)
    ]
    both = [row.names for row in boards[0].rows if row.names in cells[0] and row.names in cells[1]]
    revisions = [{names: cell.records[0].task.revision for names, cell in mine.items()} for mine in cells]
    changed = [
        names
        for names in both
        if one.task(revisions[0][names]).test_labels != other.task(revisions[1][names]).test_labels
    ]
    return Moves(
        cells=tuple(_move(names, cells[0][names], cells[1][names], boards) for names in both if names not in changed),
        alone=(_alone(boards[0], cells[1]), _alone(boards[1], cells[0])),
        other_data=tuple(dict.fromkeys(names[0] for names in changed)),
        environment=tuple(_environment(*(_versions(mine.values()) for mine in cells))),
    )


def _move(names: Names, mine: CellRecords, theirs: CellRecords, boards: tuple[Board, Board]) -> Move:
    known = {replicate_of(record): record for record in theirs.records if record.finished}
    pairs = [
        (record, known[replicate_of(record)])
        for record in mine.records
        if record.finished and replicate_of(record) in known
    ]
    rows = [next(row for row in board.rows if row.names == names) for board in boards]
    return Move(
        names,
        len(pairs),
        sum(_labels(a) == _labels(b) for a, b in pairs),
        _equal_sets(pairs),
        paired_difference(rows[1].scores, rows[0].scores),
    )


def _equal_sets(pairs: Sequence[tuple[Record, Record]]) -> int | None:
    if any(record.set_digest is None for pair in pairs for record in pair):
        return None
    return sum(a.set_digest == b.set_digest for a, b in pairs)


def _labels(record: Record) -> bytes:
    assert record.predictions is not None, "a finished record has predictions"
    return record.predictions.labels().tobytes()


def _alone(board: Board, others: Mapping[Names, CellRecords]) -> tuple[str, ...]:
    return tuple(row.name for row in board.rows if row.summary is not None and row.names not in others)


def _versions(cells: Iterable[CellRecords]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for cell in cells:
        for record in cell.records:
            for name, value in record.environment.items():
                found.setdefault(name, set()).add(str(value))
    return found


def _environment(mine: Mapping[str, set[str]], theirs: Mapping[str, set[str]]) -> list[str]:
    lines = []
    for name in sorted({*mine, *theirs}):
        a, b = (", ".join(sorted(each.get(name, set()))) or "not noted" for each in (mine, theirs))
        if a != b:
            lines.append(f"{name}: {a}; {b}")
    return lines
