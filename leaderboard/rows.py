"""The records of a cell as a row, not yet compared with others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from bench.store.cards import Gold
from bench.store.identity import canonical
from bench.store.record import Record
from leaderboard.box import box_of
from leaderboard.cells import CellRecords, replicate_of
from leaderboard.confusion import confusion
from leaderboard.cost import cost, distil_memory, largest, preparations, shared
from leaderboard.items import item_scores
from leaderboard.overlap import repeats
from leaderboard.row import Row
from leaderboard.scores import Hits, Replicate, Scores
from leaderboard.statistics import summarise

Golds = Callable[[str], Gold | None]  # revision of a task -> its gold labels, where they are known
RECIPE = "recipe"  # the parameter by which a student trains in another way on what only some sets have


def row_of(
    cell: CellRecords, revision: str, metric: str, contents: Mapping[str, str], used: Mapping[str, int], gold: Golds
) -> Row:
    """The row of a cell, not yet compared; `revision` and `metric` are the task's.

    contents: `content_of` the board's records; used: `uses` of them.
    """
    task, student, dpc, method = cell.names
    records = cell.records
    ok = [record for record in records if record.finished]
    troubled = [record for record in records if not record.finished]
    made = {(record.set_key, contents[record.key]): record for record in records if record.set_key}
    different: dict[str, str] = {}
    for key, content in made:
        different.setdefault(content, key)
    counted_near = any(record.near_test is not None for record in records)
    common, varied = shared(ok), preparations(ok, contents)
    seeds = {record.preparation for record in ok} - {None}
    row = Row(
        league=cell.leagues[0] if len(cell.leagues) == 1 else None,
        task=task,
        revision=revision,
        student=student,
        dpc=dpc,
        method=method,
        method_name=cell.plugin("method"),
        metric=metric,
        planned=cell.planned,
        statuses=Counter(record.status for record in records),
        reason="; ".join(dict.fromkeys(record.reason or record.status for record in troubled)) or None,
        set_keys=tuple(different.values()),
        n_keys=len(made),
        mixed=cell.leagues if len(cell.leagues) > 1 else (),
        student_key=cell.student_key,
        student_name=cell.plugin("student"),
        method_params=records[0].method.params if records else {},
        student_params=records[0].student.params if records else {},
        learner=_learner(records),
        box=box_of(records),
        near_test=sum(repeats(records).values()) if counted_near else None,
        prepared_once=None if common is None else bool(common) and len(seeds) < 2,
        cost=cost(ok, used),
        finished=max((record.time.finished for record in records), default=""),
    )
    if not ok:
        return row
    labels = gold(revision)
    answers = None if labels is None else _answers(ok)
    scores = _scores(ok, contents, varied, labels, answers)
    measured = [record.metrics for record in ok]
    names = set.intersection(*({*each} for each in {id(each): each for each in measured}.values()))
    return replace(
        row,
        summary=summarise(scores),
        metrics={name: sum([each[name] for each in measured]) / len(ok) for name in sorted(names)},
        n_train=ok[0].n_train,
        n_bytes=_mean_bytes({contents[record.key]: record.n_bytes for record in ok}),
        chosen_on="; ".join(dict.fromkeys(record.chosen_on for record in ok if record.chosen_on)) or None,
        train_share=_part_copied({contents[record.key]: record for record in ok}.values()),
        distil_memory=distil_memory(ok),
        student_memory=largest(record.time.student_memory for record in ok),
        confusion=None if labels is None or answers is None else confusion(answers, labels),
        scores=scores,
    )


def _answers(records: Sequence[Record]) -> np.ndarray:
    """Predicted labels of finished records [n, I], in the smallest type that all have."""
    return np.stack([record.predictions.raw() for record in records if record.predictions is not None])


def _scores(
    records: Sequence[Record],
    contents: Mapping[str, str],
    preparation: Mapping[str, int],
    gold: Gold | None,
    answers: np.ndarray | None,
) -> Scores:
    """Of finished records in order of replicate; preparation: `preparations`; gold: the labels of their task's
    test rows; answers: theirs.
    """
    items: np.ndarray | Hits | None = None
    if gold is not None and answers is not None:
        found = item_scores(gold.metric, gold.labels, answers)
        items = Hits(found) if found.dtype == bool else found
    return Scores(
        _one_object(tuple(replicate_of(record) for record in records)),
        tuple(contents[record.key] for record in records),
        np.array([record.score for record in records], dtype=np.float64),
        items,
        tuple(preparation[contents[record.key]] for record in records) if preparation else (),
    )


@lru_cache(maxsize=4096)
def _one_object(replicates: tuple[Replicate, ...]) -> tuple[Replicate, ...]:
    """The same object for equal ones: most rows of a board have the same replicates."""
    return replicates


def _mean_bytes(sizes: Mapping[str, int | None]) -> int | None:
    """The mean of the sizes of different sets, to a byte; None when one is not known."""
    known = [size for size in sizes.values() if size is not None]
    return round(sum(known) / len(known)) if len(known) == len(sizes) else None


def _part_copied(records: Iterable[Record]) -> float | None:
    """Of all examples of different sets, a record each, the part that are train rows; None when one is not known."""
    counts = [(record.train_copies, record.n_train) for record in records]
    copied = [copies for copies, _ in counts if copies is not None]
    n = sum(size or 0 for _, size in counts)
    return sum(copied) / n if n and len(copied) == len(counts) else None


def _learner(records: Sequence[Record]) -> str:
    """The student of some records by its name and parameters but the recipe; "" for one without recipes."""
    if not records or RECIPE not in records[0].student.params:
        return ""
    student = records[0].student
    return canonical([student.name, {name: value for name, value in student.params.items() if name != RECIPE}])
