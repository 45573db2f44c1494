"""Diverse batches: one member of each cluster, in the order asked for; k-means against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from methods.gen_distill.batches import cluster, diverse_batches, plain_batches


def blobs(sizes: list[int], d: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Well separated groups of these sizes in random order: features, and the group of each row."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = 40.0 * np.eye(len(sizes), d)
    return (centres[groups] + rng.normal(size=(len(groups), d))).astype(np.float32), groups


def inertia(X: np.ndarray, labels: np.ndarray) -> float:
    return float(sum(((X[labels == c] - X[labels == c].mean(0)) ** 2).sum() for c in np.unique(labels)))


def test_well_separated_clusters_are_found() -> None:
    X, groups = blobs([3, 50, 8, 21, 1])
    for seed in range(5):
        labels = cluster(X, 5, seed)
        assert len(set(zip(labels.tolist(), groups.tolist(), strict=True))) == 5


@pytest.mark.parametrize("k", [2, 8, 30])
def test_inertia_is_that_of_scikit_learn(k: int) -> None:
    rng = np.random.default_rng(1)
    X = (rng.normal(size=(600, 4)) @ rng.normal(size=(4, 16)) + 3).astype(np.float32)
    mine = [inertia(X, cluster(X, k, seed)) for seed in range(8)]
    fits = [KMeans(k, init="k-means++", n_init=1, random_state=seed).fit(X) for seed in range(8)]
    assert np.mean(mine) == pytest.approx(np.mean([fit.inertia_ for fit in fits]), rel=0.03)


def test_lloyd_has_converged() -> None:
    """Each row is with the nearest mean."""
    X = np.random.default_rng(2).normal(size=(300, 3)).astype(np.float32)
    labels = cluster(X, 6, 0)
    means = np.stack([X[labels == c].mean(0, dtype=np.float64) for c in range(6)])
    nearest = ((X[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == labels).mean() > 0.98


@pytest.mark.parametrize("draw", ["random", "cycle"])
def test_each_batch_has_one_of_each_cluster(draw: str) -> None:
    X, groups = blobs([3, 50, 8, 21, 1])
    found = diverse_batches(X, 5, 40, draw, seed=4)
    assert found.shape == (40, 5)
    assert found.dtype == np.int64
    assert (np.sort(groups[found], axis=1) == np.arange(5)).all()
    assert (groups[found] == groups[found][0]).all()  # a column is a cluster


def test_cycle_takes_members_in_the_order_of_the_rows() -> None:
    """Element j mod size, as the authors' code."""
    X, groups = blobs([3, 50, 8, 21, 1])
    for column in diverse_batches(X, 5, 40, "cycle", seed=4).T:
        own = np.flatnonzero(groups == groups[column[0]])
        assert column.tolist() == [own[j % len(own)] for j in range(40)]


@given(seed=st.integers(0, 1000))
def test_random_draws_use_up_a_cluster_before_they_repeat(seed: int) -> None:
    X, groups = blobs([3, 20, 8], seed=1)
    for column in diverse_batches(X, 3, 21, "random", seed=seed).T:
        size = int((groups == groups[column[0]]).sum())
        for start in range(0, 21, size):
            part = column[start : start + size]
            assert len(set(part.tolist())) == len(part)


def test_random_draws_are_uniform() -> None:
    """Each member is as likely as any other, in the first batch and where a cluster starts again (chi-square)."""
    X, groups = blobs([6, 15], seed=3)
    draws = np.stack([diverse_batches(X, 2, 10, "random", seed=seed) for seed in range(600)])
    for batch in (0, 7):
        for number, size in enumerate((6, 15)):
            rows = np.flatnonzero(groups == number)
            counts = np.array([(draws[:, batch] == row).sum() for row in rows])
            assert counts.sum() == 600
            chi = float(((counts - 600 / size) ** 2 / (600 / size)).sum())
            assert chi < {6: 20.5, 15: 36.1}[size]  # 0.1 % of 5 and of 14 degrees of freedom


def test_seeds() -> None:
    X = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    first = diverse_batches(X, 8, 20, "random", seed=1)
    np.testing.assert_array_equal(diverse_batches(X, 8, 20, "random", seed=1), first)
    assert (diverse_batches(X, 8, 20, "random", seed=2) != first).any()


def test_threads_and_global_generators_do_not_matter() -> None:
    X = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)
    first = cluster(X, 16, 0)
    torch.manual_seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    torch.set_num_threads(2)
    np.testing.assert_array_equal(cluster(X, 16, 0), first)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()


@pytest.mark.parametrize("draw", ["random", "cycle"])
@pytest.mark.parametrize("distinct", [1, 3, 5])
def test_fewer_distinct_points_than_clusters(distinct: int, draw: str) -> None:
    """The largest clusters are cut in two: full batches, each row at most once in each of them."""
    X = np.random.default_rng(0).normal(size=(distinct, 7)).astype(np.float32)[np.arange(40) % distinct] + 5
    found = diverse_batches(X, 8, 30, draw, seed=0)
    assert found.shape == (30, 8)
    assert all(len(set(batch.tolist())) == 8 for batch in found)
    assert all(len(set((batch % distinct).tolist())) == distinct for batch in found)
    if draw == "cycle":
        assert len(np.unique(found)) == 40


@pytest.mark.parametrize("draw", ["random", "cycle"])
def test_fewer_samples_than_clusters(draw: str) -> None:
    X = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
    found = diverse_batches(X, 8, 5, draw, seed=0)
    assert (np.sort(found, axis=1) == [0, 0, 0, 1, 1, 1, 2, 2]).all()
    assert (diverse_batches(X, 3, 5, draw, seed=0) == diverse_batches(X, 3, 5, draw, seed=0)[0]).all()
    assert (diverse_batches(X[:1], 1, 4, draw, seed=0) == 0).all()


def test_all_samples_of_a_pool_are_used() -> None:
    """N x I_int samples in clusters of equal size: every one is drawn exactly once."""
    X, _ = blobs([12] * 5)
    for draw in ("random", "cycle"):
        assert np.unique(diverse_batches(X, 5, 12, draw, seed=0)).tolist() == list(range(60))


def test_plain_batches() -> None:
    assert plain_batches(10, 3, 2).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert plain_batches(4, 3, 3).tolist() == [[0, 1, 2], [3, 0, 1], [2, 3, 0]]
    assert plain_batches(2, 3, 1).tolist() == [[0, 1, 0]]
