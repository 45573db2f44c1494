"""Task metrics as fractions, by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import Metric

if TYPE_CHECKING:
    import numpy as np


def score(metric: Metric, gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Accuracy; for "accuracy_f1" (QQP) also F1 of class 1 and the mean of both.

    gold, predicted: int [n]. The entry named like the metric is the one that a board shows.
    """
    from sklearn.metrics import accuracy_score, f1_score

    accuracy = float(accuracy_score(gold, predicted))
    if metric == "accuracy":
        return {"accuracy": accuracy}
    f1 = float(f1_score(gold, predicted, pos_label=1, zero_division=0.0))
    return {"accuracy": accuracy, "f1": f1, "accuracy_f1": (accuracy + f1) / 2}
