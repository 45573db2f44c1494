"""EL2N and GraNd: the rows of each class that are hardest, or easiest, for a learner early in its training."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData
from methods.common import class_pools, rounded
from methods.scores.checkpoints import Checkpoint, all_of, load_runs
from methods.scores.difficulty import el2n, grand
from methods.scores.params import RankedParams
from methods.scores.rules import easiest, hardest


class _Ranked(Method):
    params: RankedParams

    @abc.abstractmethod
    def scores(self, checkpoints: Sequence[Checkpoint]) -> np.ndarray:
        """A score of every train row, float64 [n]; higher is harder."""

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Rows in the order of their scores; diagnostics by class: `score` of those taken, `class_score` of all."""
        pools = class_pools(data, dpc)
        scores = self.scores(all_of(load_runs(self.params, ctx)))
        take = hardest if self.params.order == "hard" else easiest
        rows = [pool.rows[take(scores[pool.rows], pool.dpc)] for pool in pools]
        return DistilledSet.from_rows(
            data,
            np.concatenate(rows),
            score=[rounded(scores[taken].mean()) for taken in rows],
            class_score=[rounded(scores[pool.rows].mean()) for pool in pools],
        )


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
