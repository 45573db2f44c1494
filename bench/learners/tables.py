"""BERT-like encoders of which everything is trained, the embedding tables too, by explicit layers.

The same function as the whole model. Where `narrow` is asked, rows of the word table that no text of a set names are
left out of the training: their gradient is zero, so AdamW does nothing to them but the decay, which is one factor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.api import Context
from bench.data.encoders import Tokens
from bench.learners.bert import BertNetwork
from bench.learners.dropout import Drop
from bench.learners.embedded import Embedded
from bench.learners.layers import Weights, layer_norm
from bench.learners.network import Inputs, Narrowed, all_of_it
from bench.learners.words import WordBatch, Words


class TableNetwork(BertNetwork):
    """A `bench.learners.network.Network` that trains all layers and the tables; it reads texts and word embeddings."""

    trains_tables = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, trainable_layers=None, **options)
        embeddings = self.frozen.embeddings
        self.attention = None
        self.prefix = self.layers[0].prefix.partition("encoder.")[0] + "embeddings."
        self.table = f"{self.prefix}word_embeddings.weight"
        self.eps, self.rate = embeddings.LayerNorm.eps, embeddings.dropout.p
        self.pad = embeddings.word_embeddings.padding_idx
        self.pad_position = embeddings.position_embeddings.padding_idx  # RoBERTa counts from the one after it

    def prepare(self, inputs: Inputs) -> Words:  # type: ignore[override]
        """Rows of the tables. Raises ValueError for hidden states."""
        if isinstance(inputs, Words):
            return inputs
        if not isinstance(inputs, Tokens | Embedded):
            raise ValueError("hidden states are no input of a model whose tables are trained")
        sizes = np.asarray(inputs.lengths(), np.int64)
        n = int(sizes.sum())
        none = np.zeros(n, np.int32)
        if isinstance(inputs, Embedded):
            ids, segments, values = none, none, inputs.packed().states
            padding = np.zeros(n, bool)
        else:
            columns, values = inputs.columns, None
            ids = columns["input_ids"].flat.astype(np.int32)
            segments = columns["token_type_ids"].flat.astype(np.int32) if "token_type_ids" in columns else none
            padding = ids == self.pad
        starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
        positions = np.arange(n) - starts
        if self.pad_position is not None:
            counted = np.concatenate([[0], np.cumsum(~padding)])
            positions = np.where(padding, 0, counted[1:] - counted[starts]) + self.pad_position
        return Words(ids, positions.astype(np.int32), segments, padding, sizes, values)

    def shared(self, texts: Mapping[str, Sequence[str]], fields: Sequence[str], ctx: Context) -> Words:  # type: ignore[override]
        """Their tokens: nothing else could be kept."""
        return self.prepare(self.tokenize(texts, fields))

    def batch(self, inputs: Inputs, rows: np.ndarray) -> WordBatch:  # type: ignore[override]
        """See Network."""
        words = self.prepare(inputs)
        return WordBatch(words.rows(rows) if rows.ndim == 1 else [words.rows(own) for own in rows], self.device)

    def lowest(self, weights: Weights, batch: WordBatch, drop: Drop) -> Tensor:  # type: ignore[override]
        """What the lowest layer reads, [tokens, d]."""

        def rows(name: str, index: Tensor, padding: Tensor | None) -> Tensor:
            found = lookup(weights[f"{self.prefix}{name}_embeddings.weight"], index)
            return found if padding is None else torch.where(padding[..., None], found.detach(), found)

        x = rows("word", batch.ids, batch.padding) if batch.values is None else batch.values
        if f"{self.prefix}token_type_embeddings.weight" in weights:
            x = x + rows("token_type", batch.segments, None)
        x = x + rows("position", batch.positions, None if self.pad_position is None else batch.padding)
        scale, shift = (weights[f"{self.prefix}LayerNorm.{part}"] for part in ("weight", "bias"))
        return drop(layer_norm(x, scale, shift, self.eps), self.rate)

    def narrow(self, weights: Weights, inputs: Inputs) -> Narrowed:
        """See Network."""
        words = self.prepare(inputs)
        if words.values is not None:  # no step reaches the table, so it does not even decay
            return all_of_it(weights, words)
        table = weights[self.table].detach()
        used, ids = np.unique(words.ids, return_inverse=True)
        index = torch.from_numpy(used).to(table.device, torch.int64)
        part = {**weights, self.table: table.index_select(-2, index).requires_grad_()}

        def widen(decay: float) -> None:
            with torch.no_grad():
                table.mul_(decay).index_copy_(-2, index, part[self.table].detach())

        return Narrowed(part, replace(words, ids=ids.astype(np.int32)), widen)


def lookup(table: Tensor, rows: Tensor) -> Tensor:
    """Rows [n] of a table [V, d]: [n, d]; [n] or [runs, n] of those of stacked runs, [runs, V, d]: [runs, n, d]."""
    if table.ndim == 2:
        return functional.embedding(rows, table)
    runs, size, _ = table.shape
    return functional.embedding(rows + torch.arange(runs, device=rows.device)[:, None] * size, table.flatten(0, 1))
