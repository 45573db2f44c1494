"""Clusters and nearest rows: planted ones, and the medoids of K-centers."""

from __future__ import annotations

import numpy as np
import pytest

from methods.baselines.means import kmeans_members, nearest_untaken
from methods.selection import kmeans_medoids


def test_planted_clusters_are_found() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.repeat(np.arange(4), (3, 9, 5, 8)))
    X = (100 * np.eye(4)[kinds] + rng.standard_normal((25, 4))).astype(np.float32)
    members, filled = kmeans_members(X, 4, seed=1)
    assert filled == 0
    assert {tuple(rows) for rows in members} == {tuple(np.flatnonzero(kinds == kind)) for kind in range(4)}


@pytest.mark.parametrize("seed", range(5))
def test_clusters_are_those_of_kcenters(seed: int) -> None:
    X = np.random.default_rng(seed).standard_normal((40, 3)).astype(np.float32)
    members, _ = kmeans_members(X, 6, seed)
    assert sorted(np.concatenate(members).tolist()) == list(range(40))
    medoids = [rows[((X[rows] - X[rows].mean(0, dtype=np.float64)) ** 2).sum(1).argmin()] for rows in members]
    assert medoids == kmeans_medoids(X, 6, seed).indices.tolist()


def test_fewer_distinct_points_than_clusters_are_filled_as_kcenters_does() -> None:
    X = np.array([[0, 0]] * 4 + [[1, 0]] * 3 + [[5, 5]], dtype=np.float32)
    members, filled = kmeans_members(X, 6, seed=0)
    medoids = kmeans_medoids(X, 6, seed=0)
    assert (len(members), filled) == (6, medoids.filled) == (6, 3)
    assert [rows.tolist() for rows in members[3:]] == [[row] for row in medoids.indices[3:]]


def test_nearest_rows_are_taken_once() -> None:
    X = np.array([[0.0], [1.0], [2.0], [10.0], [2.0]], dtype=np.float32)
    assert nearest_untaken(np.array([[1.9]] * 5), X).tolist() == [2, 4, 1, 0, 3]  # k points alike: the k nearest rows
    assert nearest_untaken(np.array([[9.0], [9.5], [0.1]]), X).tolist() == [3, 2, 0]
