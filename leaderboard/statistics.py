"""Statistics of replicated scores. Knows scores, sets, runs and test items; nothing of records, files or the runner.

A cell has S distilled sets with R runs each, all scored on the same I test items. Runs that trained on one set share
that set's luck, so the S sets and not the S x R runs are the independent observations: scores are averaged per set
first. Where sets share what was prepared several times, such as a trained generator, the preparations are. And all of
them share the luck of the items: see `leaderboard.crossed`. "Groups" are numbers of what counts as one observation.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from leaderboard.crossed import errors, half_widths, p_values
from leaderboard.scores import Groups, Scores, connected, group_means, numbered

LEVEL = 0.95
NO_WIDTH = 1e-12  # of an interval between equal values
AT_ONCE = 32  # differences, in arrays that a processor's cache holds
FEWEST_SETS = 3  # different ones, on one side of a comparison at least: two agree by chance too often

Correction = Literal["none", "holm"]
Over = Literal["sets", "preparations", "runs", "items"]
Verdict = Literal["above", "below", "tie", "undecided"]


@dataclass(frozen=True)
class Interval:
    """A two-sided interval at level `LEVEL`.

    over: "sets", or "preparations" that sets share, or "runs" when there is one set only, or "items" when none varied.
    items: whether what other test items would change is in it; without it, it holds for these items.
    """

    low: float
    high: float
    over: Over
    items: bool


@dataclass(frozen=True)
class Summary:
    """`mean` and `std` (ddof 0) over runs, as papers report them; `interval` of the mean over sets."""

    mean: float
    std: float
    n_runs: int
    n_sets: int
    interval: Interval | None
    n_preparations: int | None = None  # None: sets are the observations


@dataclass(frozen=True)
class Difference:
    """a - b over paired replicates: mean over sets, its interval. `n_pairs` entered, `n_left_out` did not.

    `n_units`: different sets on the side that has more of them, among those that entered; with `prepared`, where a side
    has several preparations, how many of these entered. p: two-sided, of no difference; adjusted: the same among the
    comparisons that it is one of, None where it stands alone.
    """

    mean: float
    interval: Interval | None
    n_pairs: int
    n_left_out: int
    n_units: int
    p: float = 1.0
    adjusted: float | None = None
    prepared: bool = False

    @property
    def undecided(self) -> str | None:
        """Why nothing can be said of the difference, or None: too few different sets, or not a bit of spread."""
        if self.n_units < FEWEST_SETS:
            return f"{self.n_units} {'preparation' if self.prepared else 'set'}{'s' * (self.n_units != 1)}"
        return "no spread" if self.interval is None or self.interval.over == "items" else None

    @property
    def overruled(self) -> bool:
        """Whether its interval leaves out zero, and it is a tie by the correction for many comparisons alone."""
        return self.verdict == "tie" and replace(self, adjusted=None).verdict != "tie"

    @property
    def verdict(self) -> Verdict:
        """Separated ("above", "below") when the interval leaves out zero and an adjusted p is small; else "tie"."""
        if self.interval is None or self.undecided:
            return "undecided"
        if self.adjusted is not None and self.adjusted >= 1 - LEVEL:
            return "tie"
        if self.interval.low > 0:
            return "above"
        return "below" if self.interval.high < 0 else "tie"


def interval_of(values: np.ndarray, groups: Sequence[int]) -> Interval | None:
    """Interval of the mean of the groups' means; over the runs when all belong to one group.

    values [n, I] of n runs on I items ([n, 1]: as a whole); groups: number of each run's set or preparation. None where
    nothing varied: an interval without width would claim that there is no chance at all.
    """
    rows = group_means(values, groups)
    return _over_sets(rows[None])[0] if len(rows) > 1 else _over_runs(values)


def _over_sets(rows: np.ndarray) -> list[Interval | None]:
    """Of k layouts of means [k, S, I]."""
    found = half_widths(rows, LEVEL)
    several = zip(rows.mean(axis=(1, 2)).tolist(), found.row.tolist(), found.both.tolist(), strict=True)
    return [_interval(centre, row, both, "sets", rows.shape[2] > 1) for centre, row, both in several]


def _over_runs(values: np.ndarray) -> Interval | None:
    runs = values.astype(np.float64)
    found = half_widths(runs, LEVEL)
    return _interval(float(runs.mean()), float(found.row), float(found.both), "runs", runs.shape[1] > 1)


def _interval(centre: float, row: float, both: float, over: Over, items: bool) -> Interval | None:
    """Of its centre and half widths: without items, and whole."""
    if 2 * both <= NO_WIDTH:
        return None
    return Interval(centre - both, centre + both, over if 2 * row > NO_WIDTH else "items", items)


def _over_units(interval: Interval | None, prepared: bool) -> Interval | None:
    """The interval by what its observations are."""
    if interval is None or not prepared or interval.over != "sets":
        return interval
    return replace(interval, over="preparations")


def summarise(scores: Scores) -> Summary:
    """Summary of one cell with a replicate at least. The ends of the interval are cut at 0 and 1."""
    interval = interval_of(scores.values(range(len(scores)), scores.items is not None), scores.groups)
    if interval is not None:
        interval = replace(interval, low=max(0.0, interval.low), high=min(1.0, interval.high))
        interval = _over_units(interval, bool(scores.preparations))
    return Summary(
        mean=float(np.mean(scores.scores)),
        std=float(np.std(scores.scores)),
        n_runs=len(scores),
        n_sets=scores.n_sets,
        interval=interval,
        n_preparations=scores.n_units if scores.preparations else None,
    )


def paired_difference(a: Scores, b: Scores) -> Difference | None:
    """`differences` of one row."""
    return differences([a], b)[0]


def differences(rows: Sequence[Scores], base: Scores, p: bool = True) -> list[Difference | None]:
    """Each row - base over the replicates that both have; None where they share none. p: whether p-values are wanted.

    Run seeds do not depend on the method, so a replicate's two students began alike, and they label the same items:
    what makes both right or wrong cancels. Differences are averaged per pair of sets, then the interval; with one pair
    of sets (two deterministic methods) it is over runs. Pairs that share a set are one observation, unless it is the
    only one of its side.
    """
    pairs = [paired(row, base) for row in rows]
    found: list[Difference | None] = [None] * len(rows)
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)  # shape of the means -> places of pairs
    for place, pair in enumerate(pairs):
        if pair is not None and pair.n_groups == 1:
            found[place] = _difference(pair, _over_runs(pair.values()), 1.0)
        elif pair is not None:
            alike[pair.n_groups, pair.n_items].append(place)
    for shape, places in alike.items():
        for several in (places[start : start + AT_ONCE] for start in range(0, len(places), AT_ONCE)):
            mine = [pair for place in several if (pair := pairs[place]) is not None]
            means = np.stack([pair.means() for pair in mine])
            values = [math.nan] * len(mine)  # nobody should take it for one that was computed
            if p:
                values = p_values(means.mean(axis=(1, 2)), *errors(means), shape).tolist()
            for place, pair, interval, value in zip(several, mine, _over_sets(means), values, strict=True):
                varied = interval is not None and interval.over == "sets"
                found[place] = _difference(pair, interval, value if varied else 1.0)
    return found


def _difference(pair: Paired, interval: Interval | None, p: float) -> Difference:
    return Difference(
        mean=pair.mean(),
        interval=_over_units(interval, pair.prepared and pair.n_units > 1),
        n_pairs=len(pair.groups),
        n_left_out=pair.n_left_out,
        n_units=pair.n_units,
        prepared=pair.prepared,
        p=float(f"{p:.6g}"),  # digits behind depend on the machine
    )


@dataclass(frozen=True)
class Paired:
    """a - b over the n replicates that both have, whose places in each `places` has; `groups`: number of each pair."""

    a: Scores
    b: Scores
    places: tuple[Sequence[int], Sequence[int]]
    groups: Groups
    n_units: int  # see `Difference`
    prepared: bool
    n_left_out: int  # replicates that one of them has alone

    @property
    def n_groups(self) -> int:
        return max(self.groups) + 1

    @property
    def items(self) -> bool:
        """Whether single test rows are known of both."""
        return self.a.items is not None and self.b.items is not None

    @property
    def n_items(self) -> int:
        """Test rows, or 1 as a whole."""
        return self.a.items.shape[1] if self.a.items is not None and self.items else 1

    def mean(self) -> float:
        """Over groups, of the mean difference of each."""
        scores = self.a.scores[list(self.places[0])] - self.b.scores[list(self.places[1])]
        return float(group_means(scores[:, None], self.groups).mean())

    def values(self) -> np.ndarray:
        """Differences of single replicates, float64 [n, I] or [n, 1]."""
        mine, other = (
            each.values(own, self.items).astype(np.float64)
            for each, own in zip((self.a, self.b), self.places, strict=True)
        )
        return mine - other

    def means(self) -> np.ndarray:
        """Differences of the groups' means, float64 [G, I] or [G, 1]."""
        mine, other = (
            each.means(own, self.groups, self.items) for each, own in zip((self.a, self.b), self.places, strict=True)
        )
        return mine - other


def paired(a: Scores, b: Scores) -> Paired | None:
    """The replicates that both have; None when they share none."""
    if a.replicates == b.replicates:
        everyone = range(len(a))
        groups = common(a.groups, b.groups)
        if groups is None:
            groups = _connected([*zip(a.units, b.units, strict=True)])
        if not len(a):
            return None
        return Paired(a, b, (everyone, everyone), groups, *_observed(a, b, a.units, b.units, groups), 0)
    own, others = ({one: place for place, one in enumerate(each.replicates)} for each in (a, b))
    shared = sorted(own.keys() & others.keys())
    if not shared:
        return None
    places = ([own[one] for one in shared], [others[one] for one in shared])
    mine, other = ([each.units[place] for place in at] for each, at in zip((a, b), places, strict=True))
    groups = _connected([*zip(mine, other, strict=True)])
    n_left_out = len(own.keys() | others.keys()) - len(shared)
    return Paired(a, b, places, groups, *_observed(a, b, mine, other, groups), n_left_out)


def _observed(
    a: Scores, b: Scores, mine: Sequence[Hashable], others: Sequence[Hashable], groups: Groups
) -> tuple[int, bool]:
    """`n_units` and `prepared` of a difference, of the units of both sides that entered."""
    counts = len(set(mine)), len(set(others))
    prepared = [count for side, count in zip((a, b), counts, strict=True) if side.preparations]
    return (min(max(groups) + 1, *prepared), True) if prepared else (max(counts), False)


def common(mine: Groups, others: Groups) -> Groups | None:
    """`_connected` for two rows with the same replicates, and these numbers of sets, where it is that of one; or None.

    A row with one set is grouped as the other one is.
    """
    groups = mine if any(mine) else others
    return groups if mine == others or not (any(mine) and any(others)) else None


def _connected(pairs: Sequence[tuple[Hashable, Hashable]]) -> Groups:
    """A number for each pair of units, the same for pairs that a chain of shared ones connects."""
    alone = [len(set(side)) == 1 for side in zip(*pairs, strict=True)]
    if all(alone):
        return (0,) * len(pairs)
    ends = [{(side, name) for side, name in enumerate(pair) if not alone[side]} for pair in pairs]
    return tuple(numbered(connected(ends)))


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values of Holm 1979: that any of the comparisons is wrongly called has probability 5 % at most."""
    order, found, largest = sorted(range(len(p)), key=p.__getitem__), [1.0] * len(p), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        found[place] = largest
    return found


def gap_closed(score: float, baseline: float, full: float) -> float | None:
    """(score - baseline) / (full - baseline), a fraction; None when all data are no better than the baseline."""
    return (score - baseline) / (full - baseline) if full > baseline else None
