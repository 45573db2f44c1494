"""A causal language model as it is trained, scored and sampled from: token sequences in, losses or logits out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.data.batching import shortest_first
from bench.learners.causal import gpt2
from bench.learners.causal.top import Top
from bench.learners.linear import speed_up
from bench.learners.pretrained import precision

LOWER_TOKENS = 4096  # padded tokens of a batch in the frozen part

Adjust = Callable[[Tensor, Tensor], Tensor]  # last hidden states [n, d] and the text of each, int64 [n] -> [n, d]
Boundary = Callable[[Tensor], Tensor]  # ids [B, L] -> what is added to the first trained layer's input, [B, 1 or L, d]


class CausalModel:
    """All of a model trains, or its top layers (see `Top`).

    known: tokens that the model came with, those above it being new; used with `trainable_layers` alone.
    """

    def __init__(self, model: Any, device: str, trainable_layers: int | None = None, known: int = 0) -> None:
        self.device, self.trainable_layers = device, trainable_layers
        self.context = int(model.config.max_position_embeddings)  # most positions
        self.top = None if trainable_layers is None else Top(model, trainable_layers, known).to(device)
        self.model = model.to(device)
        if torch.device(device).type == "cpu":
            speed_up(self.model)
        self.packed = self.top is None and gpt2.can_pack(self.model)
        self.eval_mode()

    def trained(self) -> list[tuple[str, nn.Parameter]]:
        """What trains, by name, in a stable order."""
        found = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        return found + list(self.top.named_parameters() if self.top is not None else ())

    def train_mode(self) -> None:
        """Dropout on, except in what is frozen."""
        if self.top is None:
            self.model.train()
        else:
            self.top.train_mode(self.model)

    def eval_mode(self) -> None:
        """Dropout off."""
        self.model.eval()

    def token_losses(
        self,
        sequences: Sequence[np.ndarray],
        adjust: Adjust | None = None,
        boundary: Boundary | None = None,
        states: Sequence[np.ndarray] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """-log p of every token but the first of each sequence: float32 [n], and whose it is, int64 [n].

        adjust, boundary: what steers the model, see `Adjust` and `Boundary`; states: of these sequences, from
        `lower_states`. Padding is on the right, where a causal model never looks: it needs no mask.
        """
        lengths = np.array([len(sequence) for sequence in sequences])
        if lengths.max() > self.context:
            raise ValueError(f"a sequence has {lengths.max()} tokens, more than the generator's {self.context}")
        ids, real = self._padded([sequence[:-1] for sequence in sequences])
        rows = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths - 1)).to(self.device)
        targets = torch.from_numpy(np.concatenate([sequence[1:] for sequence in sequences]).astype(np.int64))
        if self.packed and boundary is None:
            hidden = gpt2.hidden(self.model, ids, real)
            hidden = hidden if adjust is None else adjust(hidden, rows)
            return gpt2.nll(hidden, self.model.get_output_embeddings().weight, targets), rows
        given = None if states is None else self._padded_states(states, real)
        with precision(self.device):
            # The head on real positions only: it is the dearest layer.
            hidden = self._run(ids, boundary, given, use_cache=False).last_hidden_state[real]
            logits = self._logits(hidden if adjust is None else adjust(hidden, rows))
        return functional.cross_entropy(logits.float(), targets.to(self.device), reduction="none"), rows

    def next_logits(
        self, ids: Tensor, cache: Any, adjust: Adjust | None = None, boundary: Boundary | None = None
    ) -> tuple[Tensor, Any]:
        """The next tokens ids [B, L] of B rows: logits float32 [B, V] of the last, cache.

        cache: None at first, then what the last call gave.
        """
        with precision(self.device):
            found = self._run(ids, boundary, None, past_key_values=cache, use_cache=True)
            hidden = found.last_hidden_state[:, -1]
            if adjust is not None:
                hidden = adjust(hidden, torch.arange(len(hidden), device=hidden.device))
            return self._logits(hidden).float(), found.past_key_values

    def hidden(self, ids: Tensor, cache: Any = None) -> Tensor:
        """Last hidden states of ids [B, L] after what the cache holds (None: nothing), which is used up: [B, L, d]."""
        known = {} if cache is None else {"past_key_values": cache}
        with precision(self.device):
            found: Tensor = self.model.base_model(input_ids=ids, use_cache=bool(known), **known).last_hidden_state
        return found

    def logits_of(self, hidden: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Logits float32 [n, k] of k tokens (int64 [k]; None: of all) after last hidden states [n, d]."""
        head = self.model.get_output_embeddings()
        with precision(self.device):
            if tokens is None:
                return self._logits(hidden).float()
            bias = None if head.bias is None else head.bias[tokens]
            return functional.linear(hidden, head.weight[tokens], bias).float()

    def keep(self, cache: Any, rows: Tensor) -> Any:
        """The cache with only these rows, int64 [n]; the one that is given is changed."""
        cache.batch_select_indices(rows)
        return cache

    def lower_states(self, sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What the frozen part gives for each sequence but its last token: float32 [len - 1, d] each.

        Only for a model with `trainable_layers`.
        """
        assert self.top is not None
        found: list[np.ndarray] = [np.empty(0)] * len(sequences)
        for rows in pieces(sequences, LOWER_TOKENS):
            ids, _ = self._padded([sequences[row][:-1] for row in rows])
            with precision(self.device):
                states = self.top.lower(self.model, ids).float().cpu().numpy()
            for place, row in enumerate(rows):
                found[row] = states[place, : len(sequences[row]) - 1].copy()
        return found

    def _run(self, ids: Tensor, boundary: Boundary | None, states: Tensor | None, **options: Any) -> Any:
        if self.top is None:
            return self.model.base_model(input_ids=ids, **options)
        with self.top.entering(None if boundary is None else boundary(ids), states):
            return self.model.base_model(input_ids=ids, **options)

    def _logits(self, hidden: Tensor) -> Tensor:
        if self.top is not None:
            return self.top.logits(self.model, hidden)
        found: Tensor = self.model.get_output_embeddings()(hidden)
        return found

    def _padded(self, sequences: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """ids int64 [B, L] with zeros at padding, and which positions are real, bool [B, L]."""
        lengths = np.array([len(sequence) for sequence in sequences])
        real = np.arange(lengths.max()) < lengths[:, None]
        ids = np.zeros(real.shape, dtype=np.int64)
        ids[real] = np.concatenate(sequences)
        return torch.from_numpy(ids).to(self.device), torch.from_numpy(real).to(self.device)

    def _padded_states(self, states: Sequence[np.ndarray], real: Tensor) -> Tensor:
        packed = torch.from_numpy(np.concatenate(states)).to(self.device)
        padded = packed.new_zeros((*real.shape, packed.shape[1]))
        padded[real] = packed
        return padded


def pieces(sequences: Sequence[np.ndarray], tokens: int) -> list[np.ndarray]:
    """Row indices of batches of like length with at most `tokens` padded tokens (or one row), the shortest first."""
    return shortest_first(np.array([len(sequence) for sequence in sequences]), tokens)
