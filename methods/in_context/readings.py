"""The language model's gradients of train rows as a part: of the label words' loss in its last linear map."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Context, Part, TrainData
from bench.learners.in_context.reader import Reader, form_of
from methods.in_context.params import LmGradMatchParams
from methods.making import one_by_one
from methods.scores.checkpoints import Checkpoint
from methods.scores.training import pool_of


def make(parts: Sequence[Part], data: TrainData, ctx: Context) -> dict[int, Exception]:
    """Read the pools that are not there; the error of each that failed, by its position.

    An artifact holds rows.npy, int64 [n], the train rows of the pool, and their gradients as a `Checkpoint`:
    errors.npy, float32 [n, C], and inputs.npy, float32 [n, d].
    """
    return one_by_one(_make, parts, data, ctx)


def _make(part: Part, data: TrainData, ctx: Context) -> None:
    kind, fields, code = ctx.address(part)
    params = LmGradMatchParams(**part.fields)

    def build(folder: Path) -> None:
        rows = pool_of(data.train.labels, params.pool_rows, params.pool_seed)
        texts = {name: [data.train.texts[name][row] for row in rows] for name in data.info.fields}
        reader, form = Reader(params.model, ctx), form_of(data.info, params.label_words)
        found = reader.answers(form, texts, lambda done, total: ctx.progress(done, total, "gradients"))
        labels = data.train.labels[rows]
        errors = np.exp(found.scores) - np.eye(data.info.n_classes)[labels]
        for name, values in (("rows", rows), ("errors", errors.astype(np.float32)), ("inputs", found.hidden)):
            np.save(folder / f"{name}.npy", values, allow_pickle=False)
        right = float((found.scores.argmax(1) == labels).mean())
        facts: dict[str, Any] = {"model": params.model, "rows": len(rows), "zero-shot accuracy on them": right}
        report = {"title": f"{params.model}'s gradients of train rows of {data.info.label}", "facts": facts}
        (folder / "report.json").write_text(json.dumps(report, ensure_ascii=False, allow_nan=False), encoding="utf-8")

    ctx.artifact(kind, fields, build, code)


def load_readings(folder: Path) -> tuple[np.ndarray, Checkpoint]:
    """The train rows of a pool, int64 [n], and their gradients."""
    rows, errors, inputs = (
        np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("rows", "errors", "inputs")
    )
    return rows, Checkpoint(errors, inputs)
