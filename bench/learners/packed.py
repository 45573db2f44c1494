"""Hidden states of texts one after another, without padding; only attention sees a padded view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """Hidden states of N texts one after another: float32 [sum of sizes, d], and their tokens, int64 [N]."""

    states: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.sizes)

    def lengths(self) -> np.ndarray:
        """Number of tokens of every text, int64 [N]."""
        return self.sizes

    def rows(self, rows: np.ndarray) -> Packed:
        """The texts with these indices, in this order."""
        return Packed(self.states[places_of(self.sizes, rows)], self.sizes[rows])

    def batch(self, device: str) -> Batch:
        """All texts as one batch on a device."""
        return Batch(torch.from_numpy(self.states).to(device), self.sizes)


class Layout:
    """Where the tokens of B texts lie one after another, [tokens, d], and in the padded view, [B, L, d].

    A leading axis of stacked runs may stand before the tokens: [runs, tokens, d] and [runs, B, L, d]. sizes: tokens of
    each text, int64 [B], or [runs, B] where each run reads texts of its own. `tokens` is then that of the run with
    most; what follows the tokens of another run means nothing and reaches nothing.
    """

    def __init__(self, sizes: np.ndarray, device: torch.device | str) -> None:
        self.runs = len(sizes) if sizes.ndim == 2 else None
        self.size, self.longest = sizes.shape[-1], int(sizes.max())
        self.totals, self.lengths = sizes.sum(-1), sizes.max(-1)  # of each run
        self.tokens = int(self.totals.max())
        self.ragged = bool((sizes != self.longest).any())
        starts = np.cumsum(sizes, -1) - sizes
        first = starts if self.runs is None else (starts + np.arange(self.runs)[:, None] * self.tokens).ravel()
        self.first = torch.from_numpy(first).to(device)
        if not self.ragged:
            return
        mask = np.where(np.arange(self.longest) < sizes[..., None], 0.0, -np.inf).astype(np.float32)
        self.mask = torch.from_numpy(mask).to(device)
        places = [self._places(*each) for each in zip(np.atleast_2d(sizes), np.atleast_2d(starts), strict=True)]
        if self.runs is None:
            self.places = torch.from_numpy(places[0]).to(device)
            return
        beyond = self.runs * self.size * self.longest  # one row for what means nothing
        padded, back = np.full((self.runs, self.tokens), beyond), np.zeros((self.runs, self.tokens), np.int64)
        for run, own in enumerate(places):
            padded[run, : len(own)] = back[run, : len(own)] = own + run * self.size * self.longest
        self.places, self.back = (torch.from_numpy(each.ravel()).to(device) for each in (padded, back))

    def _places(self, sizes: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """For each token of B texts its place among the B * L of the padded view."""
        return np.arange(int(sizes.sum())) - np.repeat(starts - np.arange(self.size) * self.longest, sizes)

    def pad(self, packed: Tensor) -> Tensor:
        """[tokens, d] -> [B, L, d], zeros at padding."""
        lead, d = packed.shape[:-2], packed.shape[-1]
        if self.ragged and self.runs is None:
            packed = packed.new_zeros(*lead, self.size * self.longest, d).index_copy_(-2, self.places, packed)
        elif self.ragged:
            rows = packed.new_zeros(len(packed) * self.size * self.longest + 1, d)
            packed = rows.index_copy_(0, self.places, packed.flatten(0, 1))[:-1]
        return packed.view(*lead, self.size, self.longest, d)

    def unpad(self, padded: Tensor) -> Tensor:
        """[B, L, d] -> [tokens, d]."""
        flat = padded.flatten(-3, -2)
        if not self.ragged:
            return flat
        if self.runs is None:
            return flat.index_select(-2, self.places)
        return flat.flatten(0, 1).index_select(0, self.back).view(self.runs, self.tokens, -1)

    def firsts(self, packed: Tensor) -> Tensor:
        """The first token of each text: [tokens, d] -> [B, d]."""
        if self.runs is None:
            return packed.index_select(-2, self.first)
        return packed.flatten(0, 1).index_select(0, self.first).view(self.runs, self.size, -1)

    def masked(self, scores: Tensor) -> Tensor:
        """Attention scores [B, H, queries, L] with padding at -inf."""
        return scores + self.mask[..., None, None, :] if self.ragged else scores

    def dropout(self, drop: Callable[..., Tensor]) -> Callable[[Tensor, float], Tensor]:
        """`drop`, which draws for each run as many numbers as it would draw alone."""
        if self.runs is None or not self.ragged:
            return drop
        return partial(self._dropped, drop)

    def _dropped(self, drop: Callable[..., Tensor], x: Tensor, rate: float) -> Tensor:
        return drop(x, rate, [self._alone(x.shape[1:], run) for run in range(len(x))])

    def _alone(self, shape: torch.Size, run: int) -> tuple[int, ...]:
        """Of states [tokens or B, d] or scores [B, H, queries, L] what a run has whose texts are shorter."""
        length = int(self.lengths[run])
        if len(shape) == 2:  # as many tokens as texts: one token each, in all runs
            return (int(self.totals[run]) if shape[0] == self.tokens else shape[0], shape[1])
        return (*shape[:2], length if shape[2] == self.longest else shape[2], length)


class Batch(Layout):
    """Packed states of B texts, [tokens, d] or [runs, tokens, d], and their layout."""

    def __init__(self, states: Tensor, sizes: np.ndarray) -> None:
        super().__init__(sizes, states.device)
        self.states = states


def places_of(sizes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where the tokens of some texts stand among those of all, int64, text by text."""
    starts, taken = np.cumsum(sizes) - sizes, sizes[rows]
    return np.arange(int(taken.sum())) + np.repeat(starts[rows] - (np.cumsum(taken) - taken), taken)


def side_by_side(runs: list[np.ndarray]) -> np.ndarray:
    """[runs, tokens, ...] from arrays of different lengths, zeros at the end of the shorter ones."""
    found = np.zeros((len(runs), max(map(len, runs)), *runs[0].shape[1:]), runs[0].dtype)
    for place, own in zip(found, runs, strict=True):
        place[: len(own)] = own
    return found
