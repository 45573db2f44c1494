"""Greedy matching of a mean gradient, on last-layer gradients that are outer products and are never formed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from methods.scores.checkpoints import Checkpoint


class Gradients:
    """Gradients of n rows at T checkpoints as one vector a row: g_i = (u_i1 v_i1^T, ..., u_iT v_iT^T).

    <g_i, g_j> = sum_t <u_it, u_jt> <v_it, v_jt>: the products of one row with all others take n T (C + q) steps.
    """

    def __init__(self, checkpoints: Sequence[Checkpoint]) -> None:
        self.checkpoints = checkpoints

    def squared_norms(self) -> np.ndarray:
        """||g_i||^2, float64 [n]."""
        return np.sum([_dots(U, U) * _dots(V, V) for U, V in self._factors()], axis=0)

    def with_mean(self) -> np.ndarray:
        """<g_i, mean of all g_j>, float64 [n]."""
        return np.sum([_dots(U @ (U.T @ V / len(U)), V) for U, V in self._factors()], axis=0)

    def with_row(self, row: int) -> np.ndarray:
        """<g_i, g_row>, float64 [n]."""
        return np.sum([(U @ U[row]) * (V @ V[row]) for U, V in self._factors()], axis=0)

    def _factors(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """U [n, C] and V [n, q] of one checkpoint after another."""
        return ((each.errors.astype(np.float64), each.inputs.astype(np.float64)) for each in self.checkpoints)


def match_mean(gradients: Gradients, k: int) -> np.ndarray:
    """k rows, each the one that brings the mean gradient of those taken nearest (L2) to the mean of all: int64 [k].

    The greedy rule of iCaRL's herding (`methods.selection.herding_mean`) without the vectors: of
    ||s + g_j - i mean||^2, s being the sum of those taken, ||g_j||^2 + 2 <g_j, s> - 2 i <g_j, mean> depends on j.
    """
    cost = gradients.squared_norms()
    toward_mean = 2.0 * gradients.with_mean()
    picked: list[int] = []
    for step in range(1, k + 1):
        row = int((cost - step * toward_mean).argmin())
        picked.append(row)
        cost += 2.0 * gradients.with_row(row)
        cost[row] = np.inf
    return np.array(picked, dtype=np.int64)


def projected(checkpoints: Sequence[Checkpoint], k: int, rng: np.random.Generator) -> np.ndarray:
    """The same vectors g_i projected at random to k numbers, float32 [n, k]: products are unbiased, error ~ 1/sqrt(k).

    Row r of the projection is (a_r b_r^T) / sqrt(k) with random signs a_r, b_r, drawn anew for each checkpoint: it
    needs no matrix of C q columns, since <a b^T, u v^T> = <a, u> <b, v>.
    """
    found = np.zeros((len(checkpoints[0].errors), k), dtype=np.float32)
    for errors, inputs in checkpoints:
        found += (errors @ _signs(errors.shape[1], k, rng)) * (inputs @ _signs(inputs.shape[1], k, rng))
    return found / np.float32(np.sqrt(k))


def _signs(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 2, (rows, columns), dtype=np.int8).astype(np.float32) * 2 - 1


def _dots(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """<x_i, y_i> of each row."""
    found: np.ndarray = np.einsum("nd,nd->n", X, Y)
    return found
