"""The empty set: the lower bound of in-context students."""

from __future__ import annotations

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData


class ZeroShot(Method):
    """No example."""

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """A set without rows."""
        return DistilledSet(labels=np.empty(0, dtype=np.int64), texts={name: [] for name in data.info.fields})
