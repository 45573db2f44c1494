"""The rules of students, on sets of texts and of embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.api import Asset, DistilledSet, NotApplicable, Queries, Student, StudentSpec, TaskData
from bench.errors import PluginError
from bench.settings import Settings
from bench.testing.embedded import of_no_encoder, word_embeddings
from bench.testing.guards import ConformanceError, demand
from bench.testing.kit import Kit, open_kit
from bench.testing.texts import pair_task, topic_task
from bench.work.checks import check_answers, check_predictions, league
from bench.work.lending import lend_set, lend_task


def check_student(
    spec: StudentSpec,
    params: Mapping[str, Any] | None = None,
    *,
    settings: Settings | None = None,
    assets: Mapping[str, Asset] | None = None,
) -> None:
    """Check a student on sets of a three-class and a two-class task, of texts and of embeddings.

    The embeddings are those of the first encoder among its assets, beside some that are of none. It may refuse either
    level. Arguments as of `check_method`.
    """
    with open_kit(spec, params, settings, assets) as kit:
        topics, pairs = lend_task(topic_task()), lend_task(pair_task())
        calls = [
            _Call(topics, _first_rows(topics, 1), 21),
            _Call(topics, _first_rows(topics, 4), 22),
            _Call(pairs, _first_rows(pairs, 2), 21),
            _Call(topics, _first_rows(topics, 1), 22),
        ]
        _predictions(kit, kit.build(), None, calls[0], "the first run")  # unwatched, as in check_method
        alone = [_predictions_alone(kit, start, call) for start, call in enumerate(calls)]
        vectors, answer = _check_embeddings(kit, calls[0], alone[0])
        order = list(ORDER)
        if answer is not None:
            order += [len(calls), 0, len(calls)]
            calls, alone = [*calls, vectors], [*alone, answer]
        demand(any(answer is not None for answer in alone), f"{kit.who} refuses every set of the kit")
        line = f"{kit.who}: a fresh instance answers otherwise with the same set and seed: draw from ctx.rng() only"
        again = next(number for number, answer in enumerate(alone) if answer is not None)
        demand(_predictions_alone(kit, 98, calls[again]) == alone[again], line)
        _check_order(kit, calls, alone, order)
        for call in calls[1:3]:
            _check_together(kit, call)


def _check_embeddings(kit: Kit, texts: _Call, answer: list[int] | None) -> tuple[_Call, list[int] | None]:
    """Runs on embeddings in the place of texts, whose own answer is given; a set of both counts as what it reads."""
    distilled, classes = texts.distilled, texts.data.info.n_classes
    _predictions_alone(kit, 90, texts.on(replace(distilled, texts=None, embeddings=of_no_encoder(distilled, classes))))
    embeddings = word_embeddings(kit, distilled, classes)
    vectors = texts.on(replace(distilled, texts=None, rows=None, embeddings=embeddings))
    if embeddings is None:
        return vectors, None
    _predictions(kit, kit.build(), None, vectors, "the first run on embeddings")  # unwatched
    of_vectors = _predictions_alone(kit, 91, vectors)
    both = texts.on(replace(distilled, embeddings=embeddings))
    found = _predictions_alone(kit, 92, both)
    if found is not None:
        read = kit.build().reads(both.distilled)
        expected = of_vectors if read == "embeddings" else answer
        line = f"{kit.who} says that it reads the {read} of a set that has both, but without the rest answers otherwise"
        demand(found == expected, line)
    return vectors, of_vectors


@dataclass(frozen=True)
class _Call:
    """One run of a student on kit data."""

    data: TaskData
    distilled: DistilledSet
    seed: int

    def __str__(self) -> str:
        level = " of embeddings" if self.distilled.texts is None else ""
        return f"{self.data.info.label}, {len(self.distilled)} examples{level}, seed {self.seed}"

    def on(self, distilled: DistilledSet) -> _Call:
        """The same on another set."""
        return replace(self, distilled=lend_set(distilled))

    @property
    def queries(self) -> Queries:
        return self.data.queries()


def _first_rows(data: TaskData, count: int) -> DistilledSet:
    train = data.train_data()
    rows = [r for c in range(data.info.n_classes) for r in train.class_rows(c)[:count]]
    return lend_set(DistilledSet.from_rows(train, rows))


ORDER = (0, 1, 0, 2, 1, 2, 0, 3, 0, 0)  # each of the first three after each other; another seed; once more the same


def _check_order(kit: Kit, calls: Sequence[_Call], alone: Sequence[list[int] | None], order: Sequence[int]) -> None:
    """One instance in many runs must answer in each as a fresh one does alone."""
    student, before = kit.build(), ""
    mend = "a run leaves a trace in the next; reset all that was trained, from copies"
    for number, index in enumerate(order, start=1):
        when = f"run {number} of one instance{before}"
        try:
            answer = _predictions(kit, student, number, calls[index], when)
        except (ConformanceError, PluginError) as error:
            raise ConformanceError(f"{error}; alone on {calls[index]} it did not: {mend}") from error.__cause__ or error
        demand(answer == alone[index], f"{kit.who} ({when}) answers otherwise than alone on {calls[index]}: {mend}")
        before = f", after one on {calls[index]}"


TOGETHER, FLIPS = (31, 32, 33), 1  # seeds of the runs; labels of each that rounding may change


def _check_together(kit: Kit, call: _Call) -> None:
    """Where a student does several runs at once, each has to answer as it does alone; what it leaves is asked again."""
    student, when = kit.build(), f"{len(TOGETHER)} runs together, {call}"
    if type(student).predict_many is Student.predict_many:
        return
    alone = [_predictions_alone(kit, 93, replace(call, seed=seed)) for seed in TOGETHER]
    if any(answer is None for answer in alone):
        return
    answers: list[Any] = []
    while len(answers) < len(TOGETHER):
        unlabelled = call.data.train.texts
        contexts = [kit.context(call.queries, seed, unlabelled) for seed in TOGETHER[len(answers) :]]
        with kit.call(when, 94, call.distilled, call.queries):
            found = list(student.predict_many(call.distilled, call.queries, contexts))
        try:
            check_answers(found, len(contexts), len(call.queries), call.data.info.n_classes, kit.spec.name)
        except (TypeError, ValueError) as error:
            raise ConformanceError(str(error)) from error
        answers += found
    for seed, together, own in zip(TOGETHER, answers, alone, strict=True):
        flips = sum(int(one) != other for one, other in zip(together, own or (), strict=True))
        line = f"{kit.who} ({when}) answers otherwise than alone with seed {seed}, in {flips} of {len(together)} labels"
        demand(flips <= FLIPS, f"{line}: each run of predict_many is that of predict with its own context")


def _predictions_alone(kit: Kit, start: int, call: _Call) -> list[int] | None:
    with kit.alone() as student:
        return _predictions(kit, student, start, call, f"a run of its own, {call}")


def _predictions(kit: Kit, student: Any, start: int | None, call: _Call, when: str) -> list[int] | None:
    """Labels for the test split, or None when the student refuses the set or the task."""
    data, distilled, queries = call.data, call.distilled, call.queries
    try:
        with kit.call(when, start, distilled, queries):
            refusal = student.refuses(distilled)
            demand(refusal is None or (isinstance(refusal, str) and refusal), f"{kit.who}: refuses() gave {refusal!r}")
            if refusal:
                return None
            league(distilled, student.reads(distilled), kit.spec.name)
            labels = student.predict(distilled, queries, kit.context(queries, call.seed, data.train.texts))
    except NotApplicable:
        return None
    try:
        check_predictions(labels, len(queries), data.info.n_classes, kit.spec.name)
    except (TypeError, ValueError) as error:
        raise ConformanceError(str(error)) from error
    return [int(label) for label in labels]
