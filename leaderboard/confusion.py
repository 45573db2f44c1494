"""What the kept predictions of a cell say class by class: who is taken for whom, recall, precision and F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.store.cards import Gold

SHOWN = 20  # classes of a matrix
COLLAPSED = 95  # per cent of the test rows: a replicate that gives more of them one label tells no classes apart


@dataclass(frozen=True)
class Confusion:
    """Counts over the test rows of all counted replicates, of C classes in the order of the task's label names.

    gold, predicted, right: int64 [C], rows of a class, rows that got its label, and both at once. matrix: int64 [K, K],
    gold class x predicted class, of the classes `shown`; where these are not all, a last row and column hold the rest.
    """

    names: tuple[str, ...]
    gold: np.ndarray
    predicted: np.ndarray
    right: np.ndarray
    shown: tuple[int, ...]
    matrix: np.ndarray
    counted: int  # replicates
    collapsed: dict[int, int]  # class -> replicates that give it to more than 95 % of the test rows

    @property
    def shares(self) -> np.ndarray:
        """Float64 [K, K]: the share of each gold class that got a label, in the mean over replicates; NaN: no row."""
        return _ratio(self.matrix, self.matrix.sum(axis=1, keepdims=True))

    @property
    def recall(self) -> np.ndarray:
        """Float64 [C]; NaN for a class without a test row."""
        return _ratio(self.right, self.gold)

    @property
    def precision(self) -> np.ndarray:
        """Float64 [C], of all replicates together; NaN for a class that was never predicted."""
        return _ratio(self.right, self.predicted)

    @property
    def f1(self) -> np.ndarray:
        """Float64 [C], of all replicates together; NaN for a class that has no row and was never predicted."""
        return _ratio(2 * self.right, self.gold + self.predicted)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole in float64, NaN where both are nothing."""
    found = np.full(part.shape, np.nan)
    np.divide(part, whole, out=found, where=np.broadcast_to(whole > 0, part.shape))
    return found


def _most_errors(gold: np.ndarray, predicted: np.ndarray, right: np.ndarray, most: int) -> tuple[int, ...]:
    """At most `most` classes: those with most rows that miss them or wrongly got them, in their order."""
    errors = gold + predicted - 2 * right
    return tuple(sorted(np.argsort(-errors, kind="stable")[:most].tolist()))


def confusion(predicted: np.ndarray, gold: Gold, most: int = SHOWN) -> Confusion:
    """Of the answers of a cell's replicates, int [k, n]; gold: the labels of the same revision of the task.

    most: classes of the matrix. ValueError when predictions do not fit the labels.
    """
    k, n_classes, n = len(predicted), gold.n_classes, len(gold.labels)
    if predicted.shape[1] != n or predicted.max(initial=0) >= n_classes:
        raise ValueError(f"predictions that do not fit the {n} gold labels of {n_classes} classes by {gold.path}")
    answers = predicted.astype(np.int64)
    given = np.bincount((np.arange(k)[:, None] * n_classes + answers).ravel(), minlength=k * n_classes)
    given = given.reshape(k, n_classes)
    right = np.zeros(n_classes, dtype=np.int64)
    np.add.at(right, gold.labels, (answers == gold.labels).sum(axis=0))
    totals = (np.bincount(gold.labels, minlength=n_classes) * k, given.sum(axis=0), right)
    shown = _most_errors(*totals, most)
    size = len(shown) + (len(shown) < n_classes)
    place = np.full(n_classes, size - 1)
    place[list(shown)] = np.arange(len(shown))
    pairs = place[gold.labels] * size + place[answers]
    collapsed = given[100 * given.max(axis=1) > COLLAPSED * n]
    classes, times = np.unique(collapsed.argmax(axis=1), return_counts=True)
    return Confusion(
        gold.card.label_names,
        *totals,
        shown,
        np.bincount(pairs.ravel(), minlength=size * size).reshape(size, size),
        counted=k,
        collapsed=dict(zip(classes.tolist(), times.tolist(), strict=True)),
    )


def collapse_text(found: Confusion) -> str:
    """`collapsed: 3 of 25 replicates give over 95 % of the test rows one label (2 bad, 1 good)`, or nothing."""
    if not found.collapsed:
        return ""
    named = ", ".join(f"{times} {found.names[label]}" for label, times in found.collapsed.items())
    many = sum(found.collapsed.values())
    whole = f"{many} of {found.counted} replicates give" if found.counted > 1 else "its replicate gives"
    return f"collapsed: {whole} over {COLLAPSED} % of the test rows one label ({named})"


def class_names(names: Sequence[str], shown: Sequence[int]) -> tuple[str, ...]:
    """Names of the rows and columns of a matrix; the last one is of all classes that are not shown."""
    rest = len(names) - len(shown)
    return (*(names[label] for label in shown), *([f"{rest} others"] if rest else []))
