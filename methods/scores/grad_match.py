"""Gradient matching as a selector: rows whose mean last-layer gradient follows that of their class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData, UserError
from bench.learners.seeds import derive
from methods.common import Pool, class_pools, rounded
from methods.scores.checkpoints import Checkpoint, all_of, finals, load_runs
from methods.scores.matching import Gradients, match_mean, projected
from methods.scores.params import GradMatchParams
from methods.selection import herding_mean


class GradMatch(Method):
    """Greedy matching of each class's mean gradient, over the checkpoints of all runs."""

    params: GradMatchParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Rows in the order of selection.

        Diagnostics by class: `mean_error`, ||mean gradient taken - mean of the pool|| / ||mean of the pool|| without
        projection, and `pool`, the rows matched.
        """
        pools = class_pools(data, dpc)
        runs = load_runs(self.params, ctx)
        if self.params.pool == "agreed":
            right = agreed(finals(runs), data.train.labels)
            pools = [_checked(replace(pool, rows=pool.rows[right[pool.rows]]), data) for pool in pools]
        rows, errors = [], []
        for done, pool in enumerate(pools):
            checkpoints = [each.rows(pool.rows) for each in all_of(runs)]
            picked = self._match(checkpoints, pool.dpc)
            rows.append(pool.rows[picked])
            errors.append(rounded(mean_error(checkpoints, picked)))
            ctx.progress(done + 1, len(pools), "gradient matching")
        sizes = [len(pool.rows) for pool in pools]
        return DistilledSet.from_rows(data, np.concatenate(rows), mean_error=errors, pool=sizes)

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
    """||mean gradient of the picked rows - mean of all|| / ||mean of all||, the checkpoints' gradients in one vector."""
    difference = whole = 0.0
    for errors, inputs in checkpoints:
        mean = errors.T.astype(np.float64) @ inputs / len(errors)
        own = errors[picked].T.astype(np.float64) @ inputs[picked] / len(picked)
        difference += float(((own - mean) ** 2).sum())
        whole += float((mean**2).sum())
    return float(np.sqrt(difference / whole)) if whole else 0.0


def _checked(pool: Pool, data: TrainData) -> Pool:
    if len(pool.rows) < pool.dpc:
        raise UserError(
            f"the learners label {len(pool.rows)} train rows of class '{pool.name}' of task '{data.info.label}' as the "
            f"task does, fewer than dpc {pool.dpc}; take pool=all or a smaller --dpc"
        )
    return pool
