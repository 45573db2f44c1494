"""Selection rules of coresets as pure functions: features [n, d] -> indices [k]. Ties go to the lowest index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

CHUNK_VALUES = 1 << 22  # float64 values that a chunk of rows may take: 32 MiB


class Medoids(NamedTuple):
    """`indices` int64 [k]; the last `filled` of them come from the fallback, not from a cluster."""

    indices: np.ndarray
    filled: int


def kmeans_medoids(X: np.ndarray, k: int, seed: int) -> Medoids:
    """K-centers of DiLM: k-means, then in each cluster the member nearest to the mean of its members (L2).

    scikit-learn's KMeans with k-means++, n_init=1, max_iter=300 and random_state=`seed`, on one thread, so that
    the result does not depend on the machine's load; indices are in the order of the clusters. When there are
    fewer than k distinct points, or a cluster ends empty, the remaining indices are filled by farthest-first
    traversal from those already selected.
    X: float [n, d], n >= k >= 1.
    """
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    _check(X, k)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than k: mended below
        labels = KMeans(n_clusters=k, init="k-means++", n_init=1, max_iter=300, random_state=seed).fit(X).labels_
    picked = []
    for cluster in range(k):
        members = np.flatnonzero(labels == cluster)
        if len(members):
            mean = X[members].mean(axis=0, dtype=np.float64)
            picked.append(int(members[nearest(X[members], mean)]))
    missing = k - len(picked)
    if missing:
        picked.extend(farthest_first(X, picked, missing))
    return Medoids(np.array(picked, dtype=np.int64), missing)


def k_center_greedy(X: np.ndarray, k: int, start: int) -> np.ndarray:
    """Farthest-first traversal (Gonzalez 1985; Sener and Savarese 2018, algorithm 1) from row `start`.

    Each step adds the row whose distance to the nearest selected row is largest; the covering radius is at most
    twice the smallest possible. X: float [n, d], n >= k >= 1.
    """
    _check(X, k)
    return np.array([start, *farthest_first(X, [start], k - 1)], dtype=np.int64)


def farthest_first(X: np.ndarray, selected: list[int], k: int) -> list[int]:
    """k further rows, each the unselected one that is farthest from all selected so far; the lowest index on ties."""
    squared = _squared_norms(X)
    distance = np.full(len(X), np.inf)
    for row in selected:
        np.minimum(distance, _squared_distances(X, squared, row), out=distance)
    distance[selected] = -1.0
    added: list[int] = []
    while len(added) < k:
        row = int(distance.argmax())
        added.append(row)
        if len(added) < k:
            np.minimum(distance, _squared_distances(X, squared, row), out=distance)
            distance[row] = -1.0
    return added


def herding_mean(X: np.ndarray, k: int) -> np.ndarray:
    """Greedy mean matching (iCaRL, Rebuffi et al. 2017, algorithm 4), without repeats, in the order of selection.

    Step i adds the unselected x_j that minimises ||s + x_j - i mu||, s being the sum of those selected and mu the
    mean of X. The squared norm is expanded to ||x_j||^2 + 2 <x_j, s - i mu> + a constant. X: float [n, d].
    """
    _check(X, k)
    mu = X.mean(axis=0, dtype=np.float64)
    cost = _squared_norms(X)  # ||x_j||^2 + 2 <x_j, s>, kept up to date
    toward_mean = 2.0 * _dot(X, mu)
    picked: list[int] = []
    for step in range(1, k + 1):
        row = int((cost - step * toward_mean).argmin())
        picked.append(row)
        cost += 2.0 * _dot(X, X[row].astype(np.float64))
        cost[row] = np.inf
    return np.array(picked, dtype=np.int64)


def herding_welling(X: np.ndarray, k: int, repeats: bool = True) -> np.ndarray:
    """Welling's herding (2009): x = argmax_j <w, x_j>, then w += mu - x, from w = mu; k visits in their order.

    The published sequence may visit a row again. With `repeats` False the maximum is taken over the rows not yet
    visited, so that k different rows come out: the same sequence up to its first repeat. X: float [n, d].
    """
    if not repeats:
        _check(X, k)
    mu = X.mean(axis=0, dtype=np.float64)
    drift = _dot(X, mu)
    score = drift.copy()  # <w, x_j>
    picked: list[int] = []
    while len(picked) < k:
        row = int(score.argmax())
        picked.append(row)
        score += drift - _dot(X, X[row].astype(np.float64))
        if not repeats:
            score[row] = -np.inf
    return np.array(picked, dtype=np.int64)


def nearest(X: np.ndarray, point: np.ndarray) -> int:
    """The row of X that is nearest to `point` (L2), float64 differences."""
    best, where = np.inf, 0
    for rows in _chunks(X):
        difference = X[rows] - point
        distance = np.einsum("nd,nd->n", difference, difference)
        row = int(distance.argmin())
        if distance[row] < best:
            best, where = float(distance[row]), rows.start + row
    return where


def distance_to_nearest(X: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """L2 distance of every row to the nearest selected row, float64 [n]."""
    squared = _squared_norms(X)
    chosen = X[selected].astype(np.float64)
    out = np.empty(len(X))
    for rows in _chunks(X):
        products = X[rows].astype(np.float64, copy=False) @ chosen.T
        out[rows] = squared[rows] + (squared[selected] - 2.0 * products).min(axis=1)
    out[selected] = 0.0
    return np.sqrt(np.maximum(out, 0.0))


def _check(X: np.ndarray, k: int) -> None:
    if not 1 <= k <= len(X):
        raise ValueError(f"k must be in 1..{len(X)}, not {k}")


def _chunks(X: np.ndarray) -> Iterator[slice]:
    step = max(1, CHUNK_VALUES // max(1, X.shape[1]))
    return (slice(start, min(start + step, len(X))) for start in range(0, len(X), step))


def _dot(X: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """<x_j, vector> for every row in float64, a chunk of rows at a time. vector: float64 [d]; returns [n]."""
    out = np.empty(len(X))
    for rows in _chunks(X):
        np.dot(X[rows].astype(np.float64, copy=False), vector, out=out[rows])
    return out


def _squared_norms(X: np.ndarray) -> np.ndarray:
    out = np.empty(len(X))
    for rows in _chunks(X):
        part = X[rows].astype(np.float64, copy=False)
        np.einsum("nd,nd->n", part, part, out=out[rows])
    return out


def _squared_distances(X: np.ndarray, squared: np.ndarray, row: int) -> np.ndarray:
    """||x_j - x_row||^2 for every j, from the expanded norm, never negative."""
    distance = squared + squared[row] - 2.0 * _dot(X, X[row].astype(np.float64))
    return np.maximum(distance, 0.0, out=distance)
