"""The first row of methods that go on from one."""

from __future__ import annotations

from typing import Literal

import numpy as np

from bench.api import Context
from methods.selection import nearest


def first_row(X: np.ndarray, start: Literal["random", "mean"], name: str, ctx: Context) -> int:
    """Of a class and its features, float [n, d]: the row nearest to their mean (L2), or one drawn by the set's seed."""
    if start == "mean":
        return nearest(X, X.mean(axis=0, dtype=np.float64))
    return int(ctx.rng("start", name).integers(len(X)))
