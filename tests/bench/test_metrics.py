"""The task metrics: what a constant answer scores on the splits that papers report, known from their class counts."""

from __future__ import annotations

import numpy as np
import pytest

from bench import metrics
from bench.api import Metric

SST2 = (428, 444)  # rows of each class in the validation split, which stands in for the test split
QQP = (25_545, 14_885)
MNLI_M = (3479, 3123, 3213)


@pytest.mark.parametrize(
    ("metric", "counts", "expected"),
    [
        ("accuracy", SST2, (49.1, 50.9)),
        ("accuracy_f1", QQP, (31.6, 45.3)),  # all negative: accuracy 63.2 and F1 0
        ("accuracy", MNLI_M, (35.4, 31.8, 32.7)),
    ],
    ids=["sst2", "qqp", "mnli-m"],
)
def test_a_constant_answer_scores_what_the_class_counts_say(
    metric: Metric, counts: tuple[int, ...], expected: tuple[float, ...]
) -> None:
    gold = np.repeat(np.arange(len(counts)), counts)
    found = [metrics.score(metric, gold, np.full_like(gold, label))[metric] for label in range(len(counts))]
    assert [round(100 * value, 1) for value in found] == list(expected)


def test_the_mean_of_accuracy_and_f1_keeps_its_parts() -> None:
    gold = np.repeat([0, 1], QQP)
    found = metrics.score("accuracy_f1", gold, np.ones_like(gold))
    share = QQP[1] / sum(QQP)
    assert found == pytest.approx(
        {"accuracy": share, "f1": 2 * share / (1 + share), "accuracy_f1": (share + 2 * share / (1 + share)) / 2}
    )
