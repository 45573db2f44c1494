"""K-centers of DiLM: k-means medoids per class."""

from __future__ import annotations

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData
from methods.common import class_features, class_pools, rounded
from methods.params import FeatureParams
from methods.selection import distance_to_nearest, kmeans_medoids


class KCenters(Method):
    """k-means with dpc clusters on the features of each class; one real row for each cluster."""

    params: FeatureParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Rows in the order of the clusters; the seed of each class is derived from the job's."""
        pools = class_pools(data, dpc)
        features = ctx.features("train", self.params.encoder, self.params.pooling, self.params.max_length)
        rows, distances, filled = [], [], 0
        for done, pool in enumerate(pools):
            X = class_features(features, pool, self.params.normalize)
            picked = kmeans_medoids(X, pool.dpc, ctx.derive("kmeans", pool.name))
            rows.append(pool.rows[picked.indices])
            distances.append(rounded(distance_to_nearest(X, picked.indices).mean()))
            filled += picked.filled
            ctx.progress(done + 1, len(pools), "k-means")
        return DistilledSet.from_rows(data, np.concatenate(rows), mean_distance=distances, filled=filled)
