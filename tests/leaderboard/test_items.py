"""Scores of single test rows: their means are the metrics, their spread that of the metric over drawn test rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import metrics
from leaderboard.items import item_scores
from leaderboard.scores import Hits, Scores

LABELS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30)


@given(LABELS, st.sampled_from(["accuracy", "accuracy_f1"]))
def test_the_mean_over_rows_is_the_metric(pairs: list[tuple[int, int]], metric: str) -> None:
    gold, predicted = np.array(pairs).T
    found = item_scores(metric, gold, predicted[None])
    assert found.shape == (1, len(pairs))
    expected = metrics.score(metric, gold, predicted)[metric]  # type: ignore[arg-type]
    assert float(found.mean()) == pytest.approx(expected, abs=1e-12)


def test_the_spread_is_that_of_the_metric_over_drawn_rows() -> None:
    """F1 is no mean: its linear part has to vary as it does when test rows are drawn anew."""
    rng = np.random.default_rng(0)
    draws, items = 3000, 400
    gold = (rng.random((draws, items)) < 0.37).astype(int)
    predicted = np.where(rng.random((draws, items)) < 0.7, gold, 1 - gold)
    scores = [
        metrics.score("accuracy_f1", g, p)["accuracy_f1"] for g, p in zip(gold[:1500], predicted[:1500], strict=True)
    ]
    widths = [
        item_scores("accuracy_f1", g, p[None]).std(ddof=1) / np.sqrt(items)
        for g, p in zip(gold[1500:], predicted[1500:], strict=True)
    ]
    assert np.mean(widths) == pytest.approx(np.std(scores), rel=0.05)


def test_unknown_metrics_have_no_scores_of_rows() -> None:
    with pytest.raises(ValueError, match="'bleu'"):
        item_scores("bleu", np.array([0]), np.array([[0]]))


@given(st.integers(1, 5), st.integers(1, 20), st.integers(0, 99))
def test_a_bit_each_holds_the_same_table(n: int, items: int, seed: int) -> None:
    table = np.random.default_rng(seed).random((n, items)) < 0.5
    kept = Hits(table)
    np.testing.assert_array_equal(kept[:], table)
    np.testing.assert_array_equal(kept[[n - 1, 0]], table[[n - 1, 0]])
    np.testing.assert_array_equal(np.asarray(kept), table)
    assert (kept.shape, kept[:].dtype) == (table.shape, np.dtype(bool))
    replicates, names = tuple((0, place, 0) for place in range(n)), tuple(map(str, range(n)))
    plain, packed = (Scores(replicates, names, table.mean(axis=1), each) for each in (table, kept))
    assert plain == packed
    np.testing.assert_array_equal(plain.by_unit(True), packed.by_unit(True))
