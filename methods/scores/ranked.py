"""EL2N and GraNd: the rows of each class that are hardest, or easiest, for a learner early in its training."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData
from methods.common import rounded
from methods.scores.checkpoints import Checkpoint, load_trainings, pools_of
from methods.scores.difficulty import el2n, grand
from methods.scores.params import RankedParams
from methods.scores.rules import easiest, hardest


class _Ranked(Method):
    params: RankedParams

    @abc.abstractmethod
    def scores(self, checkpoints: Sequence[Checkpoint]) -> np.ndarray:
        """A score of each row of the pool, float64 [n]; higher is harder."""

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Rows in the order of their scores; diagnostics by class: `score` of those taken, `class_score` of all."""
        trainings = load_trainings(self.params, ctx)
        scores, take = self.scores(trainings.all()), hardest if self.params.order == "hard" else easiest
        rows, means, class_means = [], [], []
        for pool in pools_of(data, dpc, trainings.rows):
            own = scores[pool.places]
            picked = take(own, pool.dpc)
            rows.append(pool.rows[picked])
            means.append(rounded(own[picked].mean()))
            class_means.append(rounded(own.mean()))
        return DistilledSet.from_rows(data, np.concatenate(rows), score=means, class_score=class_means)


class El2n(_Ranked):
    """Norm of the softmax error."""

    def scores(self, checkpoints: Sequence[Checkpoint]) -> np.ndarray:
        """See `methods.scores.difficulty`."""
        return el2n(checkpoints)


class Grand(_Ranked):
    """Norm of the last layer's gradient."""

    def scores(self, checkpoints: Sequence[Checkpoint]) -> np.ndarray:
        """See `methods.scores.difficulty`."""
        return grand(checkpoints)
