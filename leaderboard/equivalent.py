"""How many random examples a class train as well as a set: the random-equivalent size, by inverting random's curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from leaderboard.scores import Scores
from leaderboard.statistics import Difference, differences


@dataclass(frozen=True)
class Equivalent:
    """Examples a class. 0: below the smallest size that random was measured at; infinite: above the largest."""

    size: float
    low: float
    high: float
    measured: tuple[int, int]  # smallest and largest dpc of random


def equivalent_sizes(rows: Sequence[Scores], curve: Mapping[int, Scores]) -> list[Equivalent | None]:
    """Of each row; curve: dpc -> random's replicates under the same student. None without two sizes, or where a
    difference decides nothing (too few sets).

    The size is where random's mean, made ascending (least squares) and straight in log dpc between measured sizes, is
    the row's. [low, high] are the sizes that a paired comparison at the board's level does not reject, with the ends
    of the difference's interval straight in log dpc between measured sizes; of several such ranges, all they span.
    """
    dpcs = sorted(curve)
    if len(dpcs) < 2 or not rows:
        return [None] * len(rows)
    return [_size(dpcs, found) for found in zip(*(differences(rows, curve[dpc], p=False) for dpc in dpcs), strict=True)]


def _size(dpcs: Sequence[int], found: Sequence[Difference | None]) -> Equivalent | None:
    known = [each for each in found if each is not None and not each.undecided]
    ends = [(each.interval.low, each.interval.high) for each in known if each.interval is not None]
    if len(ends) < len(dpcs):
        return None
    lows, highs = zip(*ends, strict=True)
    return Equivalent(
        size=_first(dpcs, _descending([each.mean for each in known])),
        low=_first(dpcs, lows),
        high=_last(dpcs, highs),
        measured=(dpcs[0], dpcs[-1]),
    )


def _descending(values: Sequence[float]) -> list[float]:
    if all(one >= other for one, other in pairwise(values)):
        return [*values]
    from scipy.optimize import isotonic_regression

    return [float(value) for value in isotonic_regression(values, increasing=False).x]


def _first(dpcs: Sequence[int], values: Sequence[float]) -> float:
    """Where values first come down to 0: 0 when they begin there or below, infinite when they stay above."""
    for place, value in enumerate(values):
        if value <= 0:
            return _crossing(dpcs, values, place) if place else (0.0 if value < 0 else float(dpcs[0]))
    return math.inf


def _last(dpcs: Sequence[int], values: Sequence[float]) -> float:
    """Where values last go below 0: 0 when they are below throughout, infinite when they end at 0 or above."""
    for place in reversed(range(len(values))):
        if values[place] >= 0:
            return _crossing(dpcs, values, place + 1) if place + 1 < len(values) else math.inf
    return 0.0


def _crossing(dpcs: Sequence[int], values: Sequence[float], place: int) -> float:
    """The dpc at which the line in log dpc from the value before `place` to the one there is 0."""
    before, after = values[place - 1], values[place]
    share = before / (before - after)
    return math.exp(math.log(dpcs[place - 1]) + share * math.log(dpcs[place] / dpcs[place - 1]))
