"""The steps of a baseline as a part: its grid search on a set of its own, the same for all sets of a dpc."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Context, Part, TrainData
from bench.learners.seeds import derive
from methods.baselines.embedded import BASELINES
from methods.baselines.grid import Chosen, best, search
from methods.baselines.learner import load_learner
from methods.baselines.parts import steps_fields
from methods.making import one_by_one


def make(parts: Sequence[Part], data: TrainData, ctx: Context) -> dict[int, Exception]:
    """Choose the steps that are not there; the error of each that failed, by its position."""
    return one_by_one(_make, parts, data, ctx)


def _make(part: Part, data: TrainData, ctx: Context) -> None:
    kind, fields, code = ctx.address(part)
    ctx.artifact(kind, fields, partial(_build, part, data, ctx), code)


def _build(part: Part, data: TrainData, ctx: Context, folder: Path) -> None:
    method, params, dpc = steps_fields(part)
    examples = BASELINES[method](params).examples(data, dpc, ctx)
    network, split, fields = load_learner(params, data.info.n_classes, ctx), data.validation, data.info.fields
    order = np.random.default_rng(derive(params.grid_seed, "validation")).permutation(len(split))
    rows = np.sort(order[: params.validation_rows])
    points = search(
        network,
        examples.sequences.inputs(examples.layer),
        examples.embeddings(params, data, ctx),
        network.shared({name: [split.texts[name][row] for row in rows] for name in fields}, fields, ctx),
        split.labels[rows],
        learning_rates=params.learning_rates,
        epochs=params.epochs,
        heads=[derive(params.grid_seed, "head", number) for number in range(params.heads)],
        progress=lambda done, total: ctx.progress(done, total, "grid search"),
    )
    chosen = Chosen(best(points), tuple(points), len(rows))
    chosen.save(folder)
    report = _report(f"steps of {method} on {data.info.label}, {dpc} a class", chosen)
    (folder / "report.json").write_text(json.dumps(report, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def _report(title: str, chosen: Chosen) -> dict[str, Any]:
    curves = {
        f"step size {rate}": {
            "x": [point.epochs for point in chosen.grid if point.learning_rate == rate],
            "y": [point.accuracy for point in chosen.grid if point.learning_rate == rate],
        }
        for rate in dict.fromkeys(point.learning_rate for point in chosen.grid)
    }
    return {
        "title": title,
        "facts": {
            "step size": chosen.point.learning_rate,
            "steps": chosen.point.epochs,
            "validation accuracy": chosen.point.accuracy,
            "validation rows": chosen.validation_rows,
            "at the edge of the grid": ", ".join(chosen.at_edge()) or "no",
        },
        "curves": curves,
        "curve_labels": {name: ["steps", "validation accuracy"] for name in curves},
    }
