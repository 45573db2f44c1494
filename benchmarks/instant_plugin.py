"""A task, a method and a student that take no time, so that what remains is the engine's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.api import (
    Context,
    DistilledSet,
    Method,
    MethodSpec,
    Queries,
    Split,
    Student,
    StudentSpec,
    Task,
    TaskData,
    TaskInfo,
    TaskSpec,
    TrainData,
    hookimpl,
)


class Instant(Task):
    def load(self, ctx: Context) -> TaskData:
        info = TaskInfo("instant", ("text",), ("even", "odd"))
        splits = [
            Split({"text": [f"{name} {i}" for i in range(n)]}, np.arange(n, dtype=np.int64) % 2)
            for name, n in (("train", 1000), ("validation", 200), ("test", 1000))
        ]
        return TaskData(info, *splits)


class Drawn(Method):
    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        rows = [ctx.rng(label).choice(data.class_rows(label), dpc, replace=False) for label in range(2)]
        return DistilledSet.from_rows(data, np.concatenate(rows))


class Guess(Student):
    def predict(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        return ctx.rng("guess").integers(0, 2, len(queries))


@hookimpl
def bench_tasks() -> Sequence[TaskSpec]:
    return [TaskSpec(name="instant", summary="Numbered texts.", target=f"{__name__}:Instant")]


@hookimpl
def bench_methods() -> Sequence[MethodSpec]:
    return [MethodSpec(name="drawn", summary="Rows by chance.", target=f"{__name__}:Drawn", selects=True)]


@hookimpl
def bench_students() -> Sequence[StudentSpec]:
    return [StudentSpec(name="guess", summary="Labels by chance.", target=f"{__name__}:Guess")]
