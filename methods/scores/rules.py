"""Which rows of a class to take by their scores, pure functions: scores [n] -> indices [k]. The lowest wins a tie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def hardest(scores: np.ndarray, k: int) -> np.ndarray:
    """The k highest scores, the highest first."""
    return easiest(-scores, k)


def easiest(scores: np.ndarray, k: int) -> np.ndarray:
    """The k lowest scores, the lowest first."""
    found: np.ndarray = np.argsort(scores, kind="stable")[:k]
    return found


def nearest_median(distances: np.ndarray, k: int) -> np.ndarray:
    """Moderate coreset (Xia et al. 2023): the k rows whose distance to their class mean is nearest to the median."""
    return easiest(np.abs(distances - np.median(distances)), k)


def without_hardest(scores: np.ndarray, beta: float, k: int) -> np.ndarray:
    """Indices, ascending, of what is left without the floor(beta n) hardest rows; of equal ones the first stay.

    At least k are left.
    """
    dropped = min(int(beta * len(scores)), len(scores) - k)
    return np.sort(easiest(scores, len(scores) - dropped))


def stratum_of(scores: np.ndarray, strata: int) -> np.ndarray:
    """The stratum of each row, int64 [n] in [0, strata): equal widths from the lowest to the highest score."""
    low, high = float(scores.min()), float(scores.max())
    if high == low:
        return np.zeros(len(scores), dtype=np.int64)
    return np.minimum(((scores - low) / (high - low) * strata).astype(np.int64), strata - 1)


def budgets(sizes: Sequence[int], k: int) -> list[int]:
    """How many of k rows each stratum gives (Zheng et al. 2023, algorithm 1); they sum to min(k, sum of sizes).

    From the smallest stratum up, of equal ones the first: min(size, floor(what remains of k / strata that remain)).
    """
    found = [0] * len(sizes)
    for done, stratum in enumerate(sorted(range(len(sizes)), key=lambda each: sizes[each])):
        found[stratum] = min(sizes[stratum], (k - sum(found)) // (len(sizes) - done))
    return found


def stratified(scores: np.ndarray, k: int, beta: float, strata: int, rng: np.random.Generator) -> np.ndarray:
    """Coverage-centric selection (CCS): a random sample of each stratum by its budget, the hardest rows dropped."""
    kept = without_hardest(scores, beta, k)
    places = stratum_of(scores[kept], strata)
    picked = []
    for stratum, budget in enumerate(budgets(np.bincount(places, minlength=strata).tolist(), k)):
        if budget:
            picked.append(rng.choice(kept[places == stratum], size=budget, replace=False))
    return np.concatenate(picked)
