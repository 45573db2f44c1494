"""Random selection: the baseline of every coreset."""

from __future__ import annotations

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData
from methods.common import class_pools


class Random(Method):
    """`dpc` train rows of each class, uniformly without replacement."""

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Rows in the order drawn; each class has a generator of its own."""
        picked = [
            pool.rows[ctx.rng("random", pool.name).choice(len(pool.rows), size=pool.dpc, replace=False)]
            for pool in class_pools(data, dpc)
        ]
        return DistilledSet.from_rows(data, np.concatenate(picked))
