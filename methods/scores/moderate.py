"""Moderate coresets: rows that are neither near their class's centre nor far from it."""

from __future__ import annotations

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData
from methods.common import rounded
from methods.scores.checkpoints import load_trainings, pools_of
from methods.scores.params import CheckpointParams
from methods.scores.rules import nearest_median


class Moderate(Method):
    """The rows of each class whose distance to the class mean of the trained features is nearest to the median."""

    params: CheckpointParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Rows in the order of |distance - median|; diagnostics by class: `median` and the `mean_distance` taken."""
        trainings = load_trainings(self.params, ctx)
        rows, medians, means = [], [], []
        for pool in pools_of(data, dpc, trainings.rows):
            distances = np.mean([to_mean(each.inputs[pool.places]) for each in trainings.finals()], axis=0)
            picked = nearest_median(distances, pool.dpc)
            rows.append(pool.rows[picked])
            medians.append(rounded(np.median(distances)))
            means.append(rounded(distances[picked].mean()))
        return DistilledSet.from_rows(data, np.concatenate(rows), median=medians, mean_distance=means)


def to_mean(X: np.ndarray) -> np.ndarray:
    """L2 distance of each row of X [n, q] to their mean, float64 [n]."""
    X = X.astype(np.float64)
    found: np.ndarray = np.linalg.norm(X - X.mean(axis=0), axis=1)
    return found
