"""Packed states and their padded view."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.learners.dropout import Dropout
from bench.learners.packed import Layout, Packed, side_by_side

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


SIZES = np.array([[1, 3, 2], [4, 1, 1], [2, 2, 1]])  # of three runs with texts of their own


def states_of(runs: np.ndarray) -> list[np.ndarray]:
    return [np.random.default_rng(i).normal(size=(n, 4)).astype(np.float32) for i, n in enumerate(runs.sum(1))]


def test_runs_with_texts_of_their_own() -> None:
    """Each as alone: padded view, first tokens, masks; what follows a shorter run's tokens reaches nothing."""
    layout, states = Layout(SIZES, "cpu"), states_of(SIZES)
    assert layout.tokens == 6
    together = torch.from_numpy(side_by_side(states)).requires_grad_()
    with torch.no_grad():
        together[2, 5:] = 7.0
    padded, firsts = layout.pad(together), layout.firsts(together)
    again = layout.unpad(padded)
    scores = layout.masked(torch.zeros(3, 3, 1, 1, 4)).softmax(-1)
    for run, own in enumerate(states):
        alone, length = Layout(SIZES[run], "cpu"), int(SIZES[run].max())
        tensor = torch.from_numpy(own)
        torch.testing.assert_close(padded[run, :, :length], alone.pad(tensor))
        assert not padded[run, :, length:].any()
        torch.testing.assert_close(firsts[run], alone.firsts(tensor))
        torch.testing.assert_close(again[run, : len(own)], tensor)
        expected = alone.masked(torch.zeros(3, 1, 1, length)).softmax(-1)
        torch.testing.assert_close(scores[run, ..., :length], expected)
        assert not scores[run, ..., length:].any()
    (padded.square().sum() + firsts.sum()).backward()
    assert together.grad is not None
    assert not together.grad[2, 5:].any()
    assert together.grad[2, :5].all()


def test_texts_of_one_length_need_no_mask() -> None:
    layout = Layout(np.full((2, 3), 4), "cpu")
    states = torch.randn(2, 12, 5, generator=torch.Generator().manual_seed(0))
    assert not layout.ragged
    assert torch.equal(layout.unpad(layout.pad(states)), states)
    assert torch.equal(layout.firsts(states), states[:, ::4])


def test_dropout_of_runs_with_texts_of_their_own() -> None:
    """Masks of states, of attention in both forms and of what the head reads: as a run alone draws them, one by one."""
    layout = Layout(SIZES, "cpu")
    drop = layout.dropout(Dropout(*(torch.Generator().manual_seed(run) for run in range(3))))
    found = [drop(torch.ones(shape), 0.4) for shape in ((3, 6, 5), (3, 3, 2, 4, 4), (3, 3, 2, 1, 4), (3, 3, 5))]
    for run, sizes in enumerate(SIZES):
        tokens, length = int(sizes.sum()), int(sizes.max())
        alone = Dropout(torch.Generator().manual_seed(run))
        for mask, shape in zip(found, ((tokens, 5), (3, 2, length, length), (3, 2, 1, length), (3, 5)), strict=True):
            own = mask[run][tuple(map(slice, shape))]
            assert torch.equal(own, alone(torch.ones(shape), 0.4))
            assert mask[run].count_nonzero() == own.count_nonzero()
    one = Layout(np.ones((2, 3), int), "cpu")  # as many tokens as texts
    assert one.dropout(drop) is drop
