"""The votes of vote-k as pure functions: features -> nearest rows -> indices. Ties go to the lowest index."""

from __future__ import annotations

import numpy as np

from methods.selection import CHUNK_VALUES

RHO = 10  # a vote is worth 1/rho for each selected row that its voter has voted for already
DECIMALS = 9  # cosines that agree so far count as equal: the last bits hang on how the machine sums


def nearest_rows(X: np.ndarray, k: int) -> np.ndarray:
    """The k other rows with the largest cosine to each row, int64 [n, k], ascending; of equal ones the lowest.

    X: float [n, d] of unit length, n > k >= 1. Cosines are held for a few rows at a time, never for all pairs.
    """
    n = len(X)
    if not 1 <= k < n:
        raise ValueError(f"k must be in 1..{n - 1}, not {k}")
    vectors = X.astype(np.float64)
    found = np.empty((n, k), dtype=np.int64)
    step = max(1, CHUNK_VALUES // n)
    for start in range(0, n, step):
        rows = np.arange(start, min(start + step, n))
        cosines = vectors[rows] @ vectors.T
        cosines.round(DECIMALS, out=cosines)
        cosines[rows - start, rows] = -np.inf  # nobody votes for itself
        least = np.partition(cosines, n - k, axis=1)[:, n - k]
        taken = cosines >= least[:, None]
        excess = taken.sum(axis=1) - k
        for row in np.flatnonzero(excess):
            taken[row, np.flatnonzero(cosines[row] == least[row])[-excess[row] :]] = False
        found[rows] = taken.nonzero()[1].reshape(-1, k)
    return found


def fast_vote_k(nearest: np.ndarray, count: int) -> np.ndarray:
    """Fast vote-k (Su et al. 2022, section 2 and its 'fast' variant): int64 [count], in the order of selection.

    Each step adds the unselected row u with the largest sum, over the unselected rows v that vote for u, of
    rho^-(how many selected rows v votes for). nearest: int64 [n, k], the rows that each row votes for, from
    `nearest_rows`; n >= count >= 1.
    """
    n = len(nearest)
    if not 1 <= count <= n:
        raise ValueError(f"count must be in 1..{n}, not {count}")
    answered = np.zeros(n, dtype=np.int64)  # how many selected rows a row votes for
    left = np.ones(n, dtype=bool)
    picked: list[int] = []
    while len(picked) < count:
        levels = np.unique(answered[left])
        votes = [np.bincount(nearest[left & (answered == level)].ravel(), minlength=n) for level in levels]
        row = most_votes(levels, np.array(votes), np.flatnonzero(left))
        picked.append(row)
        left[row] = False
        answered += (nearest == row).any(axis=1)
    return np.array(picked, dtype=np.int64)


def most_votes(levels: np.ndarray, votes: np.ndarray, candidates: np.ndarray) -> int:
    """The candidate, the lowest of equal ones, with the largest sum of votes x rho^-level, compared as whole numbers.

    levels: int64 [m], ascending; votes: int64 [m, n], for each row; candidates: ascending.
    """
    votes = votes[:, candidates]
    cast = votes.any(axis=1)
    if not cast.any():
        return int(candidates[0])
    levels, votes = levels[cast], votes[cast]
    about = (float(RHO) ** (levels[0] - levels)) @ votes
    close = np.flatnonzero(about >= about.max() * (1 - 1e-9))  # floating point may not tell these apart
    worth = [RHO ** int(levels[-1] - level) for level in levels]

    def exact(candidate: int) -> int:
        return sum(one * int(many) for one, many in zip(worth, votes[:, candidate], strict=True))

    return int(candidates[max(close.tolist(), key=exact)])
