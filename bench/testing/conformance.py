"""The rules, one check a kind of plugin."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import sys
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
from bench.data.grants import granted
from bench.discovery import cause
from bench.errors import PluginError, UserError
from bench.identities import made_by
from bench.lending import Seal, lend_set, lend_task, refused_write
from bench.params import plain, validate
from bench.plugins import Registry
from bench.process_state import ProcessState
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.store.difference import difference
from bench.store.identity import canonical, key_of
from bench.store.sets import check_set, load_set, save_set
from bench.testing.guards import (
    ConformanceError,
    demand,
    fingerprint,
    global_random_state,
    kept_random_state,
    no_network,
)
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
    state: ProcessState

    @property
    def who(self) -> str:
        return f"{self.spec.kind} '{self.spec.name}'"

    @contextlib.contextmanager
    def alone(self) -> Iterator[Any]:
        """An instance from a second copy of its module, which knows nothing of what happened to the first."""
        instance = self.build()
        name, _, attribute = self.spec.target.partition(":")
        module = sys.modules[name]
        found = module.__spec__
        if name == "__main__" or found is None or found.loader is None:
            yield instance
            return
        copy = importlib.util.module_from_spec(found)
        sys.modules[name] = copy
        try:
            found.loader.exec_module(copy)
            yield getattr(copy, attribute)(self.params)
        finally:
            sys.modules[name] = module

    @contextlib.contextmanager
    def call(self, when: str, start: int | None, *lent: Any) -> Iterator[None]:
        """Watch one call of the plugin; `when` says which. All global generators stand at `start` (None: unwatched)."""
        who, seals = f"{self.who} ({when})", [Seal(each) for each in lent]
        try:
            random_state = global_random_state(who, start) if start is not None else kept_random_state()
            with no_network(who), random_state:
                yield
        except (NotApplicable, PluginError, ConformanceError):
            raise
        except Exception as error:
            raise ConformanceError(f"{who} raised {cause(error)}{refused_write(error)}") from error
        finally:
            changed = self.state.restore()
        demand(not changed, f"{who} left {', '.join(changed)} changed: put back what you set")
        for seal in seals:
            part = seal.broken()
            demand(not part, f"{who} changed {part} of what it was lent: take a copy and change that")

    def build(self) -> Any:
        """A fresh instance."""
        kinds: dict[str, dict[str, Any]] = {"task": {}, "method": {}, "student": {}}
        kinds[self.spec.kind][self.spec.name] = self.spec
        registry = Registry(kinds["task"], kinds["method"], kinds["student"], {}, [])
        return registry.build(self.spec, self.params)

    def context(self, data: TaskData | TrainData | Queries | None, seed: int) -> JobContext:
        """A job's real context; the features it computes go to a folder that is deleted afterwards."""
        identity = {"kit": key_of(_texts_of(data)) if data is not None else ""}
        return JobContext(
            self.assets,
            self.artifacts,
            seed=seed,
            data=data,
            task_identity=identity,
            made_by=made_by(self.spec.target.partition(":")[0], self.spec.kind),
            who=self.who,
            allowed=granted(self.assets, self.spec, [self.params], ()),
            engine=self.state.engine,
        )


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
    with tempfile.TemporaryDirectory(prefix="bench-kit-") as folder, kept_random_state():
        try:
            kit = _Kit(spec, valid, Assets(assets, settings), Artifacts(Path(folder)), ProcessState())
            for ref in refs:
                kit.assets.fetch(ref)  # what comes later must do without a network
            yield kit
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
        sizes = dpc if spec.uses_dpc else (None,)
        tasks = [lend_task(each).train_data() for each in (topic_task(), pair_task())]
        # the first call has unwatched generators: some libraries draw a random number when imported
        with contextlib.suppress(NotApplicable), kit.call("the first call", None, tasks[0]):
            kit.build().distill(tasks[0], sizes[0], kit.context(tasks[0], 10))
        applied: list[tuple[TrainData, int | None]] = []
        varied = False
        for data in tasks:
            for size in sizes:
                try:
                    made, other = _check_distillation(kit, data, size)
                    if spec.prepares and size == sizes[0]:
                        _check_preparation(kit, made, data, size)
                except NotApplicable:
                    continue
                applied.append((data, size))
                varied |= bool(difference(made, other))
        demand(applied, f"{kit.who} says of both tasks of the kit that it is not applicable")
        if not varied and not spec.one_set(kit.params):
            _demand_variety(kit, applied)


def _demand_variety(kit: _Kit, applied: Sequence[tuple[TrainData, int | None]]) -> None:
    """A method that does not say that it makes one set only must make different ones for some of several seeds."""
    seeds = (11, 12, 13, 14, 15)
    for data, size in applied:
        for dpc in dict.fromkeys((size, 2, 3)) if size is not None else (None,):  # one seed's choice may be another's
            first = kit.build().distill(data, dpc, kit.context(data, seeds[0]))
            for seed in seeds[1:]:
                if difference(first, kit.build().distill(data, dpc, kit.context(data, seed))):
                    return
    demand(
        False,
        f"{kit.who} ignores its seed: {len(seeds)} seeds gave the same set on each task of the kit; "
        "draw from ctx.rng() or seed with ctx.derive(), or declare deterministic=True in its spec",
    )


def _check_distillation(kit: _Kit, data: TrainData, dpc: int | None) -> tuple[DistilledSet, DistilledSet]:
    """Several sets, checked; returned are those made alone with the seeds 11 and 12."""
    import numpy as np

    spec, what = kit.spec, f"dpc {dpc}, {data.info.label}"
    who = f"{kit.who} ({what})"
    assert isinstance(spec, MethodSpec)
    calls = itertools.count()

    def distil(method: Any, seed: int) -> DistilledSet:
        with kit.call(what, next(calls), data):
            made = method.distill(data, dpc, kit.context(data, seed))
        try:
            check_set(made, data.info.fields, data.info.n_classes, who)
        except UserError as error:
            raise ConformanceError(str(error)) from error
        return lend_set(made)

    def distil_alone(seed: int) -> DistilledSet:
        with kit.alone() as method:
            return distil(method, seed)

    first, again, other = (distil_alone(seed) for seed in (11, 11, 12))
    part = difference(first, again)
    demand(not part, f"{who}: the same seed gives other {part} by a fresh instance: draw from ctx.rng() only")
    kept = kit.build()
    for seed, alone, when in ((12, other, "than alone"), (11, first, "after another call"), (12, other, "later")):
        part = difference(alone, distil(kept, seed))
        demand(not part, f"{who}: the same seed gives other {part} {when}: it keeps state; reset it in each call")
    if spec.one_set(kit.params):
        part = difference(first, other)
        demand(not part, f"{who}: another seed gives other {part}, but the spec says deterministic=True")
    if dpc is not None:
        counts = np.bincount(first.labels, minlength=data.info.n_classes).tolist()
        demand(counts == [dpc] * data.info.n_classes, f"{who}: examples by class are {counts}, not {dpc} each")
    if first.rows is not None:
        _check_rows(who, first, data)
    _check_round_trip(who, first)
    return first, other


def _check_preparation(kit: _Kit, expected: DistilledSet, data: TrainData, dpc: int | None) -> None:
    """A set made after `prepare` must equal the one made without; `expected` was made with seed 11."""
    what, method = f"dpc {dpc}, {data.info.label}", kit.build()
    who = f"{kit.who} ({what})"
    with tempfile.TemporaryDirectory(prefix="bench-kit-") as folder:
        fresh = replace(kit, artifacts=Artifacts(Path(folder)))
        with kit.call(f"prepare(), {what}", 40, data):
            errors = method.prepare([kit.params], data, fresh.context(data, 13))
        demand(isinstance(errors, Mapping), f"{who}: prepare() gave {type(errors).__name__}, not a mapping of errors")
        for error in errors.values():
            if isinstance(error, NotApplicable):
                raise error
            raise ConformanceError(f"{who}: prepare() gave the error {cause(error)}") from error
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
        topics, pairs = lend_task(topic_task()), lend_task(pair_task())
        calls = [
            _Call(topics, _first_rows(topics, 1), 21),
            _Call(topics, _first_rows(topics, 4), 22),
            _Call(pairs, _first_rows(pairs, 2), 21),
            _Call(topics, _first_rows(topics, 1), 22),
        ]
        _predictions(kit, kit.build(), None, calls[0], "the first run")  # unwatched, as in check_method
        alone = [_predictions_alone(kit, start, call) for start, call in enumerate(calls)]
        demand(any(answer is not None for answer in alone), f"{kit.who} refuses every text-level set of the kit")
        line = f"{kit.who}: a fresh instance answers otherwise with the same set and seed: draw from ctx.rng() only"
        demand(_predictions_alone(kit, 98, calls[0]) == alone[0], line)
        _check_order(kit, calls, alone)


@dataclass(frozen=True)
class _Call:
    """One run of a student on kit data."""

    data: TaskData
    distilled: DistilledSet
    seed: int

    def __str__(self) -> str:
        return f"{self.data.info.label}, {len(self.distilled)} examples, seed {self.seed}"

    @property
    def queries(self) -> Queries:
        return self.data.queries()


def _first_rows(data: TaskData, count: int) -> DistilledSet:
    train = data.train_data()
    rows = [r for c in range(data.info.n_classes) for r in train.class_rows(c)[:count]]
    return lend_set(DistilledSet.from_rows(train, rows))


ORDER = (0, 1, 0, 2, 1, 2, 0, 3, 0, 0)  # each of the first three after each other; another seed; once more the same


def _check_order(kit: _Kit, calls: Sequence[_Call], alone: Sequence[list[int] | None]) -> None:
    """One instance in many runs must answer in each as a fresh one does alone."""
    student, before = kit.build(), ""
    mend = "a run leaves a trace in the next; reset all that was trained, from copies"
    for number, index in enumerate(ORDER, start=1):
        when = f"run {number} of one instance{before}"
        try:
            answer = _predictions(kit, student, number, calls[index], when)
        except (ConformanceError, PluginError) as error:
            raise ConformanceError(f"{error}; alone on {calls[index]} it did not: {mend}") from error.__cause__ or error
        demand(answer == alone[index], f"{kit.who} ({when}) answers otherwise than alone on {calls[index]}: {mend}")
        before = f", after one on {calls[index]}"


def _predictions_alone(kit: _Kit, start: int, call: _Call) -> list[int] | None:
    with kit.alone() as student:
        return _predictions(kit, student, start, call, f"a run of its own, {call}")


def _predictions(kit: _Kit, student: Any, start: int | None, call: _Call, when: str) -> list[int] | None:
    """Labels for the test split, or None when the student refuses the set or the task."""
    data, distilled, queries = call.data, call.distilled, call.queries
    try:
        with kit.call(when, start, distilled, queries):
            refusal = student.refuses(distilled)
            demand(refusal is None or (isinstance(refusal, str) and refusal), f"{kit.who}: refuses() gave {refusal!r}")
            if refusal:
                return None
            labels = student.predict(distilled, queries, kit.context(queries, call.seed))
    except NotApplicable:
        return None
    try:
        check_predictions(labels, len(queries), data.info.n_classes, kit.spec.name)
    except (TypeError, ValueError) as error:
        raise ConformanceError(str(error)) from error
    return [int(label) for label in labels]


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
        with kit.call("the first load", None):
            kit.build().load(kit.context(None, 30))  # unwatched, as in check_method
        loaded = []
        for start in (31, 32):
            with kit.alone() if start == 31 else contextlib.nullcontext(kit.build()) as task, kit.call("load", start):
                loaded.append(task.load(kit.context(None, start)))
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
