"""Greedy MAP against determinants of whole kernels, and where the rank ends."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from methods.demonstrations.determinant import greedy_map
from methods.selection import farthest_first


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    X = np.random.default_rng(seed).standard_normal((n, d)) + 0.5
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def log_determinant(X: np.ndarray, rows: list[int]) -> float:
    """log det of the kernel (1 + cosine) / 2 of these rows."""
    sign, value = np.linalg.slogdet((1 + X[rows] @ X[rows].T) / 2)
    return float(value) if sign > 0 else -np.inf


def greedy_by_determinants(X: np.ndarray, k: int, start: int) -> list[int]:
    """The literal rule: try every row and compute the determinant anew."""
    rows = [start]
    while len(rows) < k:
        tried = [-np.inf if row in rows else log_determinant(X, [*rows, row]) for row in range(len(X))]
        rows.append(int(np.argmax(tried)))
    return rows


@given(seed=st.integers(0, 10_000), n=st.integers(2, 14), d=st.integers(1, 9), data=st.data())
def test_against_determinants(seed: int, n: int, d: int, data: st.DataObject) -> None:
    X = unit(n, d, seed)
    k = data.draw(st.integers(1, min(n, d)))
    start = data.draw(st.integers(0, n - 1))
    found = greedy_map(X, k, start)
    assert found.indices[0] == start
    assert len(set(found.indices.tolist())) == k
    for step in range(1, len(found.gains)):
        before = found.indices[:step].tolist()
        tried = [log_determinant(X, [*before, row]) for row in range(n) if row not in before]
        taken = log_determinant(X, found.indices[: step + 1].tolist())
        assert taken >= max(tried) - 1e-5
        assert taken - log_determinant(X, before) == pytest.approx(np.log(found.gains[step]), abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_rows_as_by_determinants(seed: int) -> None:
    X = unit(60, 20, seed)
    found = greedy_map(X, 15, start=seed)
    assert found.indices.tolist() == greedy_by_determinants(X, 15, seed)
    assert found.gains[0] == pytest.approx(1)
    assert np.log(found.gains).sum() == pytest.approx(log_determinant(X, found.indices.tolist()))
    assert found.filled == 0


def test_gains_fall() -> None:
    assert (np.diff(greedy_map(unit(300, 30), 25, 0).gains[1:]) <= 0).all()


def test_float32_rows_give_the_same() -> None:
    X = unit(400, 24).astype(np.float32)
    assert greedy_map(X, 20, 3).indices.tolist() == greedy_map(X.astype(np.float64), 20, 3).indices.tolist()


def test_row_order_does_not_matter() -> None:
    X = unit(200, 16)
    order = np.random.default_rng(1).permutation(len(X))
    straight = greedy_map(X, 12, int(order[5])).indices
    assert order[greedy_map(X[order], 12, 5).indices].tolist() == straight.tolist()


def test_opposite_rows_are_the_most_diverse() -> None:
    """By the plain Gram matrix the opposite row would be as good as a copy."""
    X = np.array([[1.0, 0], [0, 1], [-1, 0], [0.6, 0.8]])
    assert greedy_map(X, 2, 0).indices.tolist() == [0, 2]


def test_rounding_errors_of_features_change_nothing() -> None:
    """The diagonal is 1 for all rows but for rounding: whoever began with its largest entry would follow the noise."""
    X, rng = unit(400, 32), np.random.default_rng(2)
    plain, largest = greedy_map(X, 12, 7).indices.tolist(), set()
    for _ in range(10):
        noisy = (X + 1e-7 * rng.standard_normal(X.shape)).astype(np.float32)
        assert greedy_map(noisy, 12, 7).indices.tolist() == plain
        largest.add(int((noisy.astype(np.float64) ** 2).sum(1).argmax()))
    assert len(largest) > 5


class TestWhereTheRankEnds:
    def test_more_rows_than_dimensions_and_one(self) -> None:
        X = unit(30, 4)
        found = greedy_map(X, 9, 2)
        assert (len(found.gains), found.filled) == (5, 4)
        assert found.indices[:5].tolist() == greedy_by_determinants(X, 5, 2)
        first = found.indices[:5].tolist()
        assert found.indices[5:].tolist() == farthest_first(X, first, 4)

    def test_repeated_rows_wait_until_nothing_else_is_left(self) -> None:
        X = np.tile(unit(5, 12), (3, 1))
        found = greedy_map(X, 15, 6)
        assert {row % 5 for row in found.indices[:5].tolist()} == set(range(5))
        assert found.indices[1:5].max() < 5  # of equal rows the lowest
        assert sorted(found.indices.tolist()) == list(range(15))
        assert found.filled == 10

    def test_copies_but_for_the_rounding_of_an_encoder_bring_nothing(self) -> None:
        X = unit(6, 40).astype(np.float32)
        copies = X + 1e-7 * np.random.default_rng(3).standard_normal((4, 6, 40)).astype(np.float32)
        found = greedy_map(np.concatenate([X, *copies]), 9, 0)
        assert {row % 6 for row in found.indices[:6].tolist()} == set(range(6))
        assert found.filled == 3

    def test_all_rows_and_all_the_same(self) -> None:
        every = greedy_map(unit(25, 40), 25, 4)
        assert (sorted(every.indices.tolist()), every.filled) == (list(range(25)), 0)
        same = greedy_map(np.full((5, 4), 0.5), 4, 2)
        assert (same.indices.tolist(), same.filled) == ([2, 0, 1, 3], 3)
        assert greedy_map(unit(5, 3), 1, 4).indices.tolist() == [4]

    def test_a_row_of_zeros_is_possible(self) -> None:
        X = np.concatenate([np.zeros((1, 6)), unit(5, 6)])
        for start in (0, 3):
            found = greedy_map(X, 6, start)
            assert np.isfinite(found.gains).all()
            assert sorted(found.indices.tolist()) == list(range(6))

    def test_large_sets_stay_exact(self) -> None:
        X = unit(500, 300).astype(np.float32)
        found = greedy_map(X, 320, 0)
        assert found.filled == 320 - 301
        rows = found.indices[:301].tolist()
        assert np.log(found.gains).sum() == pytest.approx(log_determinant(X.astype(np.float64), rows), rel=1e-6)


def test_the_kernel_of_many_rows_is_never_formed() -> None:
    X = unit(20_000, 16).astype(np.float32)
    tracemalloc.start()
    found = greedy_map(X, 10, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.filled == 0
    assert peak < 20 * 8 * 20_000 * 10  # the kernel takes 8 x 20,000^2: 2,000 times the factor of ten rows


def test_what_it_reads_is_left_alone() -> None:
    X = unit(50, 8)
    X.setflags(write=False)
    assert greedy_map(X, 12, 0).indices.tolist() == greedy_map(X.copy(), 12, 0).indices.tolist()


@pytest.mark.parametrize("k", [0, 6])
def test_impossible_k_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=r"k must be in 1\.\.5"):
        greedy_map(unit(5, 3), k, 0)
