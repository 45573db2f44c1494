"""Greedy matching against brute force on explicit gradients, and projections against exact products."""

from __future__ import annotations

import numpy as np
import pytest

from methods.scores.grad_match import mean_error
from methods.scores.matching import Gradients, match_mean, projected
from methods.selection import herding_mean
from tests.methods.scores.conftest import explicit, random_checkpoints


def brute_force(G: np.ndarray, k: int) -> list[int]:
    """Each step tries every row that is left."""
    picked: list[int] = []
    for _ in range(k):
        left = [row for row in range(len(G)) if row not in picked]
        errors = [np.linalg.norm(G[[*picked, row]].mean(0) - G.mean(0)) for row in left]
        picked.append(left[int(np.argmin(errors))])
    return picked


@pytest.mark.parametrize("classes", [2, 5])
def test_products_and_choice_are_those_of_explicit_gradients(classes: int) -> None:
    checkpoints = random_checkpoints(24, classes, 6, 3, seed=classes)
    G, gradients = explicit(checkpoints), Gradients(checkpoints)
    np.testing.assert_allclose(gradients.squared_norms(), (G**2).sum(1), rtol=1e-12)
    np.testing.assert_allclose(gradients.with_mean(), G @ G.mean(0), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(gradients.with_row(5), G @ G[5], rtol=1e-10, atol=1e-12)
    assert match_mean(gradients, 24).tolist() == brute_force(G, 24)
    picked = match_mean(gradients, 4)
    relative = np.linalg.norm(G[picked].mean(0) - G.mean(0)) / np.linalg.norm(G.mean(0))
    assert mean_error(checkpoints, picked) == pytest.approx(relative, rel=1e-9)
    assert mean_error(checkpoints, np.arange(24)) == pytest.approx(0, abs=1e-6)


def test_equal_rows_are_taken_from_the_lowest_index_on() -> None:
    own = random_checkpoints(1, 3, 4, 2)
    same = Gradients([each.at(np.zeros(5, dtype=np.int64)) for each in own])
    assert match_mean(same, 4).tolist() == [0, 1, 2, 3]


def test_projected_products_are_unbiased_and_their_error_falls_as_one_over_root_k() -> None:
    checkpoints = random_checkpoints(12, 3, 8, 2)
    G = explicit(checkpoints)
    scale = np.linalg.norm(G, axis=1)
    pairs = np.triu_indices(12)
    spread = {}
    for k in (64, 1024):
        draws = []
        for seed in range(60):
            Z = projected(checkpoints, k, np.random.default_rng(seed)).astype(np.float64)
            draws.append(((Z @ Z.T - G @ G.T) / np.outer(scale, scale))[pairs])
        errors = np.array(draws)
        spread[k] = errors.std()
        bias = errors.mean(0) / (errors.std(0, ddof=1) / np.sqrt(60))
        assert np.abs(bias).max() < 5
        assert np.abs(errors.mean()) < 4 * errors.mean(1).std(ddof=1) / np.sqrt(60)
    assert 0.5 < spread[64] * 8 < 3  # the bound of its variance is 8/k
    assert spread[64] / spread[1024] == pytest.approx(4, rel=0.2)


def test_a_wide_projection_chooses_as_the_exact_products_do() -> None:
    checkpoints = random_checkpoints(15, 2, 3, 1, seed=4)
    G = explicit(checkpoints)
    Z = projected(checkpoints, 1 << 16, np.random.default_rng(0))
    picked = herding_mean(Z, 3)
    exact = brute_force(G, 3)
    best, found = (np.linalg.norm(G[rows].mean(0) - G.mean(0)) for rows in (exact, picked))
    assert found < 1.2 * best + 1e-3
