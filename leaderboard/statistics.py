"""Statistics of replicated scores. Knows scores, sets and runs; nothing of records, files or the runner.

A cell has S distilled sets with R runs each. Runs that trained on one set share that set's luck, so the S sets
and not the S x R runs are the independent observations: scores are averaged per set first.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95
NO_WIDTH = 1e-12  # of an interval between equal values
RESAMPLES = 2000
BLOCK = 1 << 18  # scores that the bootstrap draws at once
FEWEST_SETS = 3  # different ones, on one side of a comparison at least: two agree by chance too often

Replicate = tuple[int, ...]  # what pairs two rows: (base seed, set index, run index)
Scores = Mapping[Replicate, tuple[float, str]]  # replicate -> (score, name of the set it trained on)
Verdict = Literal["above", "below", "tie", "undecided"]


@dataclass(frozen=True)
class Interval:
    """A two-sided interval at level `LEVEL`. `over`: "sets", or "runs" when there is one set only."""

    low: float
    high: float
    over: Literal["sets", "runs"]


@dataclass(frozen=True)
class Summary:
    """`mean` and `std` (ddof 0) over runs, as papers report them; `interval` of the mean over sets."""

    mean: float
    std: float
    n_runs: int
    n_sets: int
    interval: Interval | None


@dataclass(frozen=True)
class Components:
    """Standard deviations between sets and between runs of one set (one-way random effects)."""

    set_std: float
    run_std: float


@dataclass(frozen=True)
class Difference:
    """a - b over paired replicates: mean over sets, its interval. `n_pairs` entered, `n_left_out` did not.

    `n_sets`: different sets on the side that has more of them, among those that entered.
    """

    mean: float
    interval: Interval | None
    n_pairs: int
    n_left_out: int
    n_sets: int

    @property
    def undecided(self) -> str | None:
        """Why nothing can be said of the difference, or None: too few different sets, or not a bit of spread."""
        if self.n_sets < FEWEST_SETS:
            return "1 set" if self.n_sets == 1 else f"{self.n_sets} sets"
        return "no spread" if self.interval is None else None

    @property
    def verdict(self) -> Verdict:
        """Separated ("above", "below") when the interval leaves out zero, "tie" when it does not."""
        if self.interval is None or self.undecided:
            return "undecided"
        if self.interval.low > 0:
            return "above"
        return "below" if self.interval.high < 0 else "tie"


def t_interval(values: Sequence[float] | np.ndarray, level: float = LEVEL) -> tuple[float, float] | None:
    """Student-t interval of the mean of independent values; None for fewer than two.

    Student-t because sets are few (5 to 20): bootstrap percentiles are too narrow there (at 5 sets they
    cover 82 to 88 % instead of 95 %, in a simulation with normal effects).
    """
    n = len(values)
    if n < 2:
        return None
    centre = float(np.mean(values))
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return centre - half, centre + half


def _by_set(scores: Sequence[float], sets: Sequence[Hashable]) -> list[np.ndarray]:
    """Scores grouped by set, in order of first appearance."""
    groups: dict[Hashable, list[float]] = {}
    for score, name in zip(scores, sets, strict=True):
        groups.setdefault(name, []).append(score)
    return [np.asarray(group, dtype=np.float64) for group in groups.values()]


def clustered_interval(scores: Sequence[float], sets: Sequence[Hashable]) -> Interval | None:
    """t interval over the means of the sets; over the runs when all belong to one set; None for one value.

    None also when all values are equal: an interval without width would claim that there is no chance at all.
    """
    groups = _by_set(scores, sets)
    many = len(groups) > 1
    ends = t_interval([float(group.mean()) for group in groups] if many else scores)
    return Interval(*ends, over="sets" if many else "runs") if ends and ends[1] - ends[0] > NO_WIDTH else None


def summarise(scores: Sequence[float], sets: Sequence[Hashable]) -> Summary:
    """Summary of one cell: `scores[i]` is the run that trained on the set named `sets[i]`; at least one.

    The ends of the interval are cut at 0 and 1, which a score cannot pass.
    """
    interval = clustered_interval(scores, sets)
    if interval is not None:
        interval = Interval(max(0.0, interval.low), min(1.0, interval.high), interval.over)
    return Summary(
        mean=float(np.mean(scores)),
        std=float(np.std(scores)),
        n_runs=len(scores),
        n_sets=len(set(sets)),
        interval=interval,
    )


def hierarchical_bootstrap(
    scores: Sequence[float], sets: Sequence[Hashable], seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float] | None:
    """Percentile interval of the mean: sets drawn with replacement, then runs within each; None for one set.

    An alternative to `summarise` that assumes no distribution; worth reading from about 20 sets on.
    """
    groups = _by_set(scores, sets)
    if len(groups) < 2:
        return None
    sizes = np.array([len(group) for group in groups])
    padded = np.zeros((len(groups), sizes.max()))
    for row, group in zip(padded, groups, strict=True):
        row[: len(group)] = group
    blocks = _blocks(resamples, max(1, BLOCK // padded.size))
    # One generator draws all sets and then all runs; the second is where the first will be when it comes to the runs.
    rng, ahead = np.random.default_rng(seed), np.random.default_rng(seed)
    for n in blocks:
        ahead.integers(len(groups), size=(n, len(groups)))
    means = np.concatenate([_resampled(rng, ahead, padded, sizes, n) for n in blocks])
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _blocks(n: int, most: int) -> list[int]:
    """n as parts of at most `most`."""
    return [min(most, n - start) for start in range(0, n, most)]


def _resampled(
    of_sets: np.random.Generator, of_runs: np.random.Generator, padded: np.ndarray, sizes: np.ndarray, n: int
) -> np.ndarray:
    """n means [n] of resampled cells. padded: scores [sets, most runs], of which the first `sizes` [sets] count."""
    drawn = of_sets.integers(len(sizes), size=(n, len(sizes)))
    runs = (of_runs.random((*drawn.shape, sizes.max())) * sizes[drawn][..., None]).astype(np.int64)
    counted = np.arange(sizes.max()) < sizes[drawn][..., None]
    means = (padded[drawn[..., None], runs] * counted).sum(axis=-1) / sizes[drawn]
    found: np.ndarray = means.mean(axis=1)
    return found


def variance_components(scores: Sequence[float], sets: Sequence[Hashable]) -> Components | None:
    """ANOVA estimates (unequal group sizes allowed); None without two sets and one repeated run in a set."""
    groups = _by_set(scores, sets)
    sizes = np.array([len(group) for group in groups], dtype=np.float64)
    total, k = sizes.sum(), len(groups)
    if k < 2 or total == k:
        return None
    means = np.array([group.mean() for group in groups])
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / (total - k)
    between = float((sizes * (means - np.mean(scores)) ** 2).sum()) / (k - 1)
    typical = (total - (sizes**2).sum() / total) / (k - 1)
    return Components(math.sqrt(max(0.0, (between - within) / typical)), math.sqrt(within))


def paired_difference(a: Scores, b: Scores) -> Difference | None:
    """a - b over the replicates that both have; None when they share none.

    Run seeds do not depend on the method, so a replicate's two students began alike. Differences are averaged
    per pair of sets, then a t interval; with one pair of sets (two deterministic methods) it is over runs. Pairs that
    share a set are one observation, unless it is the only one of its side.
    """
    shared = sorted(a.keys() & b.keys())
    if not shared:
        return None
    differences = [a[replicate][0] - b[replicate][0] for replicate in shared]
    pairs = [(a[replicate][1], b[replicate][1]) for replicate in shared]
    groups = _connected(pairs)
    return Difference(
        mean=float(np.mean([group.mean() for group in _by_set(differences, groups)])),
        interval=clustered_interval(differences, groups),
        n_pairs=len(shared),
        n_left_out=len(a.keys() | b.keys()) - len(shared),
        n_sets=max(len(set(side)) for side in zip(*pairs, strict=True)),
    )


def _connected(pairs: Sequence[tuple[str, str]]) -> list[int]:
    """A number for each pair of sets, the same for pairs that a chain of shared sets connects."""
    alone = [len(set(side)) == 1 for side in zip(*pairs, strict=True)]
    numbers: dict[tuple[int, str], int] = {}
    found: list[int] = []
    for place, pair in enumerate(pairs):
        ends = [(side, name) for side, name in enumerate(pair) if not alone[side]]
        known = {numbers[end] for end in ends if end in numbers}
        number = min(known, default=place if ends else 0)
        if len(known) > 1:
            numbers = {end: number if old in known else old for end, old in numbers.items()}
            found = [number if old in known else old for old in found]
        numbers |= dict.fromkeys(ends, number)
        found.append(number)
    return found


def rank_ranges(rows: Sequence[Scores]) -> list[tuple[int, int]]:
    """Best and worst rank that the paired differences leave open to each row (1 = highest score).

    Best rank: 1 + the rows that are separated above it; worst: the number of rows less those separated below it.
    """
    lower, higher = [0] * len(rows), [0] * len(rows)  # rows that are separated below it, above it
    for one, other, verdict in _verdicts(rows):
        if verdict != "tie" and verdict != "undecided":
            up, down = (one, other) if verdict == "above" else (other, one)
            lower[up] += 1
            higher[down] += 1
    return [(1 + above, len(rows) - below) for above, below in zip(higher, lower, strict=True)]


def _verdicts(rows: Sequence[Scores]) -> Iterator[tuple[int, int, Verdict]]:
    """(i, j, verdict of row i - row j) for each two rows that share a replicate, i < j.

    Rows with the same replicates, whose sets group them alike, are compared many at once.
    """
    known: dict[tuple[Any, ...], tuple[Any, ...]] = {}  # equal tuples become one: comparing it with itself is free
    layouts = [tuple(known.setdefault(part, part) for part in _layout(row)) for row in rows]
    values = [np.array([row[replicate][0] for replicate in sorted(row)]) for row in rows]
    for i, row in enumerate(rows):
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for j in range(i + 1, len(rows)):
            groups = _common(layouts[i], layouts[j])
            if groups is not None:
                alike[groups].append(j)
            elif (difference := paired_difference(row, rows[j])) is not None:
                yield i, j, difference.verdict
        for groups, members in alike.items():
            differences = values[i] - np.stack([values[j] for j in members])
            for j, verdict in zip(members, _many_verdicts(differences, groups), strict=True):
                yield i, j, verdict


def _layout(row: Scores) -> tuple[tuple[Replicate, ...], tuple[int, ...]]:
    """The replicates in order, and the number of the set of each, by first appearance."""
    order = tuple(sorted(row))
    numbers: dict[str, int] = {}
    return order, tuple(numbers.setdefault(row[replicate][1], len(numbers)) for replicate in order)


def _common(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[int, ...] | None:
    """`_connected` for two rows (`_layout`) with the same replicates where it groups them like one row; else None."""
    (order, mine), (theirs, others) = one, other
    if order != theirs or not order:
        return None
    groups: tuple[int, ...] = mine if any(mine) else others
    return groups if mine == others or not (any(mine) and any(others)) else None


def _many_verdicts(differences: np.ndarray, groups: tuple[int, ...]) -> list[Verdict]:
    """`Difference.verdict` of each row of differences [k, replicates] whose replicates belong to these groups."""
    if max(groups) + 1 < FEWEST_SETS:
        return ["undecided"] * len(differences)
    low, high = _many_intervals(differences, np.array(groups))
    found: list[Verdict] = np.select(
        [high - low <= NO_WIDTH, low > 0, high < 0], ["undecided", "above", "below"], "tie"
    ).tolist()
    return found


def _many_intervals(differences: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends [k] of `clustered_interval` of each row of differences [k, replicates]; numbers: group of each replicate."""
    n = int(numbers.max()) + 1
    # Sums are over neighbours in memory: the same digits as those of one row alone.
    means = np.stack([np.ascontiguousarray(differences[:, numbers == group]).mean(axis=1) for group in range(n)])
    means = np.ascontiguousarray(means.T)
    centre = means.mean(axis=1)
    half = float(stdtrit(n - 1, 0.5 + LEVEL / 2)) * means.std(axis=1, ddof=1) / math.sqrt(n)
    return centre - half, centre + half


def gap_closed(score: float, baseline: float, full: float) -> float | None:
    """(score - baseline) / (full - baseline), a fraction; None when all data are no better than the baseline."""
    return (score - baseline) / (full - baseline) if full > baseline else None
