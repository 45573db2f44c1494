"""Greedy MAP of a determinantal point process, per class."""

from __future__ import annotations

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData
from methods.common import class_features, class_pools, rounded
from methods.demonstrations.determinant import greedy_map
from methods.demonstrations.params import DppParams
from methods.selection import distance_to_nearest
from methods.starting import first_row


class Dpp(Method):
    """The greedy most diverse rows of each class by the determinant of their similarities."""

    params: DppParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Rows in the order of selection.

        Diagnostics: `filled` rows that brought no gain; `mean_log_gain`, by class: log of the determinant of the
        others' kernel, by their number (0: nothing in common, lower: more alike).
        """
        pools = class_pools(data, dpc)
        features = ctx.features("train", self.params.encoder, self.params.pooling, self.params.max_length)
        rows, distances, gains, filled = [], [], [], 0
        for done, pool in enumerate(pools):
            X = class_features(features, pool, self.params.normalize)
            start = first_row(X, self.params.start, pool.name, ctx)
            picked = greedy_map(X, pool.dpc, start)
            rows.append(pool.rows[picked.indices])
            distances.append(rounded(distance_to_nearest(X, picked.indices).mean()))
            gains.append(rounded(np.log(picked.gains).mean()) + 0.0)  # no -0.0
            filled += picked.filled
            ctx.progress(done + 1, len(pools), "dpp")
        return DistilledSet.from_rows(
            data, np.concatenate(rows), mean_distance=distances, mean_log_gain=gains, filled=filled
        )
