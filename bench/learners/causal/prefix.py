"""The start that many sequences share, run once: its keys and values serve every batch of continuations."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.learners.causal.model import CausalModel

PROBE = (3, 4, 5, 3, 4)  # ids of a test sequence; every vocabulary has them
LENT_BYTES = 128 << 20  # of keys and values that the rows of a batch hold of the prefix, each its own copy


class Prefix:
    """The prefix `ids`, int [P]; P = 0 is none. Sequences that go on from it are right-padded, where none looks.

    A model whose cache cannot serve several batches (`shares_prefixes`) reads the prefix with every sequence.
    """

    def __init__(self, model: CausalModel, ids: np.ndarray, shared: bool = True) -> None:
        self.model, self.ids = model, np.asarray(ids, dtype=np.int64)
        self._cache: Any = None
        if shared and len(self.ids):
            with torch.no_grad():
                start = torch.from_numpy(self.ids)[None].to(model.device)
                _, self._cache = model.hidden(start, None, use_cache=True)

    @property
    def rows(self) -> int | None:
        """The most sequences of a batch, by the memory of their copies of the prefix; None: any number."""
        if self._cache is None:
            return None
        size = sum(t.nbytes for layer in self._cache.layers for t in (layer.keys, layer.values))
        return max(1, LENT_BYTES // max(1, size))

    @torch.no_grad()
    def hidden(self, sequences: Sequence[np.ndarray]) -> list[Tensor]:
        """Last hidden states at the positions of each continuation (ids int [L]): [L, d] each."""
        lengths = [len(sequence) for sequence in sequences]
        before = 0 if self._cache is not None else len(self.ids)
        ids = np.zeros((len(lengths), before + max(lengths)), dtype=np.int64)
        ids[:, :before] = self.ids[:before]
        for row, sequence in zip(ids, sequences, strict=True):
            row[before : before + len(sequence)] = sequence
        cache = None if self._cache is None else _lent(self._cache, len(lengths))
        found, _ = self.model.hidden(torch.from_numpy(ids).to(self.model.device), cache, use_cache=cache is not None)
        return [row[before : before + length] for row, length in zip(found, lengths, strict=True)]


def _lent(cache: Any, rows: int) -> Any:
    """The cache of one sequence for several that go on from it. A pass puts new tensors into it: `cache` stays."""
    found = copy.copy(cache)
    found.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in found.layers:
        layer.keys, layer.values = (part.expand(rows, *part.shape[1:]) for part in (layer.keys, layer.values))
    return found


@torch.no_grad()
def shares_prefixes(model: CausalModel) -> bool:
    """Whether two batches that go on from one prefix are what the model gives for the whole sequences."""
    ids = np.array(PROBE)
    whole = Prefix(model, ids[:0]).hidden([ids])[0][3:]
    try:
        prefix = Prefix(model, ids[:3])
        if prefix.rows is None:  # it keeps something else than keys and values
            return False
        parts = [prefix.hidden([ids[3:], ids[3:4]])[0] for _ in range(2)]
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError):  # states that are no keys and values
        return False
    scale = whole.abs().max()
    close = 1e-4 if whole.dtype == torch.float32 and model.device == "cpu" else 0.05
    return all(bool(torch.isfinite(part).all() and (part - whole).abs().max() <= close * scale) for part in parts)
