"""Hidden states of sequences that share a start: it is run once, where the model can."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bench.learners.causal.model import CausalModel
from bench.learners.causal.shared_prefix import SharedPrefix

PROBE = (3, 4, 5, 3, 4)  # ids of a test sequence; every vocabulary has them
LENT_BYTES = 128 << 20  # of keys and values that the rows of a batch hold of the prefix, each its own copy


class Prefix:
    """The prefix `ids`, int [P]; P = 0 is none. Sequences that go on from it are right-padded, where none looks.

    shared: it is run once; False for a model that cannot (`shares_prefixes`), which reads it with every sequence.
    """

    @torch.no_grad()
    def __init__(self, model: CausalModel, ids: np.ndarray, shared: bool = True) -> None:
        self.model, self.ids = model, np.asarray(ids, dtype=np.int64)
        self._shared = SharedPrefix(model, self.ids) if shared and len(self.ids) else None

    @property
    def rows(self) -> int | None:
        """The most sequences of a batch, by the memory of their copies of the prefix; None: any number."""
        return None if self._shared is None else max(1, LENT_BYTES // self._shared.nbytes)

    @torch.no_grad()
    def hidden(self, sequences: Sequence[np.ndarray]) -> list[Tensor]:
        """Last hidden states at the positions of each continuation (ids int [L]): [L, d] each."""
        lengths = [len(sequence) for sequence in sequences]
        before = 0 if self._shared is not None else len(self.ids)
        ids = np.zeros((len(lengths), before + max(lengths)), dtype=np.int64)
        ids[:, :before] = self.ids[:before]
        for row, sequence in zip(ids, sequences, strict=True):
            row[before : before + len(sequence)] = sequence
        cache = None if self._shared is None else self._shared.cache(len(lengths))
        found = self.model.hidden(torch.from_numpy(ids).to(self.model.device), cache)
        return [row[before : before + length] for row, length in zip(found, lengths, strict=True)]


@torch.no_grad()
def shares_prefixes(model: CausalModel) -> bool:
    """Whether two batches that go on from one prefix are what the model gives for the whole sequences."""
    ids = np.array(PROBE)
    whole = Prefix(model, ids[:0]).hidden([ids])[0][3:]
    try:
        prefix = Prefix(model, ids[:3])
        parts = [prefix.hidden([ids[3:], ids[3:4]])[0] for _ in range(2)]
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError):  # states that are no keys and values
        return False
    scale = whole.abs().max()
    close = 1e-4 if whole.dtype == torch.float32 and model.device == "cpu" else 0.05
    return all(bool(torch.isfinite(part).all() and (part - whole).abs().max() <= close * scale) for part in parts)
