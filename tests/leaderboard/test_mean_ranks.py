"""Mean ranks against the worked example of Demsar 2006 (his Table 6) and scipy.stats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from leaderboard.board import build
from leaderboard.mean_ranks import mean_ranks, over_tasks
from leaderboard.overview import overviews
from leaderboard.tables import overview_tables
from tests.leaderboard.records import cell, pocket

METHODS = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
AUC = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.975, 0.9749],  # printed as 0.975, but ranked 2 and 3: equal only to three digits
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_the_example_of_demsar() -> None:
    found = mean_ranks(METHODS, AUC)
    assert found.methods == ("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")
    assert found.ranks == pytest.approx((1.964, 2.000, 2.893, 3.143), abs=5e-4)
    assert found.chi2 == pytest.approx(9.28, abs=5e-3)
    assert found.f == pytest.approx(3.69, abs=5e-3)
    assert found.critical == pytest.approx(1.25, abs=5e-3)
    assert found.p == pytest.approx(stats.friedmanchisquare(*AUC.T).pvalue, abs=0.006)
    assert found.apart == [], "the post-hoc test separates none: 3.143 - 1.964 is under 1.25"
    assert not found.powerless


@given(st.integers(2, 8), st.integers(3, 6), st.integers(0, 99))
def test_without_ties_it_is_scipys_friedman(n: int, k: int, seed: int) -> None:
    scores = np.random.default_rng(seed).permuted(np.tile(np.arange(k, dtype=float), (n, 1)), axis=1)
    found = mean_ranks(tuple("abcdef"[:k]), scores)
    assert found.chi2 == pytest.approx(stats.friedmanchisquare(*scores.T).statistic, abs=1e-9)
    assert sum(found.ranks) == pytest.approx(k * (k + 1) / 2)


def test_with_few_tasks_p_is_that_of_all_permutations() -> None:
    """Rank sums 4, 5, 9 of 3 tasks: the tables of Friedman's test have 0.194; the F distribution would say 0.049."""
    found = mean_ranks(("a", "b", "c"), np.array([[0.9, 0.8, 0.1], [0.9, 0.8, 0.1], [0.8, 0.9, 0.1]]))
    assert found.chi2 == pytest.approx(14 / 3)
    assert found.p == pytest.approx(0.194, abs=5e-4)
    assert found.f is not None
    assert stats.f.sf(found.f, 2, 4) < 0.05


def test_higher_scores_have_lower_ranks_and_few_tasks_separate_nothing() -> None:
    agreed = mean_ranks(("bad", "good", "fair"), np.array([[0.1, 0.9, 0.5]] * 2))
    assert (agreed.methods, agreed.ranks) == (("good", "fair", "bad"), (1.0, 2.0, 3.0))
    assert agreed.f is None
    assert agreed.powerless, "two tasks that agree in full: CD 2.34 of at most 2"
    many = mean_ranks(("bad", "good", "fair"), np.array([[0.1, 0.9, 0.5]] * 20))
    assert many.apart == [(0, 1), (0, 2), (1, 2)]
    equal = mean_ranks(("a", "b", "c"), np.full((20, 3), 0.5))
    assert (equal.ranks, equal.chi2, equal.p, equal.apart) == ((2.0, 2.0, 2.0), 0.0, 1.0, [])


def test_a_task_counts_once_and_a_method_with_a_hole_not_at_all() -> None:
    records = pocket(("bbc", "rt"), (5, 20))
    (table,) = overviews(build(records))
    found = over_tasks(table)
    assert found is not None
    assert found.n_tasks == 2, "not 4: sizes of one task are no further tasks"
    means = {
        method: [np.mean([one.summary.mean for one in cells[at : at + 2] if one and one.summary]) for at in (0, 2)]
        for method, cells, _ in table.rows
    }
    expected = stats.rankdata(-np.array(list(means.values())).T, axis=1).mean(axis=0)
    assert dict(zip(found.methods, found.ranks, strict=True)) == pytest.approx(dict(zip(means, expected, strict=True)))
    without = [one for one in records if (one.task.name, one.method.name, one.dpc) != ("rt", "herding", 20)]
    (table,) = overviews(build(without))
    found = over_tasks(table)
    assert found is not None
    assert set(found.methods) == {"random", "kcenters"}
    (table,) = overviews(build(cell("random")))
    assert over_tasks(table) is None


def test_a_choice_of_methods_changes_no_mean_rank() -> None:
    records = pocket(("bbc", "rt"), (5, 20))
    whole = overview_tables(build(records))[0].note
    assert "Mean ranks over 2 tasks" in whole
    assert overview_tables(build(records, methods=["random", "herding"], dpcs=[5]))[0].note == whole
