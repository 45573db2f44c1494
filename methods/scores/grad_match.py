"""Gradient matching as a selector: rows whose mean last-layer gradient follows that of their class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData, UserError
from bench.learners.seeds import derive
from methods.common import rounded
from methods.scores.checkpoints import Checkpoint, ClassPool, load_trainings, pools_of
from methods.scores.matching import Gradients, match_mean, projected
from methods.scores.params import GradMatchParams
from methods.selection import herding_mean


class GradMatch(Method):
    """Greedy matching of each class's mean gradient, over the checkpoints of all runs."""

    params: GradMatchParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Rows in the order of selection.

        Diagnostics by class: `candidates`, how many there are, and `mean_error` without projection,
        ||mean gradient of those taken - mean of the candidates|| / ||mean of the candidates||.
        """
        trainings = load_trainings(self.params, ctx)
        pools = pools_of(data, dpc, trainings.rows)
        if self.params.candidates == "agreed":
            right = agreed(trainings.finals(), data.train.labels[trainings.rows])
            pools = [_only(pool, right, data) for pool in pools]
        rows, errors = [], []
        for done, pool in enumerate(pools):
            checkpoints = [each.at(pool.places) for each in trainings.all()]
            picked = self._match(checkpoints, pool.dpc)
            rows.append(pool.rows[picked])
            errors.append(rounded(mean_error(checkpoints, picked)))
            ctx.progress(done + 1, len(pools), "gradient matching")
        sizes = [len(pool.rows) for pool in pools]
        return DistilledSet.from_rows(data, np.concatenate(rows), mean_error=errors, candidates=sizes)

    def _match(self, checkpoints: Sequence[Checkpoint], k: int) -> np.ndarray:
        size, width = self.params.projection, checkpoints[0].errors.shape[1] * checkpoints[0].inputs.shape[1]
        if size is None or width <= size:
            return match_mean(Gradients(checkpoints), k)
        rng = np.random.default_rng(derive(self.params.learner_seed, "projection"))
        return herding_mean(projected(checkpoints, size, rng), k)


def agreed(checkpoints: Sequence[Checkpoint], labels: np.ndarray) -> np.ndarray:
    """Whether the learners, by the mean of their probabilities, give each row its own label: bool [n]."""
    errors = np.mean([each.errors for each in checkpoints], axis=0, dtype=np.float64)
    probabilities = errors + np.eye(errors.shape[1])[labels]
    found: np.ndarray = probabilities.argmax(1) == labels
    return found


def mean_error(checkpoints: Sequence[Checkpoint], picked: np.ndarray) -> float:
    """||mean gradient of the picked rows - mean of all|| / ||mean of all||, of all checkpoints as one vector."""
    difference = whole = 0.0
    for errors, inputs in checkpoints:
        mean = errors.T.astype(np.float64) @ inputs / len(errors)
        own = errors[picked].T.astype(np.float64) @ inputs[picked] / len(picked)
        difference += float(((own - mean) ** 2).sum())
        whole += float((mean**2).sum())
    return float(np.sqrt(difference / whole)) if whole else 0.0


def _only(pool: ClassPool, right: np.ndarray, data: TrainData) -> ClassPool:
    """The rows of a class that are labelled right. right: bool, of all rows of the pool."""
    kept = right[pool.places]
    if kept.sum() < pool.dpc:
        raise UserError(
            f"the learners label {kept.sum()} rows of class '{pool.name}' of task '{data.info.label}' as the task "
            f"does, fewer than dpc {pool.dpc}; take candidates=all or a smaller --dpc"
        )
    return replace(pool, rows=pool.rows[kept], places=pool.places[kept])
