"""Whether records have the scores that their predictions have on the kept gold labels; many records at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.store.cards import Gold
from bench.store.record import Record

if TYPE_CHECKING:
    import numpy as np

SAME = 1e-9  # one prediction more or less changes a score by more than this
BLOCK = 1 << 23  # predictions that are compared at once


@dataclass(frozen=True)
class Wrong:
    """A record that cannot be true, with the reason in a few words."""

    record: Record
    reason: str


def check(records: Sequence[Record], gold: Gold, code: str) -> Iterator[Record | Wrong]:
    """Of the finished records of one task revision those that are wrong, and those whose metrics changed, as today's.

    code: the digest of today's code of the metrics; a record without one must have the score that today's code gives.
    """
    blocks: dict[str, list[tuple[Record, np.ndarray]]] = defaultdict(list)
    most = max(1, BLOCK // max(1, len(gold.labels)))
    for record in records:
        try:
            predicted = _predicted(record, gold)
        except ValueError as error:
            yield Wrong(record, str(error))
            continue
        block = blocks[predicted.dtype.str]
        block.append((record, predicted))
        if len(block) == most:
            yield from _compared(block, gold, code)
            block.clear()
    for block in blocks.values():
        yield from _compared(block, gold, code)


def _predicted(record: Record, gold: Gold) -> np.ndarray:
    """The predictions in their stored type, as many as there are gold labels."""
    assert record.predictions is not None, "a finished record has predictions"
    predicted = record.predictions.raw()
    if len(predicted) != len(gold.labels):
        raise ValueError(f"{len(predicted)} predictions, but {len(gold.labels)} gold labels by {gold.path}")
    if record.metric != gold.metric:
        raise ValueError(f"metric {record.metric}, but {gold.metric} by {gold.path}")
    return predicted


def _compared(block: Sequence[tuple[Record, np.ndarray]], gold: Gold, code: str) -> Iterator[Record | Wrong]:
    import numpy as np

    if not block:
        return
    predicted = np.stack([labels for _, labels in block])
    holds = np.array([(record.metrics_code or code) == code for record, _ in block])
    scores = quick_scores(gold.metric, gold.labels, predicted)
    for name, found in scores.items():
        noted = np.array([record.metrics.get(name, np.nan) for record, _ in block])
        holds &= np.abs(noted - found) < SAME
    holds &= np.array([len(record.metrics) == len(scores) for record, _ in block])
    largest = predicted.max(axis=1, initial=0)
    for row in map(int, np.flatnonzero(~holds | (largest >= gold.n_classes))):
        record, labels = block[row]
        if largest[row] >= gold.n_classes:
            yield Wrong(record, f"it predicts the label {largest[row]}, not in 0..{gold.n_classes - 1}")
        elif (now := _rescored(record, labels, gold, code)) is not None:
            yield now


def _rescored(record: Record, labels: np.ndarray, gold: Gold, code: str) -> Record | Wrong | None:
    """A record whose metrics are not those of `quick_scores`, or are of other code; None when they hold after all."""
    import numpy as np

    from bench import metrics

    now = metrics.score(gold.metric, gold.labels, labels.astype(np.int64))
    if record.metrics.keys() == now.keys() and all(abs(record.metrics[name] - now[name]) < SAME for name in now):
        return None
    if (record.metrics_code or code) == code:
        return Wrong(record, f"score {record.score}, but its predictions give {now[gold.metric]} by {gold.path}")
    return replace(record, metrics=now, score=now[gold.metric], metrics_code=code)


def quick_scores(metric: str, gold: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """What `bench.metrics.score` gives for each row of predictions [k, n], in a hundredth of its time, each [k].

    Good enough to find that a score holds: equal to the last bits but not in them.
    """
    hits = predicted == gold
    accuracy = hits.sum(axis=1) / max(len(gold), 1)
    if metric == "accuracy":
        return {"accuracy": accuracy}
    one = gold == 1
    positives = one.sum() + (predicted == 1).sum(axis=1)
    true = (hits & one).sum(axis=1)
    f1 = 2 * true / positives.clip(min=1)
    return {"accuracy": accuracy, "f1": f1, "accuracy_f1": (accuracy + f1) / 2}


def by_revision(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The finished records of each task revision."""
    found: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.finished:
            found[record.task.revision].append(record)
    return found
