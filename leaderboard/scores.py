"""The scores of a row's replicates, run by run and test row by test row."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

Groups = tuple[int, ...]  # number of the group of each replicate
Replicate = tuple[int, ...]  # what pairs two rows: (base seed, set index, run index)


class Hits:
    """A table of true and false [n, I] at a bit each."""

    def __init__(self, table: np.ndarray) -> None:
        self.shape = table.shape
        self._bits = np.packbits(table, axis=1)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or bool, copy=False)

    def __getitem__(self, places: list[int] | slice) -> np.ndarray:
        """Rows of the table, bool [k, I]."""
        return np.unpackbits(self._bits[places], axis=1, count=self.shape[1]).view(bool)


@dataclass(frozen=True, eq=False)
class Scores:
    """n replicates in ascending order; `items` [n, I]: their scores on single test rows, None when these are not known.

    sets: the name of the set that each trained on. The means of `items` are `scores`, float64 [n]. preparations: number
    of what each one's set shares with others, such as a trained generator; empty where sets stand for themselves.
    """

    replicates: tuple[Replicate, ...]
    sets: tuple[str, ...]
    scores: np.ndarray
    items: np.ndarray | Hits | None = None
    preparations: tuple[int, ...] = ()
    _kept: dict[tuple[Groups, bool], np.ndarray] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, table: Mapping[Replicate, tuple[float, str]]) -> Scores:
        """Of replicate -> (score, name of its set)."""
        order = tuple(sorted(table))
        return cls(order, tuple(table[each][1] for each in order), np.array([table[each][0] for each in order], float))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scores):
            return NotImplemented
        mine, others = ((each.replicates, each.sets, each.preparations) for each in (self, other))
        if mine != others or not np.array_equal(self.scores, other.scores):
            return False
        if self.items is None or other.items is None:
            return self.items is other.items
        return np.array_equal(self.items, other.items)

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.replicates)

    def values(self, places: Sequence[int], items: bool) -> np.ndarray:
        """Of the replicates at these places, on single test rows [k, I] or as a whole [k, 1]."""
        if not items:
            return self.scores[list(places), None]
        assert self.items is not None
        found: np.ndarray = self.items[:] if len(places) == len(self) else self.items[list(places)]
        return found

    @property
    def units(self) -> Sequence[Hashable]:
        """What each replicate is an observation of: its preparation where there are several, or else its set."""
        return self.preparations or self.sets

    @cached_property
    def groups(self) -> Groups:
        """Number of the unit of each replicate."""
        return tuple(numbered(self.units))

    @property
    def n_units(self) -> int:
        """Different ones."""
        return max(self.groups, default=-1) + 1

    @cached_property
    def n_sets(self) -> int:
        """Different ones."""
        return len(set(self.sets))

    def means(self, places: Sequence[int], groups: Groups, items: bool) -> np.ndarray:
        """Means over the replicates at these places in each group, float64 [G, I] or [G, 1].

        Those of all replicates are kept until `forget`.
        """
        if len(places) < len(self):
            return group_means(self.values(places, items), groups)
        if (groups, items) not in self._kept:
            self._kept[groups, items] = group_means(self.values(places, items), groups)
        return self._kept[groups, items]

    def forget(self) -> None:
        """Give the memory of `means` back."""
        self._kept.clear()

    def by_unit(self, items: bool) -> np.ndarray:
        """Means over the runs of each unit, float64 [S, I] or [S, 1]."""
        return group_means(self.values(range(len(self)), items), self.groups)


def numbered(names: Iterable[Hashable]) -> list[int]:
    """A number for each name, 0 for the first one, the same for equal ones."""
    known: dict[Hashable, int] = {}
    return [known.setdefault(name, len(known)) for name in names]


def connected(members: Sequence[Set[Hashable]]) -> list[int]:
    """A number for each, the same for those that a chain of shared elements connects."""
    found: list[int] = []
    first: dict[Hashable, int] = {}
    for place, mine in enumerate(members):
        known = {first[each] for each in mine if each in first}
        number = min(known, default=place)
        if len(known) > 1:
            found = [number if old in known else old for old in found]
            first = {each: number if old in known else old for each, old in first.items()}
        first |= dict.fromkeys(mine, number)
        found.append(number)
    return found


def group_means(values: np.ndarray, groups: Sequence[int]) -> np.ndarray:
    """Means of the rows of values [n, I] in each group 0..G-1: float64 [G, I]."""
    order, counts = np.argsort(groups, kind="stable"), np.bincount(groups)
    # Sums in one order, whatever the machine and its threads: a product of matrices has no such order.
    sums = np.add.reduceat(values[order].astype(np.float64), np.cumsum(counts) - counts, axis=0)
    found: np.ndarray = sums / counts[:, None]
    return found
