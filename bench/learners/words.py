"""Texts as rows of embedding tables that are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.learners.packed import Layout, places_of, side_by_side


@dataclass(frozen=True)
class Words:
    """N texts as rows of the embedding tables, one after another; sizes: tokens of each, int64 [N].

    ids, positions, segments: int32 [sum of sizes]. values float32 [sum of sizes, d]: vectors in the place of words.
    padding: whether a token in a text is the one that pads: its rows get no gradient.
    """

    ids: np.ndarray
    positions: np.ndarray
    segments: np.ndarray
    padding: np.ndarray
    sizes: np.ndarray
    values: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.sizes)

    def lengths(self) -> np.ndarray:
        """Number of tokens of every text, int64 [N]."""
        return self.sizes

    def rows(self, rows: np.ndarray) -> Words:
        """The texts with these indices, in this order."""
        taken = places_of(self.sizes, rows)
        values = None if self.values is None else self.values[taken]
        parts = (self.ids[taken], self.positions[taken], self.segments[taken], self.padding[taken])
        return Words(*parts, self.sizes[rows], values)


class WordBatch(Layout):
    """Rows of the tables for the tokens of B texts, [tokens]; [runs, tokens] where runs read texts of their own."""

    def __init__(self, words: Words | Sequence[Words], device: str) -> None:
        runs = [words] if isinstance(words, Words) else list(words)
        super().__init__(runs[0].sizes if isinstance(words, Words) else np.stack([each.sizes for each in runs]), device)

        def tensor(parts: list[np.ndarray]) -> Tensor:
            found = parts[0] if isinstance(words, Words) else side_by_side(parts)
            return torch.from_numpy(found).to(device)

        self.ids = tensor([each.ids for each in runs])
        self.positions = tensor([each.positions for each in runs])
        self.segments = tensor([each.segments for each in runs])
        given = [each.values for each in runs if each.values is not None]
        self.values = tensor(given) if given else None
        # Nearly always there are none, and then no gradient has to be stopped.
        self.padding = tensor([each.padding for each in runs]) if any(each.padding.any() for each in runs) else None
