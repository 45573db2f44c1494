"""Methods over several tasks: mean ranks, Friedman's test and the critical difference, as in Demsar 2006."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from leaderboard.overview import Overview
from leaderboard.statistics import LEVEL

RESAMPLES = 9999  # or all permutations, where there are no more


@dataclass(frozen=True)
class MeanRanks:
    """Of k methods on N tasks, best first; ranks 1 to k, equal scores share the mean of theirs.

    chi2, f: Friedman's statistic and that of Iman and Davenport (None where all tasks agree in full); p: of chi2, by
    permuting the ranks of each task (the F distribution says 0.05 of 3 tasks where it is 0.19).
    critical: two mean ranks that differ by more than it are separated (Nemenyi, all pairs at once).
    """

    methods: tuple[str, ...]
    ranks: tuple[float, ...]
    n_tasks: int
    chi2: float
    f: float | None
    p: float
    critical: float

    @property
    def powerless(self) -> bool:
        """Whether no outcome at all would separate two methods."""
        return self.critical >= len(self.methods) - 1

    @property
    def apart(self) -> list[tuple[int, int]]:
        """Places of the pairs that are separated; none where Friedman's test finds no difference at all."""
        places = range(len(self.ranks))
        if self.p >= 1 - LEVEL:
            return []
        return [(i, j) for i in places for j in places[i + 1 :] if self.ranks[j] - self.ranks[i] > self.critical]


def mean_ranks(methods: tuple[str, ...], scores: np.ndarray) -> MeanRanks:
    """scores [N, k] of N >= 2 tasks and k >= 2 methods, the higher the better.

    chi2_F = 12 N / (k (k + 1)) (sum_j R_j^2 - k (k + 1)^2 / 4), F_F = (N - 1) chi2_F / (N (k - 1) - chi2_F) with k - 1
    and (k - 1)(N - 1) degrees of freedom, CD = q_alpha sqrt(k (k + 1) / (6 N)).
    """
    from scipy.stats import permutation_test, rankdata

    n, k = scores.shape
    placed = rankdata(-scores, axis=1)
    ranks = placed.mean(axis=0)

    def friedman(*columns: np.ndarray, axis: int = -1) -> np.ndarray:
        squares = sum(np.square(column.mean(axis=axis)) for column in columns)
        # Rounded, so that equal statistics of two permutations are equal.
        return np.round(12 * n / (k * (k + 1)) * (squares - k * (k + 1) ** 2 / 4), 9) + 0.0

    chi2 = float(friedman(*placed.T))
    rest = n * (k - 1) - chi2
    tested = permutation_test(
        placed.T, friedman, permutation_type="samples", alternative="greater", n_resamples=RESAMPLES, rng=0
    )
    order = sorted(range(k), key=lambda place: (ranks[place], methods[place]))
    return MeanRanks(
        methods=tuple(methods[place] for place in order),
        ranks=tuple(float(ranks[place]) for place in order),
        n_tasks=n,
        chi2=chi2,
        f=(n - 1) * chi2 / rest if rest > 1e-9 else None,
        p=float(tested.pvalue),
        critical=_quantile(k) * math.sqrt(k * (k + 1) / (6 * n)),
    )


@lru_cache
def _quantile(k: int) -> float:
    """q_alpha: the studentised range of k means with infinite degrees of freedom, over the root of 2."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(LEVEL, k, np.inf)) / math.sqrt(2)


def over_tasks(table: Overview) -> MeanRanks | None:
    """Of the methods without a hole in an overview; a task counts once, by its mean over sizes. None for one task."""
    tasks: dict[str, list[int]] = defaultdict(list)
    for place, (task, _) in enumerate(table.columns):
        tasks[task].append(place)
    whole = [(method, cells) for method, cells, mean in table.rows if mean is not None]
    if len(tasks) < 2 or len(whole) < 2:
        return None
    scores = [[cell.summary.mean if cell and cell.summary else math.nan for cell in cells] for _, cells in whole]
    by_task = np.array([np.mean(np.array(scores)[:, places], axis=1) for places in tasks.values()])
    return mean_ranks(tuple(method for method, _ in whole), by_task)
