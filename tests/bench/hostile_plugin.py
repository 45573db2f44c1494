"""A one-file plugin whose errors, names and data are hostile to whoever keeps or shows them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.api import (
    Context,
    DistilledSet,
    Field,
    Method,
    MethodSpec,
    NotApplicable,
    Params,
    Split,
    Task,
    TaskData,
    TaskInfo,
    TaskSpec,
    TrainData,
    UserError,
    hookimpl,
)

ORDERS = "\x1b]0;owned\x07\x1b[2J\x00\u202etxt.exe\u2066"


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Own(BaseException):
    pass


class OddParams(Params):
    how: str = Field("fine", description="What is hostile.")


class Odd(Task):
    def load(self, ctx: Context) -> TaskData:
        how = self.params.how
        names = ("good\ud800" if how == "class" else f"good{ORDERS}", "<b>bad</b>")
        texts = {"text": [f"{ORDERS} number {i}" for i in range(20)]}
        if how == "text":
            texts["text"][7] = "half \udc00"
        split = Split(texts, np.arange(20, dtype=np.int64) % 2)
        return TaskData(TaskInfo("odd", ("text",), names), split, split, split)


class Hostile(Method):
    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        rows = np.concatenate([data.class_rows(label)[:dpc] for label in range(2)])
        ctx.progress(1, 2, ORDERS)
        match self.params.how:
            case "orders":
                raise ValueError(f"before {ORDERS} \ud800 after")
            case "usage":
                raise UserError(f"before {ORDERS} \ud800\nafter")
            case "refuse":
                raise NotApplicable(f"before {ORDERS} \ud800 after")
            case "long":
                raise ValueError("before " + "x" * 5_000_000 + " after")
            case "silent":
                raise Silent
            case "exit":
                sys.exit(0)
            case "interrupt":
                raise KeyboardInterrupt
            case "own":
                raise Own("before after")
            case "text":
                return DistilledSet(labels=np.arange(2), texts={"text": ["fine", "half \ud83d"]})
            case "diagnostics":
                return DistilledSet.from_rows(data, rows, why="half \ud83d")
        return DistilledSet.from_rows(data, rows)


@hookimpl
def bench_tasks() -> Sequence[TaskSpec]:
    return [TaskSpec(name="odd", summary=f"Odd {ORDERS}", target=f"{__name__}:Odd", params=OddParams)]


@hookimpl
def bench_methods() -> Sequence[MethodSpec]:
    common: dict[str, Any] = {"target": f"{__name__}:Hostile", "params": OddParams, "deterministic": True}
    return [MethodSpec(name="hostile", summary="Hostile.", **common)]
