"""Random sets and the scores of learners that are trained on them, on train rows alone ('Optimized' of Wang 2018)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from bench.api import Context, Part, Split, TaskInfo, TrainData
from bench.learners.network import Inputs, Network
from bench.learners.recipe import Recipe, fit, predict
from bench.learners.seeds import derive
from methods.baselines.learner import load_learner
from methods.baselines.params import BestOfRandomParams
from methods.baselines.parts import ranking_fields
from methods.common import class_pools, rounded
from methods.making import one_by_one

FILE = "ranking.json"


class Ranking(NamedTuple):
    """Candidates from the best to the worst: train rows int64 [candidates, C * dpc], and each one's score.

    accuracy, loss: on the scored train rows, float [candidates], mean over the learners.
    """

    rows: np.ndarray
    accuracy: np.ndarray
    loss: np.ndarray


def make(parts: Sequence[Part], data: TrainData, ctx: Context) -> dict[int, Exception]:
    """Make the rankings that are not there; the error of each that failed, by its position."""
    return one_by_one(_make, parts, data, ctx)


def _make(part: Part, data: TrainData, ctx: Context) -> None:
    kind, fields, code = ctx.address(part)
    params, dpc = ranking_fields(part)

    def build(folder: Path) -> None:
        candidates = draw_candidates(data, dpc, params.candidates, ctx)
        network = load_learner(params, data.info.n_classes, ctx)
        write_ranking(folder, rank(network, candidates, data.info, data.train, params, ctx), data, dpc)

    ctx.artifact(kind, fields, build, code)


def draw_candidates(data: TrainData, dpc: int, count: int, ctx: Context) -> np.ndarray:
    """`count` sets of dpc rows a class without replacement, by class: int64 [count, C * dpc]."""
    pools = class_pools(data, dpc)
    draws = [
        [ctx.rng("candidate", number, pool.name).choice(pool.rows, size=dpc, replace=False) for pool in pools]
        for number in range(count)
    ]
    found: np.ndarray = np.array([np.concatenate(draw) for draw in draws], dtype=np.int64)
    return found


def rank(
    network: Network, candidates: np.ndarray, info: TaskInfo, train: Split, params: BestOfRandomParams, ctx: Context
) -> Ranking:
    """Score candidates [count, n], sort them by accuracy, then by loss, then as they were drawn.

    All are scored by learners that start alike, on the same train rows: `score_rows` of them, drawn once, in which a
    candidate's own rows may be.
    """
    order = ctx.rng("score rows").permutation(len(train))
    scored = np.sort(order[: params.score_rows])
    batch = network.shared(_texts(info, train, scored), info.fields, ctx)
    scores = np.empty((len(candidates), 2))
    for number, rows in enumerate(candidates):
        inputs = network.prepare(network.tokenize(_texts(info, train, rows), info.fields))
        seeds = [ctx.derive("net", net) for net in range(params.nets)]
        found = [_score(network, inputs, train.labels[rows], batch, train.labels[scored], params, s) for s in seeds]
        scores[number] = np.mean(found, axis=0)
        ctx.progress(number + 1, len(candidates), "scoring random sets")
    accuracy, loss = scores.T
    best = np.lexsort((loss, -accuracy))
    return Ranking(candidates[best], accuracy[best], loss[best])


def _score(
    network: Network,
    inputs: Inputs,
    labels: np.ndarray,
    batch: Inputs,
    wanted: np.ndarray,
    params: BestOfRandomParams,
    seed: int,
) -> tuple[float, float]:
    """Accuracy and mean cross-entropy on a batch of a learner that is trained on a set, by the students' recipe."""
    weights = network.initial(torch.Generator().manual_seed(derive(seed, "head")))
    recipe = Recipe(params.learning_rate, steps=params.steps, min_epochs=0)
    rng = np.random.default_rng(derive(seed, "order"))
    fit(network, weights, inputs, torch.tensor(labels), recipe, network.dropout(), rng)
    logits = predict(network, weights, batch)
    loss = functional.cross_entropy(torch.from_numpy(logits).double(), torch.tensor(wanted))
    return float((logits.argmax(1) == wanted).mean()), float(loss)


def _texts(info: TaskInfo, split: Split, rows: np.ndarray) -> dict[str, list[str]]:
    return {name: [split.texts[name][row] for row in rows] for name in info.fields}


def write_ranking(folder: Path, ranking: Ranking, data: TrainData, dpc: int) -> None:
    """Write a finished part, for `load_ranking`."""
    content = {name: getattr(ranking, name).tolist() for name in Ranking._fields}
    (folder / FILE).write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
    count = len(ranking.rows)
    report: dict[str, Any] = {
        "title": f"random sets of {data.info.label}, {dpc} a class, by the score of learners on train rows",
        "facts": {"candidates": count, "best accuracy": rounded(ranking.accuracy[0])},
        "curves": {"accuracy": {"x": list(range(1, count + 1)), "y": ranking.accuracy.tolist()}},
        "curve_labels": {"accuracy": ["rank", "accuracy on train rows"]},
    }
    (folder / "report.json").write_text(json.dumps(report, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def load_ranking(folder: Path) -> Ranking:
    """What a finished part holds."""
    content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return Ranking(np.array(content["rows"], dtype=np.int64), *(np.array(content[n]) for n in ("accuracy", "loss")))
