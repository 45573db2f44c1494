"""Which cells of some results a board shows. What is not shown stays in every comparison."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bench.errors import UserError
from bench.store.record import Kind
from leaderboard.cells import CellRecords, Names
from leaderboard.names import labels

PLACES: dict[Kind, int] = {"task": 0, "student": 1, "method": 3}  # in `Names`


@dataclass(frozen=True)
class Scope:
    """Labels or plugin names as they were typed, and dpc; an empty one stands for all there are."""

    tasks: tuple[str, ...] = ()
    students: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    dpcs: tuple[int, ...] = ()

    def compared(self, cells: Sequence[CellRecords]) -> list[CellRecords]:
        """The cells of its tasks and students, whose methods are compared. UserError for a name that none has."""
        return _named(_named(cells, "task", self.tasks), "student", self.students)

    def shown(self, cells: Sequence[CellRecords]) -> set[Names]:
        """Those to show of the compared cells: its methods at its dpc; all data and no data have no dpc, and stay."""
        mine = _named(cells, "method", self.methods)
        known = {cell.names[2] for cell in mine}
        for dpc in self.dpcs:
            if dpc not in known:
                there = ", ".join(str(each) for each in sorted(each for each in known if each is not None))
                raise UserError(f"no dpc {dpc} among these rows; they have {there or 'none'}")
        return {cell.names for cell in mine if not self.dpcs or cell.names[2] in (None, *self.dpcs)}

    def places(self, known: Collection[tuple[str, str]]) -> dict[str, int]:
        """The place of each method among the chosen ones, empty when none was. known: (label, plugin name) of all."""
        names = reversed(list(enumerate(self.methods)))
        return {label: place for place, name in names for label in labels("method", [name], known, "in these results")}

    def by_kind(self) -> dict[str, tuple[str, ...]]:
        """What was chosen: option of `bench leaderboard` -> its values."""
        kinds = {"task": self.tasks, "student": self.students, "method": self.methods, "dpc": self.dpcs}
        return {kind: tuple(map(str, values)) for kind, values in kinds.items() if values}


def _named(cells: Sequence[CellRecords], kind: Kind, wanted: Sequence[str]) -> list[CellRecords]:
    """The cells whose task, student or method (`kind`) has one of these labels or names."""
    if not wanted:
        return list(cells)
    place = PLACES[kind]
    known = [(str(cell.names[place]), cell.plugin(kind)) for cell in cells]
    chosen = labels(kind, wanted, known, "in these results")
    return [cell for cell in cells if cell.names[place] in chosen]
