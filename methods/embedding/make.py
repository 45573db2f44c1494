"""Trained sets as artifacts: one training a part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from bench.api import Context, Embeddings, Part, Split, TrainData
from bench.learners.seeds import derive
from methods.embedding.learner import Learner, first_vectors
from methods.embedding.nearest import nearest_shown
from methods.embedding.params import UnrolledParams
from methods.embedding.parts import params_of
from methods.embedding.train import Real, as_embeddings, train
from methods.embedding.variables import Variables
from methods.making import one_by_one

ARRAYS, FACTS, REPORT = "set.safetensors", "set.json", "report.json"


def make(parts: Sequence[Part], data: TrainData, ctx: Context) -> dict[int, Exception]:
    """Train the sets that are not there; the error of each that failed, by its position."""
    return one_by_one(_make, parts, data, ctx)


def _make(part: Part, data: TrainData, ctx: Context) -> None:
    where = kind, fields, code = ctx.address(part)
    params, dpc, seed = params_of(part), int(part.fields["dpc"]), derive(int(part.fields["seed"]), "training")
    with ctx.workspace(*where) as workspace:
        if ctx.find(*where) is not None:  # made by the run that held the workspace before
            return
        learner = Learner(data, ctx, params, seed)
        labels = np.repeat(np.arange(data.info.n_classes), dpc)
        vectors = first_vectors(learner, data, dpc, ctx, params, seed)
        variables = Variables(learner, vectors, labels, params, derive(seed, "attention"))
        arrays, report = train(
            variables,
            learner,
            _real(learner, data, ctx, params),
            _validation(learner, data.validation, params, seed),
            params,
            seed=seed,
            workspace=workspace,
            progress=lambda done, total: ctx.progress(done, total, "unrolled training"),
        )
        shown = nearest_shown(learner, data, arrays["inputs_embeds"])
        found = as_embeddings(arrays, variables, learner, params, encoder_identity=ctx.asset_identity(params.encoder))
        report["title"] = f"embedding-level set of {data.info.label}, {dpc} a class"

        def build(folder: Path) -> None:
            _write(folder, found, shown, report)

        ctx.artifact(kind, fields, build, code)


def _real(learner: Learner, data: TrainData, ctx: Context, params: UnrolledParams) -> Real:
    """The train rows; their hidden states are kept for all trainings when one reads about as many as there are."""
    if params.outer_steps * params.batch < len(data.train):
        return Real(partial(learner.packed, data.train), data.train.labels)
    return Real(learner.network.shared(data.train.texts, data.info.fields, ctx).rows, data.train.labels)


def _validation(learner: Learner, split: Split, params: UnrolledParams, seed: int) -> Real:
    """The validation rows that looks read."""
    n = min(params.validation_rows, len(split))
    rows = np.sort(np.random.default_rng(derive(seed, "validation rows")).choice(len(split), n, replace=False))
    return Real(learner.packed(split, rows).rows, split.labels[rows])


def _write(folder: Path, embeddings: Embeddings, shown: Sequence[str], report: dict[str, Any]) -> None:
    values = {one.name: getattr(embeddings, one.name) for one in fields(embeddings)} | {"nearest": list(shown)}
    arrays = {name: np.ascontiguousarray(each) for name, each in values.items() if isinstance(each, np.ndarray)}
    save_file(arrays, folder / ARRAYS)
    facts = {name: each for name, each in values.items() if name not in arrays}
    (folder / FACTS).write_text(json.dumps(facts, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    (folder / REPORT).write_text(json.dumps(report, ensure_ascii=False, allow_nan=False), encoding="utf-8")


@dataclass(frozen=True)
class Trained:
    """A trained set and what its training says of it."""

    embeddings: Embeddings
    facts: dict[str, Any]


def load(folder: Path) -> Trained:
    """What `make` wrote."""
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    arrays: dict[str, Any] = load_file(folder / ARRAYS)
    return Trained(Embeddings(**arrays, **facts), report["facts"])
