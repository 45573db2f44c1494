"""Per-class results against scikit-learn, and each way in which they could be wrong without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from bench.store.cards import Gold
from leaderboard.confusion import Confusion, class_names, collapse_text, confusion
from tests.leaderboard.records import task_card


def gold_of(labels: Any, n_classes: int, names: tuple[str, ...] | None = None) -> Gold:
    labels = tuple(map(int, labels))
    names = names or tuple(f"class {i}" for i in range(n_classes))
    return Gold(task_card(label_names=names, test_labels=labels, n_test=len(labels)), Path("card.json"))


def of(answers: Any, labels: Any, n_classes: int, **more: Any) -> Confusion:
    return confusion(np.asarray(answers), gold_of(labels, n_classes), **more)


@given(data=st.data(), n_classes=st.integers(2, 7), n_replicates=st.integers(1, 4))
def test_equal_to_scikit_learn(data: st.DataObject, n_classes: int, n_replicates: int) -> None:
    label = st.integers(0, n_classes - 1)
    labels = data.draw(st.lists(label, min_size=1, max_size=12))
    row = st.lists(label, min_size=len(labels), max_size=len(labels))
    answers = data.draw(st.lists(row, min_size=n_replicates, max_size=n_replicates))
    found = of(answers, labels, n_classes)
    gold, predicted = labels * n_replicates, [one for each in answers for one in each]
    classes = list(range(n_classes))
    expected = confusion_matrix(gold, predicted, labels=classes)
    assert found.matrix.dtype.kind == "i"
    assert found.matrix.tolist() == expected.tolist()
    precision, recall, f1, support = precision_recall_fscore_support(
        gold, predicted, labels=classes, zero_division=np.nan
    )
    np.testing.assert_allclose(found.precision, precision)
    np.testing.assert_allclose(found.recall, recall)
    named = (found.gold + found.predicted) > 0  # elsewhere scikit-learn may answer 0
    np.testing.assert_allclose(found.f1[named], f1[named])
    assert found.gold.tolist() == support.tolist()
    assert found.counted == n_replicates


def test_rows_are_gold_classes_and_columns_predicted_ones() -> None:
    found = of([[1, 1, 1, 0]], [0, 0, 0, 1], 2)
    assert found.matrix.tolist() == [[0, 3], [1, 0]]
    found = of([[1, 1, 1, 1]], [0, 0, 0, 1], 2)
    assert found.shares.tolist() == [[0, 1], [0, 1]], "each row is one gold class and sums to 1"
    assert found.recall.tolist() == [0, 1]
    assert found.precision[1] == 0.25
    assert np.isnan(found.precision[0]), "never predicted"


def test_shares_are_means_over_replicates() -> None:
    rng = np.random.default_rng(0)
    labels, answers = rng.integers(3, size=60), rng.integers(3, size=(4, 60))
    each = [confusion_matrix(labels, one, labels=[0, 1, 2], normalize="true") for one in answers]
    np.testing.assert_allclose(of(answers, labels, 3).shares, np.mean(each, axis=0))


def test_names_stand_in_the_order_of_the_label_numbers_not_of_the_alphabet() -> None:
    found = confusion(np.array([[0, 0, 1]]), gold_of([0, 0, 1], 2, ("zebra", "ape")))
    assert dict(zip(found.names, found.gold.tolist(), strict=True)) == {"zebra": 2, "ape": 1}


@pytest.mark.parametrize("answer", [[0, 1], [0, 1, 2]], ids=["another number of rows", "a label beyond the classes"])
def test_predictions_that_do_not_fit_are_refused(answer: list[int]) -> None:
    with pytest.raises(ValueError, match=r"3 gold labels of 2 classes by card\.json"):
        confusion(np.array([answer]), gold_of([0, 1, 1], 2))


def test_of_many_classes_those_with_most_errors_are_shown_and_no_row_is_lost() -> None:
    rng = np.random.default_rng(1)
    n_classes = 60
    labels = rng.integers(n_classes, size=3000)
    answer = np.where((labels < 12) & (rng.random(3000) < 0.7), (labels + 1) % 12, labels)
    found = of([answer], labels, n_classes, most=12)
    assert found.shown == tuple(range(12))
    assert class_names(found.names, found.shown)[-2:] == ("class 11", "48 others")
    whole = confusion_matrix(labels, answer)
    assert found.matrix.shape == (13, 13)
    assert found.matrix[:12, :12].tolist() == whole[:12, :12].tolist()
    assert found.matrix.sum() == 3000
    assert found.matrix[:12, 12].tolist() == whole[:12, 12:].sum(axis=1).tolist()
    assert len(found.recall) == n_classes, "of all classes"


def test_all_of_few_classes_are_shown_without_a_rest() -> None:
    found = of([[0, 1]], [0, 1], 2)
    assert found.matrix.shape == (2, 2)
    assert class_names(found.names, found.shown) == ("class 0", "class 1")


def test_many_classes_need_no_square_of_memory() -> None:
    labels = np.arange(20_000)
    found = of([labels[::-1]], labels, 20_000)
    assert found.matrix.shape == (21, 21)


@pytest.mark.parametrize(("n", "collapsed"), [(95, {}), (96, {1: 1})])
def test_collapsed_is_more_than_95_per_cent_of_the_rows(n: int, collapsed: dict[int, int]) -> None:
    found = of([[1] * n + [0] * (100 - n)], [0, 1] * 50, 2)
    assert found.collapsed == collapsed
    assert collapse_text(found) == (
        "collapsed: its replicate gives over 95 % of the test rows one label (1 class 1)" if collapsed else ""
    )


def test_replicates_that_collapse_into_different_classes_do_not_hide_each_other() -> None:
    found = of([[0] * 10, [1] * 10, [1] * 10, [0, 1] * 5], [0, 1] * 5, 2)
    assert found.collapsed == {0: 1, 1: 2}
    assert "3 of 4 replicates give over 95 % of the test rows one label (1 class 0, 2 class 1)" in collapse_text(found)
