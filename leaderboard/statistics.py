"""Statistics of replicated scores. Knows scores, sets and runs; nothing of records, files or the runner.

A cell has S distilled sets with R runs each. Runs that trained on one set share that set's luck, so the S sets
and not the S x R runs are the independent observations: scores are averaged per set first.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95
RESAMPLES = 2000
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
    return Interval(*ends, over="sets" if many else "runs") if ends and ends[1] - ends[0] > 1e-12 else None


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
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(groups), size=(resamples, len(groups)))
    runs = (rng.random((*drawn.shape, sizes.max())) * sizes[drawn][..., None]).astype(np.int64)
    counted = np.arange(sizes.max()) < sizes[drawn][..., None]
    means = (padded[drawn[..., None], runs] * counted).sum(axis=-1) / sizes[drawn]
    low, high = np.quantile(means.mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


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
    ranges = []
    for row in rows:
        found = [paired_difference(row, other) for other in rows if other is not row]
        verdicts = [difference.verdict for difference in found if difference is not None]
        ranges.append((1 + verdicts.count("below"), len(rows) - verdicts.count("above")))
    return ranges


def gap_closed(score: float, baseline: float, full: float) -> float | None:
    """(score - baseline) / (full - baseline), a fraction; None when all data are no better than the baseline."""
    return (score - baseline) / (full - baseline) if full > baseline else None
