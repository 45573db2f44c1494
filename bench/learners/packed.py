"""Hidden states of texts one after another, without padding; only attention sees a padded view."""

from __future__ import annotations

from dataclasses import dataclass

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
        starts = np.concatenate([[0], np.cumsum(self.sizes)])
        parts = [self.states[starts[row] : starts[row + 1]] for row in rows]
        return Packed(np.concatenate(parts), self.sizes[rows])

    def batch(self, device: str) -> Batch:
        """All texts as one batch on a device."""
        return Batch(torch.from_numpy(self.states).to(device), self.sizes)


class Batch:
    """Packed states [sum of sizes, d] of B texts, and where each token lies in the padded view [B, L].

    A leading axis of runs may stand before the tokens: [runs, tokens, d] and [runs, B, L, d].
    """

    def __init__(self, states: Tensor, sizes: np.ndarray) -> None:
        self.states = states
        device = states.device
        self.size, self.longest = len(sizes), int(sizes.max())
        starts = np.cumsum(sizes) - sizes
        self.first = torch.from_numpy(starts).to(device)
        self.ragged = bool((sizes != self.longest).any())
        if self.ragged:
            places = np.arange(int(sizes.sum())) - np.repeat(starts - np.arange(self.size) * self.longest, sizes)
            self.places = torch.from_numpy(places).to(device)
            mask = np.where(np.arange(self.longest) < sizes[:, None], 0.0, -np.inf).astype(np.float32)
            self.mask = torch.from_numpy(mask).to(device)

    def pad(self, packed: Tensor) -> Tensor:
        """[tokens, d] -> [B, L, d], zeros at padding."""
        lead, d = packed.shape[:-2], packed.shape[-1]
        if self.ragged:
            packed = packed.new_zeros(*lead, self.size * self.longest, d).index_copy_(-2, self.places, packed)
        return packed.view(*lead, self.size, self.longest, d)

    def unpad(self, padded: Tensor) -> Tensor:
        """[B, L, d] -> [tokens, d]."""
        flat = padded.flatten(-3, -2)
        return flat.index_select(-2, self.places) if self.ragged else flat

    def masked(self, scores: Tensor) -> Tensor:
        """Attention scores [B, H, queries, L] with padding at -inf."""
        return scores + self.mask[:, None, None, :] if self.ragged else scores
