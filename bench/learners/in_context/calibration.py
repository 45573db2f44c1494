"""Taking a prompt's own preference for some label words out of its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

CONTENT_FREE = ("N/A", "[MASK]", "")  # Zhao et al. 2021, section 5


def content_free(fields: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Rows that say nothing: every field holds the same one of these texts."""
    return {name: list(CONTENT_FREE) for name in fields}


def calibrated(scores: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """log p(y | x) - log p(y), p(y) being the mean of p(y | x) over rows that tell nothing of x: float64 [N, C].

    scores: log p of N queries, [N, C]; prior: log p of M rows after the same prompt, [M, C]. With content-free rows
    that is contextual calibration (Zhao et al. 2021, W = diag(p_cf)^-1, b = 0), with unlabelled rows of the task batch
    calibration (Zhou et al. 2024, equation 6).
    """
    found: np.ndarray = scores - (np.logaddexp.reduce(prior, axis=0) - np.log(len(prior)))
    return found
