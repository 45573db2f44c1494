"""BERT-like encoders by explicit layers: the lower ones frozen and run once for each text, the top ones trained.

Exact, not an approximation: the same function as the whole model with those layers frozen. Hidden states are packed,
and the last layer computes position 0 alone, since the head reads no other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.api import Context
from bench.data.encoders import Tokens, max_positions
from bench.learners.dropout import Drop, Dropout
from bench.learners.frozen import Frozen
from bench.learners.head import head_of
from bench.learners.layers import Layer, Weights, attention, feed_forward, first_attention
from bench.learners.linear import affine
from bench.learners.network import Inputs, Narrowed, Output, all_of_it
from bench.learners.packed import Batch, Packed, side_by_side
from bench.learners.pretrained import Initial, Texts, check_depth, load_classifier, precision
from bench.learners.relative import relative_bias
from bench.learners.train import spared_by_module
from bench.learners.words import Words

ARCHITECTURES = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "mpnet"})


def can_split(folder: Path) -> bool:
    """Whether the model in this folder has the architecture that this module knows."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return config.get("model_type") in ARCHITECTURES and not config.get("is_decoder", False)


class BertNetwork:
    """A `bench.learners.network.Network`; hidden states above the frozen layers are its third kind of input."""

    predict_tokens, at_once, trains_tables = 4096, True, False

    def __init__(
        self,
        folder: Path,
        n_classes: int,
        device: str,
        *,
        trainable_layers: int | None,
        dropout: float | None,
        max_length: int,
        identity: Mapping[str, Any],
    ) -> None:
        """trainable_layers: None trains all, but not the tables. identity: of the encoder, for the cache.

        Raises UserError when it has fewer layers than are to be trained.
        """
        self.device, self.n_classes = device, n_classes
        model, drawn = load_classifier(folder, n_classes, dropout)
        base, prefix = model.base_model, f"{model.base_model_prefix}."
        self.texts = Texts(folder, base, max_length)
        self.width, self.depth = int(model.config.hidden_size), len(base.encoder.layer)
        check_depth(trainable_layers or self.depth, self.depth)
        first = self.depth - (trainable_layers or self.depth)
        self.entries = {0: self.width, first: self.width}
        self.positions = max_positions(base) or max_length
        layers = [Layer.of(f"{prefix}encoder.layer.{i}.", module) for i, module in enumerate(base.encoder.layer)]
        self.layers, self.relative = layers[first:], relative_bias(f"{prefix}encoder.", base.encoder)
        self.attention: tuple[int, int] | None = (len(self.layers), self.layers[0].heads)
        tables = (base.embeddings, *([base.encoder.relative_attention_bias] if self.relative else []))
        for module in () if self.trains_tables else (*tables, *base.encoder.layer[:first]):
            module.requires_grad_(False)
        model.to(device)
        lower = {name: p for name, p in model.named_parameters() if not p.requires_grad}
        self.frozen = Frozen(base.embeddings, layers[:first], self.relative, lower, identity, self.texts.limit)
        self.initial = Initial(model, drawn)
        self.spared = frozenset(spared_by_module(model))
        self.head = head_of(model)
        self.pooler = f"{prefix}pooler.dense" if base.pooler is not None else None  # BERT's is pretrained

    def tokenize(self, texts: Mapping[str, Sequence[str]], fields: Sequence[str]) -> Tokens:
        """See Network."""
        return self.texts.encode(texts, fields)

    def prepare(self, inputs: Inputs) -> Packed:
        """Hidden states above the frozen layers. Raises ValueError for rows of tables, which are frozen here."""
        return inputs if isinstance(inputs, Packed) else self._packed(inputs, np.arange(len(inputs)))

    def shared(self, texts: Mapping[str, Sequence[str]], fields: Sequence[str], ctx: Context) -> Packed:
        """See Network; memory-mapped."""
        return self.frozen.shared(lambda: self.tokenize(texts, fields), [texts[name] for name in fields], ctx)

    def dropout(self, *seeds: int) -> Dropout:
        """See Network."""
        return Dropout(*(torch.Generator(self.device).manual_seed(seed) for seed in seeds))

    def batch(self, inputs: Inputs, rows: np.ndarray) -> Batch:
        """See Network; what is not prepared runs through the frozen layers here."""
        if rows.ndim == 1:
            return self._packed(inputs, rows).batch(self.device)
        runs = [self._packed(inputs, own) for own in rows]
        states = torch.from_numpy(side_by_side([run.states for run in runs])).to(self.device)
        return Batch(states, np.stack([run.sizes for run in runs]))

    def narrow(self, weights: Weights, inputs: Inputs) -> Narrowed:
        """All of it: the frozen part is no weight."""
        return all_of_it(weights, inputs)

    def _packed(self, inputs: Inputs, rows: np.ndarray) -> Packed:
        if isinstance(inputs, Words):
            raise ValueError("rows of tables are no input of a model whose tables are frozen")
        return inputs.rows(rows) if isinstance(inputs, Packed) else self.frozen.states(inputs, rows)

    def lowest(self, weights: Weights, batch: Batch, drop: Drop) -> Tensor:
        """What the lowest trained layer reads, [tokens, d]."""
        return batch.states

    def _bias(self, weights: Weights, batch: Batch) -> Tensor | None:
        if self.relative is None:
            return None
        name = self.relative.name
        return self.relative(weights[name] if name in weights else self.frozen.weights[name], batch)

    def encode(
        self, weights: Weights, batch: Batch, drop: Drop, seen: list[Tensor] | None = None, rows: int = 1
    ) -> tuple[Tensor, Tensor]:
        """See Network. seen: gets the attention scores of the trained layers, of the last one for `rows` queries."""
        drop = batch.dropout(drop)
        with precision(self.device):
            x, bias = self.lowest(weights, batch, drop), self._bias(weights, batch)
            for layer in self.layers[:-1]:
                x = feed_forward(layer, weights, attention(layer, weights, x, batch, drop, bias, seen), drop)
            last = self.layers[-1]
            if rows == 1:
                x = first_attention(last, weights, x, batch, drop, bias, seen)
            else:
                x = batch.firsts(attention(last, weights, x, batch, drop, bias, seen))
            x = feed_forward(last, weights, x, drop)
            if self.pooler is None:
                return x, x
            return x, torch.tanh(affine(x, weights[f"{self.pooler}.weight"], weights[f"{self.pooler}.bias"]))

    def logits(self, weights: Weights, batch: Batch, drop: Drop) -> Tensor:
        """See Network."""
        return self.forward(weights, batch, drop).logits

    def attended(self, weights: Weights, batch: Batch, rows: int, drop: Drop) -> tuple[Tensor, Tensor]:
        """Logits, and log attention [B, layers, heads, rows, L] of the `rows` first queries, before its own dropout.

        rows: 1 or L. Raises ValueError for texts of different lengths: where one ends, rows and keys mean nothing.
        """
        if batch.ragged or rows not in (1, batch.longest):
            raise ValueError(f"attention of {rows} rows is asked for in texts of up to {batch.longest} tokens")
        seen: list[Tensor] = []
        _, head_input = self.encode(weights, batch, drop, seen, rows)
        with precision(self.device):
            logits = self.head.logits(weights, head_input, drop, affine).float()
        return logits, torch.log_softmax(torch.stack([scores[..., :rows, :] for scores in seen], 1).float(), -1)

    def forward(self, weights: Weights, batch: Batch, drop: Drop) -> Output:
        """See Network."""
        hidden, head_input = self.encode(weights, batch, drop)
        with precision(self.device):
            return Output(hidden, head_input, self.head.logits(weights, head_input, drop, affine).float())
