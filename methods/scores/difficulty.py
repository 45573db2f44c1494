"""Scores of how hard a row is, from the learner's checkpoints. Higher is harder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from methods.scores.checkpoints import Checkpoint

Score = Callable[[Sequence[Checkpoint]], np.ndarray]


def el2n(checkpoints: Sequence[Checkpoint]) -> np.ndarray:
    """EL2N (Paul et al. 2021): ||softmax(z_i) - onehot(y_i)||_2, mean over checkpoints and runs, float64 [n]."""
    return np.mean([_norms(each.errors) for each in checkpoints], axis=0)


def grand(checkpoints: Sequence[Checkpoint]) -> np.ndarray:
    """GraNd (Paul et al. 2021) of the last linear map: norm of a row's gradient, mean over the same, float64 [n].

    The norm of an outer product is the product of the norms: EL2N_i sqrt(1 + ||h_i||^2) at each checkpoint.
    """
    return np.mean([_norms(each.errors) * _norms(each.inputs) for each in checkpoints], axis=0)


SCORES: Mapping[str, Score] = {"el2n": el2n, "grand": grand}


def _norms(X: np.ndarray) -> np.ndarray:
    """L2 norm of each row, float64."""
    return np.sqrt(np.einsum("nd,nd->n", X, X, dtype=np.float64))
