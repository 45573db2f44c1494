"""`plan.json`: the planned cells of an output folder, one a line, so that a board can name what is missing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bench.errors import UserError
from bench.store.files import regular_file, write_atomic
from bench.store.record import PlannedCell
from bench.store.typed import reason

CELL = TypeAdapter(PlannedCell)
CELLS = TypeAdapter(list[PlannedCell])

Names = tuple[str, str, str, str, int | None]  # suite, task, method, student, dpc: one cell stands under them


class PlanFile:
    """Read once a process, and again when another process changed it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state: tuple[int, ...] = ()
        self._cells: dict[Names, PlannedCell] = {}

    def cells(self) -> list[PlannedCell]:
        """Every planned cell, in the order of planning. UserError for a damaged file."""
        state = self._now()
        if state != self._state:
            self._cells = {_names(cell): cell for cell in self._read()} if state else {}
            self._state = state
        return list(self._cells.values())

    def put(self, cells: Sequence[PlannedCell]) -> None:
        """Add cells: one with the same names and key as a known one adds replicates to it, with another it stands."""
        known = {_names(cell): cell for cell in self.cells()}
        for cell in cells:
            old = known.get(_names(cell))
            if old is not None and old.key == cell.key:
                both = tuple(dict.fromkeys((*old.replicates, *cell.replicates)))
                cell = old if both == old.replicates else replace(cell, replicates=both)
            known[_names(cell)] = cell
        if known == self._cells:
            return
        lines = b",\n".join(map(CELL.dump_json, known.values())).decode()
        write_atomic(self.path, f"[\n{lines}\n]\n")
        self._cells, self._state = known, self._now()

    def _now(self) -> tuple[int, ...]:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return ()
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def _read(self) -> list[PlannedCell]:
        try:
            return CELLS.validate_json(regular_file(self.path, "the file").read_bytes())
        except ValidationError as error:
            raise UserError(f"{self.path} is damaged ({reason(error)}); delete it and run again") from None


def _names(cell: PlannedCell) -> Names:
    return (cell.suite, cell.task, cell.method, cell.student, cell.dpc)
