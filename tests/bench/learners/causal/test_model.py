"""What serves all causal language models; losses, steps and cached states are tested with generators."""

from __future__ import annotations

import numpy as np

from bench.learners.causal.model import pieces


def test_pieces_hold_all_rows_within_the_limit() -> None:
    lengths = np.random.default_rng(0).integers(3, 40, 50)
    found = pieces([np.zeros(length) for length in lengths], 100)
    assert sorted(np.concatenate(found).tolist()) == list(range(50))
    assert all(len(rows) == 1 or len(rows) * lengths[rows].max() <= 100 for rows in found)
    assert np.concatenate([lengths[rows] for rows in found]).tolist() == sorted(lengths)
