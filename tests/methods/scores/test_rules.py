"""The rules of selection against examples computed by hand and the formulas written out again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methods.scores.rules import (
    budgets,
    easiest,
    hardest,
    nearest_median,
    stratified,
    stratum_of,
    without_hardest,
)


def test_ranked_with_ties_to_the_lowest_index() -> None:
    scores = np.array([2.0, 5.0, 1.0, 5.0, 1.0])
    assert hardest(scores, 3).tolist() == [1, 3, 0]
    assert easiest(scores, 3).tolist() == [2, 4, 0]
    assert hardest(np.ones(6), 4).tolist() == easiest(np.ones(6), 4).tolist() == [0, 1, 2, 3]


def test_nearest_to_the_median_by_hand() -> None:
    distances = np.array([9.0, 1.0, 4.0, 6.0, 5.0])  # median 5
    assert nearest_median(distances, 4).tolist() == [4, 2, 3, 0]  # |d - 5|: 4, 4, 1, 1, 0
    assert nearest_median(np.array([0.0, 4.0, 6.0, 20.0]), 2).tolist() == [1, 2]  # median 5, between two rows
    assert nearest_median(np.ones(5), 2).tolist() == [0, 1]


def test_the_hardest_are_dropped() -> None:
    scores = np.array([3.0, 9.0, 1.0, 9.0, 2.0, 8.0])
    assert without_hardest(scores, 0.4, 1).tolist() == [0, 2, 4, 5]  # floor(0.4 * 6) = 2
    assert without_hardest(scores, 0.2, 1).tolist() == [0, 1, 2, 4, 5]  # of the equal rows 1 and 3 the first stays
    assert without_hardest(scores, 0.9, 4).tolist() == [0, 2, 4, 5]  # four have to be left
    assert without_hardest(scores, 0.0, 1).tolist() == [0, 1, 2, 3, 4, 5]


def test_strata_have_equal_widths() -> None:
    scores = np.array([1.0, 1.9, 2.0, 3.1, 4.9, 5.0])
    assert stratum_of(scores, 4).tolist() == [0, 0, 1, 2, 3, 3]  # widths of 1; the highest belongs to the last
    assert stratum_of(np.full(3, 0.7), 50).tolist() == [0, 0, 0]
    x = np.random.default_rng(0).random(500)
    edges = np.linspace(x.min(), x.max(), 51)
    assert stratum_of(x, 50).tolist() == np.clip(np.digitize(x, edges) - 1, 0, 49).tolist()


def test_budgets_by_hand() -> None:
    # 12 rows: 12/4 = 3, the stratum of 1 gives 1; 11/3 = 3, that of 2 gives 2; 9/2 = 4, that of 10 gives 4; 5 remain
    assert budgets([30, 2, 10, 1], 12) == [5, 2, 4, 1]
    assert budgets([4, 4, 4], 2) == [0, 1, 1]  # floor(2/3) = 0, floor(2/2) = 1, floor(1/1) = 1
    assert budgets([0, 3, 0, 2], 4) == [0, 2, 0, 2]
    assert budgets([1, 2], 9) == [1, 2]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=12), st.integers(0, 60))
def test_budgets_sum_and_fit(sizes: list[int], k: int) -> None:
    found = budgets(sizes, k)
    assert sum(found) == min(k, sum(sizes))
    assert all(0 <= own <= size for own, size in zip(found, sizes, strict=True))
    # as even as the sizes allow: a stratum that has rows left gives at most one less than any other
    spare = [own for own, size in zip(found, sizes, strict=True) if own < size]
    assert not spare or max(found) - min(spare) <= 1


def test_stratified_takes_each_budget_at_random() -> None:
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.uniform(0, 0.1, 60), rng.uniform(0.1, 0.9, 20), [2.0] * 20])
    taken = np.zeros(100)
    for seed in range(300):
        picked = stratified(scores, 10, 0.2, 4, np.random.default_rng(seed))
        assert len(set(picked.tolist())) == 10
        kept = without_hardest(scores, 0.2, 10)
        strata = np.bincount(stratum_of(scores[kept], 4), minlength=4)
        given_ = np.bincount(stratum_of(scores[kept], 4)[np.searchsorted(kept, picked)], minlength=4)
        assert given_.tolist() == budgets(strata.tolist(), 10)
        taken[picked] += 1
    assert not taken[80:].any()  # the 20 hardest
    own = stratum_of(scores[:80], 4)
    for stratum in range(4):
        share = taken[:80][own == stratum] / 300
        expected = share.mean()
        assert np.abs(share - expected).max() < 5 * np.sqrt(expected * (1 - expected) / 300) + 1e-9


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.99])
def test_stratified_gives_all_that_are_asked_for(beta: float) -> None:
    scores = np.array([1.0, 1.0, 1.0, 4.0, 9.0])
    for k in range(1, 6):
        assert len(set(stratified(scores, k, beta, 50, np.random.default_rng(0)).tolist())) == k
