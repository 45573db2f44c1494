"""What the page can be filtered by, and the short marks by which its script finds what belongs to a choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from leaderboard.board import Board
from leaderboard.tables import Facet, Place

FACETS: tuple[Facet, ...] = ("task", "dpc", "student", "method")
SEARCHED = 12  # options from which on a search box stands above them


@dataclass(frozen=True)
class Filter:
    """One facet with all its values on the board, each with its mark: `m0`, `m1`, ..."""

    facet: Facet
    marks: dict[str, str]

    @property
    def searched(self) -> bool:
        """Whether there are so many values that one should be able to search among them."""
        return len(self.marks) >= SEARCHED


def _size_order(size: str) -> tuple[bool, int, str]:
    return (not size.isdecimal(), int(size) if size.isdecimal() else 0, size)


def filters(board: Board) -> list[Filter]:
    """Each facet with its values in reading order."""
    sizes = sorted({row.size for row in board.rows}, key=_size_order)
    values = {"task": board.tasks, "dpc": sizes, "student": board.students, "method": sorted(board.methods)}
    return [Filter(facet, {value: f"{facet[0]}{i}" for i, value in enumerate(values[facet])}) for facet in FACETS]


def marker(found: list[Filter]) -> Callable[[Place], str]:
    """What writes a place as its marks, `d0 m2`. A value that no row has gets none: nothing filters by it."""
    known = {(each.facet, value): mark for each in found for value, mark in each.marks.items()}

    @cache
    def marks(place: Place) -> str:
        return " ".join(known[part] for part in place if part in known)

    return marks
