"""What is kept of a training beside its weights: see `report.json` in docs/results.md."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

POINTS = 200  # of a curve


def thinned(values: Sequence[float]) -> dict[str, list[float]]:
    """A curve of at most 200 points: x is the last step of a block (from 1), y the mean over the block."""
    blocks = np.array_split(np.asarray(values, dtype=np.float64), min(POINTS, len(values))) if len(values) else []
    ends = np.cumsum([len(block) for block in blocks])
    return {"x": [int(end) for end in ends], "y": [round(float(block.mean()), 6) for block in blocks]}
