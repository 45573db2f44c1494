"""Which means stand for a class, and which rows are nearest to them: pure functions of row vectors [n, d]."""

from __future__ import annotations

import numpy as np

from methods.selection import farthest_first, nearest


def kmeans_members(X: np.ndarray, k: int, seed: int) -> tuple[list[np.ndarray], int]:
    """The members of k clusters, ascending indices of X, and how many of the last are no clusters of k-means.

    scikit-learn's KMeans as in `methods.selection.kmeans_medoids`. Where it finds fewer clusters, as among fewer than k
    distinct points, the rest are single rows, each the farthest from the clusters' medoids and those before it.
    X: float [n, d], n >= k >= 1.
    """
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than k: mended below
        labels = KMeans(n_clusters=k, init="k-means++", n_init=1, max_iter=300, random_state=seed).fit(X).labels_
    members = [np.flatnonzero(labels == cluster) for cluster in np.unique(labels)]
    missing = k - len(members)
    if missing:
        medoids = [int(rows[nearest(X[rows], X[rows].mean(axis=0, dtype=np.float64))]) for rows in members]
        members += [np.array([row]) for row in farthest_first(X, medoids, missing)]
    return members, missing


def nearest_untaken(points: np.ndarray, X: np.ndarray) -> np.ndarray:
    """For each point in its turn the row of X nearest to it (L2) that no point before has taken: int64 [k].

    points: float [k, d]; X: float [n, d], n >= k. Ties go to the lowest index.
    """
    free = np.arange(len(X))
    found = []
    for point in points.astype(np.float64):
        place = nearest(X[free], point)
        found.append(free[place])
        free = np.delete(free, place)
    return np.array(found, dtype=np.int64)
