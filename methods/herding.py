"""Herding per class: rows whose mean follows the class mean."""

from __future__ import annotations

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData
from methods.common import class_features, class_pools, rounded
from methods.params import HerdingParams
from methods.selection import distance_to_nearest, herding_mean, herding_welling


class Herding(Method):
    """Greedy mean matching (iCaRL), or Welling's herding without its repeats."""

    params: HerdingParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Rows in the order of selection; diagnostic `mean_error`: ||mean of the selected - class mean||, by class."""
        pools = class_pools(data, dpc)
        features = ctx.features("train", self.params.encoder, self.params.pooling, self.params.max_length)
        rows, distances, errors = [], [], []
        for done, pool in enumerate(pools):
            X = class_features(features, pool, self.params.normalize)
            if self.params.variant == "mean":
                picked = herding_mean(X, pool.dpc)
            else:
                picked = herding_welling(X, pool.dpc, repeats=False)
            error = X[picked].mean(axis=0, dtype=np.float64) - X.mean(axis=0, dtype=np.float64)
            rows.append(pool.rows[picked])
            distances.append(rounded(distance_to_nearest(X, picked).mean()))
            errors.append(rounded(np.linalg.norm(error)))
            ctx.progress(done + 1, len(pools), "herding")
        return DistilledSet.from_rows(data, np.concatenate(rows), mean_distance=distances, mean_error=errors)
