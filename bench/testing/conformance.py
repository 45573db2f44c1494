"""The rules of methods and tasks."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.api import (
    Asset,
    DistilledSet,
    MethodSpec,
    NotApplicable,
    TaskData,
    TaskSpec,
    TrainData,
)
from bench.errors import UserError
from bench.settings import Settings
from bench.store.difference import difference
from bench.store.identity import canonical
from bench.store.sets import check_set, load_set, save_set
from bench.testing.guards import ConformanceError, demand, fingerprint
from bench.testing.kit import Kit, open_kit
from bench.testing.parts import check_parts
from bench.testing.texts import pair_task, topic_task
from bench.work.checks import check_encoder
from bench.work.checks import check_task as check_task_data
from bench.work.lending import lend_set, lend_task

SEED = 11  # of the sets that later ones are compared with


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
    with open_kit(spec, params, settings, assets) as kit:
        sizes = dpc if spec.uses_dpc else (None,)
        tasks = [lend_task(each).train_data() for each in (topic_task(), pair_task())]
        # the first call has unwatched generators: some libraries draw a random number when imported
        with contextlib.suppress(NotApplicable), kit.call("the first call", None, tasks[0]):
            kit.build().distill(tasks[0], sizes[0], kit.context(tasks[0], 10))
        applied: list[tuple[TrainData, int | None]] = []
        varied = False
        for data in tasks:
            made: dict[int | None, DistilledSet] = {}
            for size in sizes:
                try:
                    made[size], other = _check_distillation(kit, data, size)
                except NotApplicable:
                    continue
                applied.append((data, size))
                varied |= bool(difference(made[size], other))
            if made:
                check_parts(kit, data, made, SEED)
        demand(applied, f"{kit.who} says of both tasks of the kit that it is not applicable")
        if not varied and not spec.one_set(kit.params):
            _demand_variety(kit, applied)


def _demand_variety(kit: Kit, applied: Sequence[tuple[TrainData, int | None]]) -> None:
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


def _check_distillation(kit: Kit, data: TrainData, dpc: int | None) -> tuple[DistilledSet, DistilledSet]:
    """Several sets, checked; returned are those made alone with the seeds SEED and 12."""
    import numpy as np

    spec, what = kit.spec, f"dpc {dpc}, {data.info.label}"
    who = f"{kit.who} ({what})"
    assert isinstance(spec, MethodSpec)
    calls = itertools.count()

    def distil(method: Any, seed: int) -> DistilledSet:
        ctx = kit.context(data, seed)
        with kit.call(what, next(calls), data):
            made = method.distill(data, dpc, ctx)
        try:
            empty, texts = not spec.examples, spec.has_texts(kit.params)
            check_set(made, data.info.fields, data.info.n_classes, who, empty=empty, texts=texts)
            check_encoder(made, ctx.asset_identity, who)
        except UserError as error:
            raise ConformanceError(str(error)) from error
        return lend_set(made)

    def distil_alone(seed: int) -> DistilledSet:
        with kit.alone() as method:
            return distil(method, seed)

    first, again, other = (distil_alone(seed) for seed in (SEED, SEED, 12))
    part = difference(first, again)
    demand(not part, f"{who}: the same seed gives other {part} by a fresh instance: draw from ctx.rng() only")
    kept = kit.build()
    for seed, alone, when in ((12, other, "than alone"), (SEED, first, "after another call"), (12, other, "later")):
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
    with open_kit(spec, params, settings, assets) as kit:
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
