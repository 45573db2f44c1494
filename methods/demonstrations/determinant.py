"""Greedy MAP of a determinantal point process as a pure function: features -> indices. The lowest wins a tie."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from methods.selection import farthest_first

ZERO = 1e-10  # a gain below it is a rank that is used up; float32 features of one text may differ by 1e-7
DECIMALS = 12  # gains that agree so far count as equal: the last bits hang on how the machine sums


class Diverse(NamedTuple):
    """`indices` int64 [k]; `gains` float64: of the first, those by which each multiplied the determinant.

    The indices that have no gain, the last ones, come from the fallback.
    """

    indices: np.ndarray
    gains: np.ndarray

    @property
    def filled(self) -> int:
        """How many come from the fallback."""
        return len(self.indices) - len(self.gains)


def greedy_map(X: np.ndarray, k: int, start: int) -> Diverse:
    """Greedy MAP inference (Chen, Zhang and Zhou 2018, algorithm 1) from row `start`, in the order of selection.

    Each step adds the row that multiplies det S of those selected by most, S_ij = (1 + <x_i, x_j>) / 2: the kernel
    of that paper's section 5, without relevances, in which opposite rows are the most diverse. Its diagonal is 1 for
    all rows, so any row may be the first. c_j, of which `factor` holds a column, and d_j^2 = `gain` are the paper's;
    they take O(n k^2) steps and n k numbers, the kernel is never formed. When no row has a gain, as with more rows
    than dimensions + 1 or repeated texts, farthest-first traversal goes on.
    X: float [n, d] of unit length, n >= k >= 1.
    """
    if not 1 <= k <= len(X):
        raise ValueError(f"k must be in 1..{len(X)}, not {k}")
    vectors = X.astype(np.float64)
    gain = (1.0 + np.einsum("nd,nd->n", vectors, vectors)) / 2.0
    factor = np.empty((k - 1, len(X)))
    picked, gains = [start], [float(gain[start])]
    for step in range(k - 1):
        last = picked[-1]
        similar = (1.0 + vectors @ vectors[last]) / 2.0
        factor[step] = (similar - factor[:step, last] @ factor[:step]) / np.sqrt(gains[-1])
        gain -= factor[step] ** 2
        gain[last] = -np.inf
        row = int(gain.round(DECIMALS).argmax())
        if gain[row] < ZERO:
            break
        picked.append(row)
        gains.append(float(gain[row]))
    missing = k - len(picked)
    if missing:
        picked.extend(farthest_first(X, picked, missing))
    return Diverse(np.array(picked, dtype=np.int64), np.array(gains))
