"""What the built-in methods share: the rows of each class, checked against dpc."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.api import TrainData, UserError


@dataclass(frozen=True)
class Pool:
    """The train rows of one class, ascending, and how many of them to select."""

    label: int
    name: str
    rows: np.ndarray
    dpc: int


def class_pools(data: TrainData, dpc: int | None) -> list[Pool]:
    """One pool a class. Raises UserError when a class has fewer rows than `dpc`."""
    if dpc is None or dpc < 1:
        raise UserError(f"dpc must be 1 or more, not {dpc}")
    pools = [Pool(label, name, data.class_rows(label), dpc) for label, name in enumerate(data.info.label_names)]
    for pool in pools:
        if len(pool.rows) < dpc:
            raise UserError(
                f"class '{pool.name}' of task '{data.info.label}' has {len(pool.rows)} train rows, "
                f"fewer than dpc {dpc}; ask for a smaller --dpc"
            )
    return pools


def class_features(features: np.ndarray, pool: Pool, normalize: bool) -> np.ndarray:
    """The features of one class in memory, float32 [n, d], of unit length if asked for (zeros stay zeros).

    Raises UserError when they are not finite.
    """
    X = np.ascontiguousarray(features[pool.rows])
    if not np.isfinite(X).all():
        raise UserError(f"the encoder gives NaN or infinite features for class '{pool.name}'; use another encoder")
    return unit_length(X) if normalize else X


def unit_length(X: np.ndarray) -> np.ndarray:
    """Rows of length 1 (L2), float [n, d]; a row of zeros stays as it is."""
    from sklearn.preprocessing import normalize

    found: np.ndarray = normalize(X)
    return found


def rounded(value: Any) -> float:
    """A diagnostic: six decimals are enough to read and hide the last bits of a sum."""
    return round(float(value), 6)
