"""Packed states and their padded view."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.learners.packed import Packed

PACKED = Packed(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32), np.array([1, 3, 2]))


def test_rows() -> None:
    packed = Packed(np.arange(12, dtype=np.float32).reshape(6, 2), np.array([1, 3, 2]))
    taken = packed.rows(np.array([2, 0]))
    np.testing.assert_array_equal(taken.states, [[8, 9], [10, 11], [0, 1]])
    np.testing.assert_array_equal(taken.lengths(), [2, 1])
    assert len(taken) == 2


@pytest.mark.parametrize("runs", [None, 2])
def test_pad_and_unpad_are_inverse(runs: int | None) -> None:
    batch = PACKED.batch("cpu")
    states = batch.states if runs is None else torch.stack([batch.states, -batch.states])
    padded = batch.pad(states)
    assert padded.shape == (3, 3, 4) if runs is None else (2, 3, 3, 4)
    assert not padded[..., 0, 1:, :].any()
    torch.testing.assert_close(padded[..., 1, :, :], states[..., 1:4, :])
    torch.testing.assert_close(batch.unpad(padded), states)


def test_padding_gets_no_attention() -> None:
    scores = PACKED.batch("cpu").masked(torch.zeros(2, 3, 1, 1, 3)).softmax(-1)
    assert (scores > 0).sum(-1)[:, :, 0, 0].tolist() == [[1, 3, 2]] * 2
