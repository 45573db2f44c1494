"""Fine-tuning the top layers of a BERT-like encoder whose lower part is frozen.

Exact, not an approximation: the same function as the whole model with those layers frozen.
- The frozen part has no dropout and never changes, so its output is computed once per text.
- Hidden states are packed, one text after another without padding; only attention sees a padded view.
- The head reads position 0, so the last layer computes that position alone. Its keys and values are never
  formed either: q.(W_k x) = (W_k^T q).x and sum_j a_j (W_v x_j) = W_v (sum_j a_j x_j). The key's bias adds the
  same number to all scores of a query, which softmax cancels.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.api import Context, DistilledSet, Queries
from bench.data.batching import longest_first
from bench.data.encoders import Tokens
from bench.learners.linear import linear
from bench.learners.pretrained import Reset, Texts, initializer_range, load_classifier, precision
from bench.learners.recipe import Recipe, train
from bench.learners.whole import check_depth

ARCHITECTURES = frozenset({"bert", "roberta", "xlm-roberta", "camembert"})
LOWER_TOKENS = 2048  # padded tokens of a batch in the frozen part
PREDICT_TOKENS = 4096
DIRECT_ROWS = 1024  # larger sets go through the cache, as the queries do: full data are too much for memory

Progress = Callable[[int, int, str], None]
Drop = Callable[[Tensor, float], Tensor]  # (x, rate) -> x after dropout


def can_split(folder: Path) -> bool:
    """Whether the model in this folder has the architecture that this module knows."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return config.get("model_type") in ARCHITECTURES and not config.get("is_decoder", False)


@dataclass(frozen=True)
class Packed:
    """Hidden states of N texts one after another: float32 [sum of lengths, d], and the lengths, int64 [N]."""

    states: np.ndarray
    lengths: np.ndarray

    def rows(self, rows: np.ndarray) -> Packed:
        """The texts with these indices, in this order."""
        starts = np.concatenate([[0], np.cumsum(self.lengths)])
        parts = [self.states[starts[row] : starts[row + 1]] for row in rows]
        return Packed(np.concatenate(parts), self.lengths[rows])


class Batch:
    """Packed states of B texts on a device, and where each token lies in the padded view [B, L]."""

    def __init__(self, packed: Packed, device: str) -> None:
        self.states = torch.from_numpy(packed.states).to(device)
        lengths = packed.lengths
        self.size, self.longest = len(lengths), int(lengths.max())
        starts = np.cumsum(lengths) - lengths
        self.first = torch.from_numpy(starts).to(device)
        self.ragged = bool((lengths != self.longest).any())
        if self.ragged:
            places = np.arange(int(lengths.sum())) - np.repeat(starts - np.arange(self.size) * self.longest, lengths)
            self.places = torch.from_numpy(places).to(device)
            mask = np.where(np.arange(self.longest) < lengths[:, None], 0.0, -np.inf).astype(np.float32)
            self.mask = torch.from_numpy(mask).to(device)

    def pad(self, packed: Tensor) -> Tensor:
        """[tokens, d] -> [B, L, d], zeros at padding."""
        if self.ragged:
            packed = packed.new_zeros(self.size * self.longest, packed.shape[1]).index_copy(0, self.places, packed)
        return packed.view(self.size, self.longest, -1)

    def unpad(self, padded: Tensor) -> Tensor:
        """[B, L, d] -> [tokens, d]."""
        flat = padded.reshape(self.size * self.longest, -1)
        return flat.index_select(0, self.places) if self.ragged else flat

    def masked(self, scores: Tensor) -> Tensor:
        """Attention scores [B, H, queries, L] with padding at -inf."""
        return scores + self.mask[:, None, None, :] if self.ragged else scores


class Dropout:
    """Dropout whose masks come from a generator of its own; does nothing without one.

    An element takes 16 random bits, a third of the time of drawing a float: rates are multiples of 2^-16.
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self.generator = generator

    def __call__(self, x: Tensor, rate: float) -> Tensor:
        if self.generator is None or rate == 0.0:
            return x
        n, kept = x.numel(), max(1, round((1.0 - rate) * 65536))  # of 65536 equally likely values
        words = torch.empty(-(-n // 4), dtype=torch.int64, device=x.device)
        bits = words.random_(-(2**63), None, generator=self.generator).view(torch.int16)[:n].view(x.shape)
        return x * (bits < kept - 32768).to(x.dtype).mul_(65536 / kept)


class Top(nn.Module):
    """The trained layers of a BERT-like classifier and its head, reading packed states of the frozen part."""

    def __init__(self, classifier: Any, trainable_layers: int) -> None:
        super().__init__()
        base, head = classifier.base_model, classifier.classifier
        check_depth(trainable_layers, len(base.encoder.layer))
        self.layers = base.encoder.layer[len(base.encoder.layer) - trainable_layers :]
        self.pooled = base.pooler is not None
        if self.pooled:  # BERT: the pooler is pretrained
            self.dense, self.out = base.pooler.dense, head
            self.rates = (0.0, classifier.dropout.p)
        else:  # RoBERTa: its head has the dense layer, untrained and behind a dropout of its own
            self.dense, self.out = head.dense, head.out_proj
            self.rates = (head.dropout.p, head.dropout.p)

    def forward(self, batch: Batch, drop: Drop) -> Tensor:
        """Logits [B, C]."""
        x = torch.tanh(linear(drop(self.first(batch, drop), self.rates[0]), self.dense))
        return linear(drop(x, self.rates[1]), self.out)

    def first(self, batch: Batch, drop: Drop) -> Tensor:
        """Position 0 of the last layer, [B, d]."""
        x = batch.states
        for layer in self.layers[:-1]:
            x = feed_forward(layer, attention(layer, x, batch, drop), drop)
        return feed_forward(self.layers[-1], first_attention(self.layers[-1], x, batch, drop), drop)

    def head_input(self, batch: Batch, drop: Drop) -> Tensor:
        """What the untrained head reads, [B, d]: the pooler's output (BERT), or position 0 of the last layer."""
        x = self.first(batch, drop)
        return torch.tanh(linear(x, self.dense)) if self.pooled else x


class Lower:
    """The frozen embeddings and layers of a BERT-like classifier."""

    def __init__(self, classifier: Any, trainable_layers: int, device: str) -> None:
        base = classifier.base_model
        self.device, self.width = device, int(classifier.config.hidden_size)
        self.embeddings = base.embeddings.to(device).eval()
        self.layers = base.encoder.layer[: len(base.encoder.layer) - trainable_layers].to(device)

    @torch.no_grad()
    def states(self, tokens: Tokens, rows: np.ndarray) -> np.ndarray:
        """Packed output for some texts, float32 [their tokens, d]."""
        inputs = tokens.batch(rows, self.device)
        present = inputs.pop("attention_mask").flatten().nonzero().squeeze(1).cpu().numpy()
        embedded = self.embeddings(**inputs).flatten(0, 1).cpu().numpy()
        batch = Batch(Packed(embedded[present], tokens.lengths()[rows]), self.device)
        x = batch.states
        for layer in self.layers:
            x = feed_forward(layer, attention(layer, x, batch, Dropout()), Dropout())
        return x.cpu().numpy()


def attention(layer: Any, x: Tensor, batch: Batch, drop: Drop) -> Tensor:
    """Self-attention of all tokens with its residual and LayerNorm: packed [tokens, d] -> the same shape."""
    own, out = layer.attention.self, layer.attention.output
    heads = (batch.size, batch.longest, own.num_attention_heads, own.attention_head_size)
    q, k, v = (batch.pad(linear(x, part)).view(heads).transpose(1, 2) for part in (own.query, own.key, own.value))
    scores = batch.masked(q @ k.transpose(-1, -2) / math.sqrt(own.attention_head_size))
    context = drop(torch.softmax(scores, -1), own.dropout.p) @ v
    merged = batch.unpad(context.transpose(1, 2).flatten(2))
    normed: Tensor = out.LayerNorm(drop(linear(merged, out.dense), out.dropout.p) + x)
    return normed


def first_attention(layer: Any, x: Tensor, batch: Batch, drop: Drop) -> Tensor:
    """The same for position 0 of each text alone: packed [tokens, d] -> [B, d]."""
    own, out = layer.attention.self, layer.attention.output
    h, e = own.num_attention_heads, own.attention_head_size
    first, padded = x.index_select(0, batch.first), batch.pad(x)
    q = linear(first, own.query).view(-1, h, e)
    back = torch.einsum("bhe,hed->bhd", q, own.key.weight.view(h, e, -1))
    scores = batch.masked((back @ padded.transpose(1, 2) / math.sqrt(e))[:, :, None, :])
    weights = drop(torch.softmax(scores, -1), own.dropout.p)[:, :, 0, :]
    context = torch.einsum("bhd,hed->bhe", weights @ padded, own.value.weight.view(h, e, -1))
    context = context + own.value.bias.view(h, e) * weights.sum(-1, keepdim=True)
    normed: Tensor = out.LayerNorm(drop(linear(context.flatten(1), out.dense), out.dropout.p) + first)
    return normed


def feed_forward(layer: Any, x: Tensor, drop: Drop) -> Tensor:
    """The position-wise part of a layer with its residual and LayerNorm, any [n, d]."""
    inner = layer.intermediate.intermediate_act_fn(linear(x, layer.intermediate.dense))
    normed: Tensor = layer.output.LayerNorm(drop(linear(inner, layer.output.dense), layer.output.dropout.p) + x)
    return normed


class SplitModel:
    """The frozen part, the trained part, and the pretrained weights of the latter. Reset, train, predict."""

    def __init__(
        self,
        folder: Path,
        n_classes: int,
        device: str,
        *,
        trainable_layers: int,
        dropout: float | None,
        max_length: int,
        identity: Mapping[str, Any],
    ) -> None:
        self.device, self.n_classes, self.identity = device, n_classes, identity
        classifier, head = load_classifier(folder, n_classes, dropout)
        self.texts = Texts(folder, classifier.base_model, max_length)
        named = {id(p): name for name, p in classifier.named_parameters()}
        self.top = Top(classifier, trainable_layers).to(device)
        self.lower = Lower(classifier, trainable_layers, device)
        own_head = frozenset(name for name, p in self.top.named_parameters() if named[id(p)] in head)
        self.reset = Reset(self.top, own_head, initializer_range(classifier.config))
        self._recent: tuple[str, Packed] | None = None

    def fit(self, distilled: DistilledSet, queries: Queries, targets: Tensor, recipe: Recipe, ctx: Context) -> None:
        """Reset, then train on the set; every random draw comes from the run's seed."""
        assert distilled.texts is not None
        self.reset(torch.Generator().manual_seed(ctx.derive("head")))
        packed = self.frozen_states(distilled.texts, queries.info.fields, ctx, cached=len(targets) > DIRECT_ROWS)
        drop = Dropout(torch.Generator(self.device).manual_seed(ctx.derive("dropout")))
        whole = Batch(packed, self.device) if len(targets) <= recipe.batch else None

        def logits(rows: np.ndarray) -> Tensor:
            batch = whole or Batch(packed.rows(rows), self.device)
            with precision(self.device):
                found: Tensor = self.top(batch, drop)
            return found

        train(
            self.top,
            logits,
            targets.to(self.device),
            recipe,
            ctx.rng("order"),
            lambda done, total: ctx.progress(done, total, "training"),
        )

    @torch.no_grad()
    def scores(self, queries: Queries, ctx: Context) -> np.ndarray:
        """Logits of the queries, float32 [len(queries), C]; their frozen states are shared through the cache."""
        packed = self.frozen_states(queries.texts, queries.info.fields, ctx, cached=True)
        found = np.empty((len(queries), self.n_classes), dtype=np.float32)
        for rows in longest_first(packed.lengths, PREDICT_TOKENS):
            with precision(self.device):
                found[rows] = self.top(Batch(packed.rows(rows), self.device), Dropout()).float().cpu().numpy()
        return found

    def frozen_states(
        self, texts: Mapping[str, Sequence[str]], fields: Sequence[str], ctx: Context, cached: bool
    ) -> Packed:
        """Output of the frozen part for N texts or pairs; `cached`: memory-mapped from a shared artifact."""
        key = hashlib.sha256(json.dumps([list(texts[name]) for name in fields]).encode()).hexdigest()
        if not cached:
            if self._recent is None or self._recent[0] != key:  # the runs of one set follow each other
                self._recent = key, self._compute(texts, fields, None, ctx)
            return self._recent[1]
        identity = {
            "encoder": self.identity,
            "texts": key,
            "frozen_layers": len(self.lower.layers),
            "max_length": self.texts.limit,
        }
        save = partial(self._save, texts, fields, ctx=ctx)
        folder = ctx.artifact("frozen-states", identity, save, code=__name__)
        states = np.load(folder / "states.npy", mmap_mode="r", allow_pickle=False)
        return Packed(states, np.load(folder / "lengths.npy", allow_pickle=False))

    def _save(self, texts: Mapping[str, Sequence[str]], fields: Sequence[str], folder: Path, ctx: Context) -> None:
        packed = self._compute(texts, fields, folder / "states.npy", ctx)
        packed.states.flush()  # type: ignore[attr-defined]
        np.save(folder / "lengths.npy", packed.lengths, allow_pickle=False)

    def _compute(
        self, texts: Mapping[str, Sequence[str]], fields: Sequence[str], file: Path | None, ctx: Context
    ) -> Packed:
        tokens = self.texts.encode(texts, fields)
        return self.lower_states(tokens, np.arange(len(tokens)), ctx.progress, file)

    def lower_states(
        self, tokens: Tokens, rows: np.ndarray, progress: Progress = lambda *_: None, file: Path | None = None
    ) -> Packed:
        """Output of the frozen part for some tokenised texts; it goes to a new array, in memory or in `file`."""
        lengths = tokens.lengths()[rows]
        starts = np.cumsum(lengths) - lengths
        shape = (int(lengths.sum()), self.lower.width)
        states: np.ndarray = (
            np.empty(shape, np.float32)
            if file is None
            else np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
        )
        done = 0
        for part in longest_first(lengths, LOWER_TOKENS):
            ends = np.cumsum(lengths[part])
            for place, own in zip(part, np.split(self.lower.states(tokens, rows[part]), ends[:-1]), strict=True):
                states[starts[place] : starts[place] + lengths[place]] = own
            done += len(part)
            progress(done, len(rows), "frozen layers")
        return Packed(states, lengths)
