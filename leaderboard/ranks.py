"""Which rows of a block are separated, and the ranks that this leaves open; many rows at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from leaderboard.crossed import Pairs, p_values, widths
from leaderboard.scores import Groups, Scores
from leaderboard.statistics import (
    FEWEST_SETS,
    LEVEL,
    NO_WIDTH,
    Correction,
    Verdict,
    common,
    holm,
    paired_difference,
)

Apart = list[tuple[int, int]]  # places of two rows that are separated, the higher one first


class Compared(NamedTuple):
    """Row `one` less row `other`. `higher`: whether it is separated above (or below); None for a tie."""

    one: int
    other: int
    higher: bool | None
    p: float

    @property
    def tied(self) -> bool:
        return self.higher is None


def rank_ranges(rows: Sequence[Scores], correction: Correction = "none") -> list[tuple[int, int]]:
    """`ranks_left` by comparing these rows, whose kept means are given back."""
    found = ranks_left(len(rows), apart(compare(rows, correction)))
    for row in rows:
        row.forget()
    return found


def ranks_left(n: int, apart: Apart) -> list[tuple[int, int]]:
    """Best and worst rank that separations leave open to each of n rows (1 = highest score).

    Best: 1 + the rows that are separated above it; worst: the number of rows less those separated below it.
    """
    lower, higher = [0] * n, [0] * n  # rows that are separated below it, above it
    for up, down in apart:
        lower[up] += 1
        higher[down] += 1
    return [(1 + above, n - below) for above, below in zip(higher, lower, strict=True)]


def compare(rows: Sequence[Scores], correction: Correction = "none") -> list[Compared]:
    """Each two of these rows, but for undecided pairs (`Difference.undecided`); correction: for all of them."""
    found = list(_compared(rows, p=correction != "none"))
    if correction == "none":
        return found
    adjusted = holm([each.p for each in found])
    return [each if p < 1 - LEVEL else each._replace(higher=None) for each, p in zip(found, adjusted, strict=True)]


def apart(compared: Sequence[Compared]) -> Apart:
    """The pairs that are separated."""
    return [(each.one, each.other) if each.higher else (each.other, each.one) for each in compared if not each.tied]


def to_best(n: int, compared: Sequence[Compared], best: int) -> list[Verdict]:
    """The verdict of each of n rows less row `best`; for `best` itself "tie", or "undecided" when all others are.

    "undecided" also where the two share no replicate.
    """
    found: list[Verdict] = ["undecided"] * n
    for each in compared:
        if best in (each.one, each.other):
            mine = each.other if each.one == best else each.one
            found[mine] = "tie" if each.tied else "above" if each.higher == (mine == each.one) else "below"
            found[best] = "tie"
    return found


def _compared(rows: Sequence[Scores], p: bool) -> Iterator[Compared]:
    """Each two rows that decide something. Rows with the same replicates and groups are compared many at once."""
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        alike[row.replicates].append(place)
    for members in alike.values():
        layouts = dict.fromkeys(rows[place].groups for place in members if rows[place].n_units > 1)
        for groups in layouts:
            mine = [place for place in members if rows[place].groups == groups]
            single = [place for place in members if rows[place].n_units == 1 and not rows[place].preparations]
            yield from _many(rows, mine, single, groups, p)
    for one, other in combinations(range(len(rows)), 2):
        a, b = rows[one], rows[other]
        if a.replicates != b.replicates or common(a.groups, b.groups) is None:
            difference = paired_difference(a, b)
            if difference is not None and not difference.undecided:
                verdict = difference.verdict
                yield Compared(one, other, None if verdict == "tie" else verdict == "above", difference.p)


def _many(
    rows: Sequence[Scores], mine: Sequence[int], single: Sequence[int], groups: Groups, p: bool
) -> Iterator[Compared]:
    """The pairs of rows whose sets or preparations make these groups, and of each with those of one set (not of two of
    these).
    """
    if max(groups) + 1 < FEWEST_SETS:
        return
    members = [*mine, *single]
    items = all(rows[place].items is not None for place in members)
    values = np.stack([rows[place].means(range(len(groups)), groups, items) for place in members])
    pairs, shape = Pairs(values), values.shape[1:]
    for i in range(len(mine)):
        centre, of_rows, of_items = pairs.behind(i)
        width = widths(of_rows, of_items, shape, LEVEL)
        decided = np.flatnonzero(2 * width.row > NO_WIDTH)
        p_of = p_values(centre[decided], of_rows[decided], of_items[decided], shape) if p else np.ones(len(decided))
        apart = (np.abs(centre) > width.both)[decided]
        for place, separated, higher, value in _listed(decided, apart, centre[decided] > 0, p_of):
            yield Compared(members[i], members[i + 1 + place], higher if separated else None, value)


def _listed(*arrays: np.ndarray) -> Iterable[tuple[int, bool, bool, float]]:
    return zip(*(array.tolist() for array in arrays), strict=True)
