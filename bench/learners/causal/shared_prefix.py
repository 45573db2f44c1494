"""Keys and values of a prompt, computed once for all batches of texts that go on from it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from bench.learners.causal.model import CausalModel


class SharedPrefix:
    """The first `length` tokens of a prompt as a cache of one row. ids: int [length], at least one.

    Only for models whose caches hold keys and values; others raise AttributeError.
    """

    def __init__(self, model: CausalModel, ids: np.ndarray) -> None:
        self.length = len(ids)
        _, self._cache = model.next_logits(torch.from_numpy(ids.astype(np.int64))[None].to(model.device), None)

    def cache(self, rows: int) -> Any:
        """What `CausalModel.next_logits` goes on from, for so many rows; it may be used up, the prefix stays."""
        found = copy.copy(self._cache)
        found.layers = [copy.copy(layer) for layer in self._cache.layers]  # each call of the model binds new tensors
        for layer in found.layers:
            layer.keys, layer.values = (part.expand(rows, *part.shape[1:]) for part in (layer.keys, layer.values))
        return found

    @property
    def nbytes(self) -> int:
        """Memory of one row."""
        return sum(int(part.nbytes) for layer in self._cache.layers for part in (layer.keys, layer.values))
