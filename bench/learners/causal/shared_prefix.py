"""Keys and values of a prompt, computed once for all batches of texts that go on from it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from bench.learners.causal.model import CausalModel


class SharedPrefix:
    """The first `length` tokens of a prompt as a cache of one row. ids: int [length], at least one."""

    def __init__(self, model: CausalModel, ids: np.ndarray) -> None:
        self.length = len(ids)
        _, self._cache = model.next_logits(torch.from_numpy(ids.astype(np.int64))[None].to(model.device), None)

    def cache(self, rows: int) -> Any:
        """What `CausalModel.next_logits` goes on from, for so many rows; it may be used up, the prefix stays."""
        found = copy.copy(self._cache)
        found.layers = [copy.copy(layer) for layer in self._cache.layers]  # each call of the model binds new tensors
        found.batch_repeat_interleave(rows)
        return found
