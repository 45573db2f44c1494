"""A one-file plugin whose methods and students do what they must not; tests run it beside the sample plugin."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import random
import socket
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import (
    Asset,
    Context,
    DistilledSet,
    Field,
    Method,
    MethodSpec,
    Params,
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

CLASSES = ("sport", "money")


class Rows(Task):
    """Reads `rows.json`: labelled texts, those of the test split among them."""

    def load(self, ctx: Context) -> TaskData:
        rows = json.loads((ctx.asset("guilty-rows") / "rows.json").read_text())
        split = Split({"text": rows}, np.arange(len(rows), dtype=np.int64) % 2)
        return TaskData(TaskInfo("rows", ("text",), CLASSES), split, split, split)


class HowParams(Params):
    how: str = Field("", description="What it does.")


def first_rows(data: TrainData, dpc: int | None) -> DistilledSet:
    return DistilledSet.from_rows(data, np.concatenate([data.class_rows(label)[:dpc] for label in range(2)]))


class Writes(Method):
    """Writes into what it is lent; every way but the first three goes around the locks."""

    params: HowParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        texts: Any = data.train.texts
        match self.params.how:
            case "text":
                texts["text"][0] = "written over"
            case "labels":
                data.train.labels[:] = 0
            case "flags":
                data.train.labels.setflags(write=True)
            case "replace":
                object.__setattr__(data.train, "texts", {"text": ["written over"] * len(data.train)})
            case "memory":
                ctypes.memset(data.train.labels.ctypes.data, 0, data.train.labels.nbytes)
            case "field":
                object.__setattr__(data.info, "label_names", ("money", "sport"))
            case "artifact":
                object.__setattr__(data.validation, "labels", 1 - data.validation.labels)
                with contextlib.suppress(Exception):
                    ctx.artifact("poisoned", {"by": "writes"}, lambda folder: (folder / "x").touch() or None)
        return first_rows(data, dpc)


class Careless(Method):
    """Leaves as much changed in its process as it can, and prints."""

    params: HowParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        import torch

        print("printed by careless")
        os.write(1, b"written by careless\n")
        random.seed(5)
        np.random.seed(5)
        torch.manual_seed(5)
        torch.rand(3)
        torch.set_num_threads(2)
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True)
        torch.set_grad_enabled(False)
        np.seterr(all="raise")
        warnings.simplefilter("error")
        socket.setdefaulttimeout(3)
        os.environ["GUILTY"] = "1"
        os.chdir("/")
        return first_rows(data, dpc)


class Witness(Method):
    """Tells in its diagnostics what it finds in its process."""

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        import torch

        found = first_rows(data, dpc)
        seen = {
            "environment": os.environ.get("GUILTY"),
            "folder": str(Path.cwd()),
            "threads": torch.get_num_threads(),
            "dtype": str(torch.get_default_dtype()),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "gradients": torch.is_grad_enabled(),
            "numpy": np.geterr(),
            "timeout": socket.getdefaulttimeout(),
            "errors": [one[0] for one in warnings.filters].count("error"),
            "random": random.getstate()[1][:3],
            "numpy.random": np.random.get_state()[1][:3].tolist(),  # type: ignore[index,union-attr]
        }
        return DistilledSet(found.labels, found.texts, rows=found.rows, diagnostics=seen)


class Calls(Method):
    """Opens a connection; with how=caught it goes on when that fails."""

    params: HowParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        with contextlib.suppress(Exception if self.params.how == "caught" else ()):
            socket.create_connection(("203.0.113.7", 80), timeout=0.01)
        return first_rows(data, dpc)


class Asks(Method):
    """Asks for an asset, or for features by an encoder."""

    params: HowParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        if self.params.how == "features":
            ctx.features("train", os.environ["GUILTY_ENCODER"])
        elif self.params.how != "nothing":
            ctx.asset(self.params.how)
        return first_rows(data, dpc)


class Pupil(Student):
    """A student that changes what it is lent, or asks for what it may not have."""

    params: HowParams

    def predict(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        texts: Any = queries.texts
        match self.params.how:
            case "query":
                texts["text"][0] = "written over"
            case "queries":
                texts._items["text"] = tuple("written over" for _ in range(len(queries)))
            case "gold":
                for found in [one for one in gc.get_objects() if isinstance(one, TaskData)]:
                    ctypes.memset(found.test.labels.ctypes.data, 0, found.test.labels.nbytes)
            case "labels":
                distilled.labels[:] = 0
            case "set":
                object.__setattr__(distilled, "soft_labels", np.eye(2, dtype=np.float32)[distilled.labels])
            case "asset":
                ctx.asset("guilty-rows")
        return np.zeros(len(queries), dtype=np.int64)


@hookimpl
def bench_tasks() -> Sequence[TaskSpec]:
    return [TaskSpec(name="rows", summary="S.", target=f"{__name__}:Rows", assets=lambda params: ["guilty-rows"])]


@hookimpl
def bench_methods() -> Sequence[MethodSpec]:
    def spec(name: str, target: type[Method], **more: Any) -> MethodSpec:
        more = {"params": HowParams, "deterministic": True} | more
        return MethodSpec(name=name, summary="S.", target=f"{__name__}:{target.__name__}", **more)

    return [
        spec("writes", Writes),
        spec("careless", Careless, deterministic=False),
        spec("witness", Witness),
        spec("calls", Calls),
        spec("asks", Asks),
        spec("declares", Asks, assets=lambda params: [params.how]),
    ]


@hookimpl
def bench_students() -> Sequence[StudentSpec]:
    return [StudentSpec(name="pupil", summary="S.", target=f"{__name__}:Pupil", params=HowParams)]


@hookimpl
def bench_assets() -> Sequence[Asset]:
    return [Asset(name="guilty-rows", summary="S.", content="data", licence="CC0", size_mb=1, folder="guilty")]
