"""The rules, one check a kind of plugin."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import plugins
from bench.api import (
    Asset,
    DistilledSet,
    MethodSpec,
    NotApplicable,
    Params,
    Queries,
    Spec,
    StudentSpec,
    TaskData,
    TaskSpec,
    TrainData,
)
from bench.context import JobContext
from bench.data.assets import Assets
from bench.errors import PluginError, UserError
from bench.params import plain, validate
from bench.plugins import Registry
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.store.difference import difference
from bench.store.identity import canonical, key_of
from bench.store.sets import check_set, load_set, save_set
from bench.testing.guards import ConformanceError, demand, fingerprint, global_random_state
from bench.testing.texts import pair_task, topic_task
from bench.worker import check_predictions
from bench.worker import check_task as check_task_data


@dataclass(frozen=True)
class _Kit:
    """One plugin under test: its spec and parameters, and what a context needs."""

    spec: Spec
    params: Params
    assets: Assets
    artifacts: Artifacts

    @property
    def who(self) -> str:
        return f"{self.spec.kind} '{self.spec.name}'"

    def build(self) -> Any:
        """A fresh instance."""
        kinds: dict[str, dict[str, Any]] = {"task": {}, "method": {}, "student": {}}
        kinds[self.spec.kind][self.spec.name] = self.spec
        registry = Registry(kinds["task"], kinds["method"], kinds["student"], {}, [])
        return registry.build(self.spec, self.params)

    def context(self, data: TaskData | TrainData | Queries | None, seed: int) -> JobContext:
        """A job's real context; the features it computes go to a folder that is deleted afterwards."""
        identity = {"kit": key_of(_texts_of(data)) if data is not None else ""}
        return JobContext(self.assets, self.artifacts, seed=seed, data=data, task_identity=identity)


@contextlib.contextmanager
def _kit(
    spec: Spec, params: Mapping[str, Any] | None, settings: Settings | None, assets: Mapping[str, Asset] | None
) -> Iterator[_Kit]:
    """Check the spec itself, then lend what its instances need; a broken plugin breaks a rule of the kit too."""
    try:
        plugins.check(spec.kind, spec)
        valid = validate(spec, params or {})
    except UserError as error:
        raise ConformanceError(str(error)) from error
    again = spec.params.model_validate_json(canonical(plain(valid)))
    demand(again == valid, f"{spec.kind} '{spec.name}': its parameters do not survive JSON")
    refs = spec.assets(valid)
    demand(
        not isinstance(refs, str) and all(isinstance(ref, str) for ref in refs),
        f"{spec.kind} '{spec.name}': assets must give a list of references, not {refs!r}",
    )
    settings = settings or Settings.make()
    if assets is None:
        assets = plugins.load(settings).assets
    with tempfile.TemporaryDirectory(prefix="bench-kit-") as folder:
        try:
            yield _Kit(spec, valid, Assets(assets, settings), Artifacts(Path(folder)))
        except PluginError as error:
            raise ConformanceError(str(error)) from error


def check_method(
    spec: MethodSpec,
    params: Mapping[str, Any] | None = None,
    *,
    dpc: Sequence[int] = (1, 3),
    settings: Settings | None = None,
    assets: Mapping[str, Asset] | None = None,
) -> None:
    """Check a method on a single-text and a text-pair task, with `dpc` examples a class (at most 6).

    params: where they differ from the defaults, for instance an encoder that needs no download; settings: cache
    and data folder; assets: by name, else those of the installed plugins. Raises ConformanceError.
    """
    with _kit(spec, params, settings, assets) as kit:
        applied = 0
        with contextlib.suppress(NotApplicable):  # unwatched: some libraries draw a random number when imported
            data = topic_task().train_data()
            kit.build().distill(data, dpc[0] if spec.uses_dpc else None, kit.context(data, 10))
        sizes = dpc if spec.uses_dpc else (None,)
        for task in (topic_task(), pair_task()):
            for size in sizes:
                try:
                    made = _check_distillation(kit, task.train_data(), size)
                    if spec.prepares and size == sizes[0]:
                        _check_preparation(kit, made, task.train_data(), size)
                except NotApplicable:
                    continue
                applied += 1
        demand(applied, f"{kit.who} says of both tasks of the kit that it is not applicable")


def _check_distillation(kit: _Kit, data: TrainData, dpc: int | None) -> DistilledSet:
    """Several sets, checked; returned is the one made with seed 11."""
    import numpy as np

    spec, who = kit.spec, f"{kit.who} (dpc {dpc}, {data.info.label})"
    assert isinstance(spec, MethodSpec)
    before = fingerprint(data.train), fingerprint(data.validation)
    method = kit.build()
    found = []
    for start, (instance, seed) in enumerate(((method, 11), (method, 12), (method, 11), (kit.build(), 11))):
        with global_random_state(who, start):
            found.append(instance.distill(data, dpc, kit.context(data, seed)))
        demand(isinstance(found[-1], DistilledSet), f"{who} returned {type(found[-1]).__name__}, not a DistilledSet")
        try:
            check_set(found[-1], data.info.fields, data.info.n_classes, who)
        except UserError as error:
            raise ConformanceError(str(error)) from error
    demand(before == (fingerprint(data.train), fingerprint(data.validation)), f"{who} changed the data it was given")
    first, other, again, fresh = found
    for repeated, when in ((again, "after another call"), (fresh, "by a fresh instance")):
        part = difference(first, repeated)
        demand(not part, f"{who}: the same seed gives other {part} {when}")
    if spec.deterministic:
        part = difference(first, other)
        demand(not part, f"{who}: another seed gives other {part}, but the spec says deterministic=True")
    if dpc is not None:
        counts = np.bincount(first.labels, minlength=data.info.n_classes).tolist()
        demand(counts == [dpc] * data.info.n_classes, f"{who}: examples by class are {counts}, not {dpc} each")
    if first.rows is not None:
        _check_rows(who, first, data)
    _check_round_trip(who, first)
    return first


def _check_preparation(kit: _Kit, expected: DistilledSet, data: TrainData, dpc: int | None) -> None:
    """A set made after `prepare` must equal the one made without; `expected` was made with seed 11."""
    who, method = f"{kit.who} (dpc {dpc}, {data.info.label})", kit.build()
    with tempfile.TemporaryDirectory(prefix="bench-kit-") as folder:
        fresh = replace(kit, artifacts=Artifacts(Path(folder)))
        with global_random_state(who, 40):
            errors = method.prepare([kit.params], data, fresh.context(data, 13))
        demand(isinstance(errors, Mapping), f"{who}: prepare() gave {type(errors).__name__}, not a mapping of errors")
        for error in errors.values():
            raise error
        part = difference(expected, method.distill(data, dpc, fresh.context(data, 11)))
    demand(not part, f"{who}: {part} of the set differ when prepare() has run before")


def _check_rows(who: str, distilled: DistilledSet, data: TrainData) -> None:
    """`rows` must be where the examples were copied from."""
    import numpy as np

    rows = np.asarray(distilled.rows)
    demand(rows.shape == (len(distilled),) and rows.dtype == np.int64, f"{who}: rows must be int64 [N]")
    inside = rows.min() >= 0 and rows.max() < len(data.train)
    demand(inside, f"{who}: rows name rows that the train split does not have")
    demand(len(np.unique(rows)) == len(rows), f"{who} chose a train row twice")
    demand((data.train.labels[rows] == distilled.labels).all(), f"{who}: labels differ from those of the rows")
    for name, texts in (distilled.texts or {}).items():
        copied = [data.train.texts[name][row] for row in rows]
        demand(list(texts) == copied, f"{who}: texts of '{name}' differ from those of the rows")


def _check_round_trip(who: str, distilled: DistilledSet) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-kit-") as folder:
        try:
            save_set(Path(folder), distilled)
        except (TypeError, ValueError) as error:
            raise ConformanceError(f"{who}: the set cannot be saved: {error}") from error
        loaded = load_set(Path(folder))
    part = difference(distilled, loaded)
    demand(not part, f"{who}: {part} of the set change when it is saved and read")
    kept = canonical(dict(loaded.diagnostics)) == canonical(dict(distilled.diagnostics))
    demand(kept, f"{who}: the diagnostics change when the set is saved and read")


def check_student(
    spec: StudentSpec,
    params: Mapping[str, Any] | None = None,
    *,
    settings: Settings | None = None,
    assets: Mapping[str, Asset] | None = None,
) -> None:
    """Check a student on text-level sets of a three-class and a two-class task; arguments as of `check_method`."""
    with _kit(spec, params, settings, assets) as kit:
        student = kit.build()
        topics, pairs = topic_task(), pair_task()
        if not student.refuses(_first_rows(topics, 1)):
            with contextlib.suppress(NotApplicable):  # unwatched, as in check_method
                kit.build().predict(_first_rows(topics, 1), topics.queries(), kit.context(topics.queries(), 20))
        few, more = _first_rows(topics, 1), _first_rows(topics, 4)
        calls = [(topics, few, 21), (topics, more, 21), (topics, few, 22), (pairs, _first_rows(pairs, 2), 21)]
        answers = [_predictions(kit, student, start, *call) for start, call in enumerate([*calls, calls[0]])]
        demand(any(answer is not None for answer in answers), f"{kit.who} refuses every text-level set of the kit")
        _demand_equal(answers[0], answers[-1], f"{kit.who}: the first run repeated differs: a run leaves a trace")
        fresh = _predictions(kit, kit.build(), 99, *calls[1])
        _demand_equal(answers[1], fresh, f"{kit.who}: a fresh instance answers otherwise with the same set and seed")


def _first_rows(data: TaskData, count: int) -> DistilledSet:
    train = data.train_data()
    return DistilledSet.from_rows(train, [r for c in range(data.info.n_classes) for r in train.class_rows(c)[:count]])


def _predictions(
    kit: _Kit, student: Any, start: int, data: TaskData, distilled: DistilledSet, seed: int
) -> list[int] | None:
    """Labels for the test split, or None when the student refuses the set or the task."""
    refusal = student.refuses(distilled)
    demand(refusal is None or (isinstance(refusal, str) and refusal), f"{kit.who}: refuses() gave {refusal!r}")
    if refusal:
        return None
    queries = data.queries()
    kept = replace(distilled, labels=distilled.labels.copy())
    try:
        with global_random_state(kit.who, start):
            labels = student.predict(distilled, queries, kit.context(queries, seed))
    except NotApplicable:
        return None
    try:
        check_predictions(labels, len(queries), data.info.n_classes, kit.spec.name)
    except (TypeError, ValueError) as error:
        raise ConformanceError(str(error)) from error
    part = difference(kept, distilled)
    demand(not part, f"{kit.who} changed {part} of the set it was given")
    return [int(label) for label in labels]


def _demand_equal(first: list[int] | None, second: list[int] | None, line: str) -> None:
    demand(first == second, line)


def check_task(
    spec: TaskSpec,
    params: Mapping[str, Any] | None = None,
    *,
    settings: Settings | None = None,
    assets: Mapping[str, Asset] | None = None,
    shared_rows: float = 0.0,
) -> None:
    """Check a task: valid, disjoint and repeatable splits. It reads its real data.

    shared_rows: largest share of the validation or test rows whose texts also stand in another split, for data
    that is published so. Other arguments as of `check_method`.
    """
    with _kit(spec, params, settings, assets) as kit:
        kit.build().load(kit.context(None, 30))  # unwatched, as in check_method
        loaded = []
        for start in (31, 32):
            with global_random_state(kit.who, start):
                loaded.append(kit.build().load(kit.context(None, start)))
            demand(isinstance(loaded[-1], TaskData), f"{kit.who} loaded {type(loaded[-1]).__name__}, not a TaskData")
        data, again = loaded
        try:
            check_task_data(data, spec.name)
        except UserError as error:
            raise ConformanceError(str(error)) from error
        _check_info(kit.who, data)
        splits = {name: getattr(data, name) for name in ("train", "validation", "test")}
        for name, split in splits.items():
            demand(split.labels.dtype == "int64", f"{kit.who}: labels of {name} are {split.labels.dtype}, not int64")
            same = fingerprint(split) == fingerprint(getattr(again, name))
            demand(same, f"{kit.who}: loaded twice, the {name} split differs")
        for name, others in (("validation", ("train",)), ("test", ("train", "validation"))):
            seen = {row for other in others for row in _rows(data, other)}
            rows = _rows(data, name)
            share = sum(row in seen for row in rows) / len(rows)
            line = f"{kit.who}: {share:.1%} of the {name} rows also stand in {' or '.join(others)}"
            demand(share <= shared_rows, line)


def _check_info(who: str, data: TaskData) -> None:
    info = data.info
    demand(len(info.fields) in (1, 2), f"{who}: has {len(info.fields)} text fields; one or two are possible")
    demand("label" not in info.fields and "row" not in info.fields, f"{who}: a field must not be called label or row")
    demand(info.n_classes >= 2, f"{who}: needs two classes or more")
    demand(len(set(info.label_names)) == info.n_classes, f"{who}: two classes have one name")
    two = info.metric != "accuracy_f1" or info.n_classes == 2
    demand(two, f"{who}: accuracy_f1 is for two classes")


def _rows(data: TaskData, split: str) -> list[tuple[str, ...]]:
    texts = getattr(data, split).texts
    return list(zip(*(texts[name] for name in data.info.fields), strict=True))


def _texts_of(data: TaskData | TrainData | Queries) -> Any:
    if isinstance(data, Queries):
        return {name: list(texts) for name, texts in data.texts.items()}
    return fingerprint(data.train)
