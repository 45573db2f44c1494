"""What each test row adds to a metric: scores of single rows whose mean is the metric."""

from __future__ import annotations

import numpy as np


def item_scores(metric: str, gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Scores [k, I] of I test rows in k runs; the mean over rows is the run's metric.

    gold: labels [I]; predicted: [k, I]. Accuracy: whether a label is right, bool. The mean of accuracy and F1 of class
    1 (`accuracy_f1`): float64; F1 is no mean over rows, so each row stands with its first-order influence on it,

        F1 + I * (2 tp_i - F1 * (2 tp_i + fp_i + fn_i)) / sum_j (2 tp_j + fp_j + fn_j),

    of which the mean is F1 and the variance that of the linearised F1 (the delta method).
    """
    hits: np.ndarray = predicted == gold
    if metric == "accuracy":
        return hits
    if metric != "accuracy_f1":
        raise ValueError(f"no scores of single rows for the metric '{metric}'")
    named = (predicted == 1).astype(np.int64) + (gold == 1)  # 2 tp + fp + fn
    true = 2 * (hits & (gold == 1))
    total = named.sum(axis=1, keepdims=True)
    f1 = true.sum(axis=1, keepdims=True) / np.maximum(total, 1)
    influence = len(gold) * (true - f1 * named) / np.maximum(total, 1)
    found: np.ndarray = (hits + f1 + influence) / 2
    return found
