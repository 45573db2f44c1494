"""Agreement within a margin, against statsmodels' two one-sided tests and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.weightstats import ttost_ind

from leaderboard.equivalence import ERROR, Mean, agreement


def mean_of(values: np.ndarray) -> Mean:
    return Mean(float(values.mean()), float(values.std(ddof=1)), len(values))


@given(st.integers(0, 2**32), st.integers(3, 30), st.integers(3, 30), st.floats(0.005, 0.1), st.floats(-0.06, 0.06))
def test_agrees_when_statsmodels_rejects_both_one_sided_hypotheses(
    seed: int, n: int, m: int, margin: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = rng.normal(0.6 + shift, 0.02, n), rng.normal(0.6, 0.04, m)
    p, _, _ = ttost_ind(ours, theirs, -margin, margin, usevar="unequal")
    found = agreement(mean_of(ours), mean_of(theirs), margin)
    assert (found.verdict == "agrees") == (p < ERROR)


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.02, "agrees"), (0.02, "differs"), (0.0, "differs"), (0.05, "agrees")]
)
def test_no_verdict_is_wrong_more_often_than_it_claims(shift: float, verdict: str) -> None:
    """A true difference at the margin, within it and beyond it: 10 sets of ours, 20 published, 4,000 times."""
    rng = np.random.default_rng(3)
    wrong = sum(
        agreement(mean_of(rng.normal(shift, 0.03, 10)), mean_of(rng.normal(0, 0.05, 20)), 0.02).verdict == verdict
        for _ in range(4000)
    )
    assert wrong / 4000 < ERROR + 0.01


def test_further_values_decide() -> None:
    """As many as are said, and not one fewer."""
    theirs = Mean(0.70, 0.04, 2000)
    for ours in (Mean(0.705, 0.06, 5), Mean(0.75, 0.06, 5)):
        found = agreement(ours, theirs, 0.02)
        assert found.verdict == "undecided"
        assert found.further is not None
        assert found.further > 0
        for more, decided in ((found.further, True), (found.further - 1, False)):
            later = agreement(Mean(ours.mean, ours.deviation, ours.n + more), theirs, 0.02)
            assert (later.verdict != "undecided") is decided


def test_a_wide_published_mean_cannot_be_decided_by_more_of_ours() -> None:
    found = agreement(Mean(0.70, 0.01, 50), Mean(0.70, 0.07, 20), 0.02)
    assert (found.verdict, found.further) == ("undecided", None)
    assert agreement(Mean(0.70, 0.01, 50), Mean(0.70, 0.01, 20), 0.02).further == 0


def test_without_any_spread_the_difference_decides() -> None:
    assert agreement(Mean(0.7, 0.0, 5), Mean(0.7, 0.0, 5), 0.02).verdict == "agrees"
    assert agreement(Mean(0.8, 0.0, 5), Mean(0.7, 0.0, 5), 0.02).verdict == "differs"
