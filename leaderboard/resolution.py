"""What a design can tell apart: the smallest difference of two methods, and what would separate two that it did not."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.special import ndtri, stdtrit

from leaderboard.crossed import Parts, parts
from leaderboard.row import Row
from leaderboard.statistics import FEWEST_SETS, LEVEL, paired

POWER = 0.8  # of separating the smallest difference
ITEMS = 400  # test rows where nobody knows
# Within the range of the folders of leaderboard/results (a test); runs are in `set`.
ASSUMED = Parts(set=0.045, run=None, item=0.2, set_item=0.6, rest=None)
MOST = 1_000_000

Dimension = Literal["sets", "runs", "items"]


@dataclass(frozen=True)
class Design:
    """Sets a method, runs a set, test rows; or preparations a method, replicates of each, test rows."""

    sets: int
    runs: int
    items: int


def variances(spread: Parts, design: Design) -> tuple[float, float]:
    """Of the mean difference: what sets (with runs and rest) and what test rows make of it.

    spread: of the differences of two methods on single rows. One that does not tell runs from sets promises nothing of
    more runs.
    """
    run, rest = (spread.run or 0.0) ** 2 / design.runs, (spread.rest or 0.0) ** 2 / design.runs
    of_sets = spread.set**2 + run + (spread.set_item**2 + rest) / design.items
    return of_sets / design.sets, spread.item**2 / design.items


def half_width(spread: Parts, design: Design) -> float:
    """Of the interval that a design is expected to give; infinite for fewer than three sets, which decide nothing."""
    if design.sets < FEWEST_SETS or design.items < 2:
        return math.inf
    of_sets, of_items = variances(spread, design)
    level = 0.5 + LEVEL / 2
    return math.hypot(
        float(stdtrit(design.sets - 1, level)) * math.sqrt(of_sets),
        float(stdtrit(design.items - 1, level)) * math.sqrt(of_items),
    )


def detectable(spread: Parts, design: Design) -> float:
    """The smallest true difference that is separated with probability `POWER`, about."""
    return half_width(spread, design) + float(ndtri(POWER)) * math.sqrt(sum(variances(spread, design)))


def needed(spread: Parts, design: Design, difference: float, dimension: Dimension) -> int | None:
    """How many sets, runs a set or test rows, all else as it is, make this difference detectable; None if none do."""

    def enough(n: int) -> bool:
        return detectable(spread, replace(design, **{dimension: n})) <= abs(difference)

    here = int(getattr(design, dimension))
    found = here + bisect_left(range(here, MOST), True, key=enough)
    return found if found < MOST else None


def spread_of(rows: Iterable[Row], prepared: bool = False) -> tuple[Parts, int] | None:
    """Medians over pairs of methods that stand in one block, and how many pairs; None without a pair that tells.

    prepared: of the pairs whose observations are preparations, or of the others.
    """
    blocks: dict[object, list[Row]] = {}
    for row in rows:
        if row.league is not None and row.summary is not None and not (row.is_full or row.outdated):
            blocks.setdefault(row.block, []).append(row)
    found = [
        each
        for block in blocks.values()
        for pair in combinations(block, 2)
        if any(row.scores.preparations for row in pair) == prepared and (each := spread_of_pair(*pair)) is not None
    ]
    return (_medians(found), len(found)) if found else None


def expected_spread(
    rows: Iterable[Row], task: str, student: str, dpc: int | None, prepared: bool = False
) -> tuple[Parts, str]:
    """The spread that a new cell is expected to have, and where it is from: earlier rows of its kind, or `ASSUMED`.

    prepared: see `spread_of`.
    """
    alike = [row for row in rows if (row.task, row.student) == (task, student)]
    for chosen, what in (([row for row in alike if row.dpc == dpc], ""), (alike, " at other dpc")):
        if (found := spread_of(chosen, prepared)) is not None:
            return found[0], f"{found[1]} earlier pair{'s' * (found[1] != 1)}{what}"
    return ASSUMED, "assumed"


def spread_of_pair(one: Row, other: Row) -> Parts | None:
    """Of the differences of two rows; None with fewer than three different sets, or without single test rows.

    Where a row has several preparations, `set` is what these vary and `run` what their replicates do.
    """
    difference = paired(one.scores, other.scores)
    if difference is None or difference.n_groups < FEWEST_SETS:
        return None
    return parts(difference.values(), np.array(difference.groups))


def _medians(found: list[Parts]) -> Parts:
    def median(of: Callable[[Parts], float | None]) -> float | None:
        known = [value for each in found if (value := of(each)) is not None]
        return float(np.median(known)) if known else None

    return Parts(
        set=median(lambda each: each.set) or 0.0,
        run=median(lambda each: each.run),
        item=median(lambda each: each.item) or 0.0,
        set_item=median(lambda each: each.set_item) or 0.0,
        rest=median(lambda each: each.rest),
    )
