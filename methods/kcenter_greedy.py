"""k-center by farthest-first traversal, per class."""

from __future__ import annotations

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData
from methods.common import class_features, class_pools, rounded
from methods.params import KCenterGreedyParams
from methods.selection import distance_to_nearest, k_center_greedy
from methods.starting import first_row


class KCenterGreedy(Method):
    """Sener and Savarese's greedy core set of each class."""

    params: KCenterGreedyParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Rows in the order of selection; diagnostic `radius`: the largest distance to a selected row, by class."""
        pools = class_pools(data, dpc)
        features = ctx.features("train", self.params.encoder, self.params.pooling, self.params.max_length)
        rows, distances, radii = [], [], []
        for done, pool in enumerate(pools):
            X = class_features(features, pool, self.params.normalize)
            start = first_row(X, self.params.start, pool.name, ctx)
            picked = k_center_greedy(X, pool.dpc, start)
            rows.append(pool.rows[picked])
            distance = distance_to_nearest(X, picked)
            distances.append(rounded(distance.mean()))
            radii.append(rounded(distance.max()))
            ctx.progress(done + 1, len(pools), "k-center")
        return DistilledSet.from_rows(data, np.concatenate(rows), mean_distance=distances, radius=radii)
