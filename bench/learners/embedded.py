"""Texts given as word embeddings instead of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.api import Embeddings
from bench.learners.packed import Packed


@dataclass(frozen=True)
class Embedded:
    """N texts as embeddings float32 [N, L, d]; mask [N, L]: 1 at their tokens, which come first, 0 after them.

    As word embeddings they stand for rows of the embedding table: the network adds positions and the first segment.
    The first vector is what a head reads as [CLS], whatever it holds. Raises ValueError for another mask.
    """

    values: np.ndarray
    mask: np.ndarray

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.shape[:2] != self.mask.shape:
            raise ValueError(f"embeddings {self.values.shape} and their mask {self.mask.shape} do not fit")
        first = np.arange(self.mask.shape[1]) < self.lengths()[:, None]
        if not (self.mask == first).all() or not self.lengths().all():
            raise ValueError("the mask of embeddings has to be ones, at least one in a row, and then zeros")

    def __len__(self) -> int:
        return len(self.mask)

    def lengths(self) -> np.ndarray:
        """Number of tokens of every text, int64 [N]."""
        found: np.ndarray = (self.mask != 0).sum(1)
        return found

    def batch(self, rows: Sequence[int] | np.ndarray, device: str = "cpu") -> dict[str, Tensor]:
        """The model inputs of some rows, right-padded to the longest of them."""
        rows = np.asarray(rows, dtype=np.int64)
        longest = int(self.lengths()[rows].max(initial=0))
        values = self.values[rows, :longest].astype(np.float32)
        mask = self.mask[rows, :longest].astype(np.int64)
        return {
            "inputs_embeds": torch.from_numpy(values).to(device),
            "attention_mask": torch.from_numpy(mask).to(device),
        }

    def packed(self) -> Packed:
        """The same as hidden states without padding."""
        return Packed(self.values[self.mask != 0].astype(np.float32), self.lengths())


def inputs_of(embeddings: Embeddings) -> Embedded | Packed:
    """What a network reads of a set at embedding level: word embeddings, or hidden states above frozen layers."""
    found = Embedded(embeddings.inputs_embeds, embeddings.attention_mask)
    return found if embeddings.layer == 0 else found.packed()
