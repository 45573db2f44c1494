"""The frozen part of a BERT-like encoder: run once for each text, kept in the cache where many jobs read the texts.

It has no dropout and never changes, so what it gives for a text is exact for all steps of all runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.api import Context
from bench.data.batching import longest_first
from bench.data.encoders import Tokens
from bench.learners.dropout import Dropout
from bench.learners.embedded import Embedded
from bench.learners.layers import Layer, attention, feed_forward
from bench.learners.packed import Batch, Packed
from bench.learners.relative import RelativeBias

BATCH_TOKENS = 2048  # padded tokens of a batch

Progress = Callable[[int, int, str], None]


class Frozen:
    """The embeddings and the lowest layers.

    embeddings: the transformers module. identity: of the encoder, for the cache; limit: tokens of the longest text.
    """

    def __init__(
        self,
        embeddings: Any,
        layers: Sequence[Layer],
        relative: RelativeBias | None,
        weights: Mapping[str, Tensor],
        identity: Mapping[str, Any],
        limit: int,
    ) -> None:
        self.embeddings, self.layers, self.relative, self.weights = embeddings.eval(), layers, relative, weights
        self.identity, self.limit = identity, limit
        table = embeddings.word_embeddings.weight
        self.device, self.width = str(table.device), int(table.shape[1])

    def states(
        self,
        inputs: Tokens | Embedded,
        rows: np.ndarray,
        progress: Progress = lambda *_: None,
        file: Path | None = None,
    ) -> Packed:
        """What it gives for some texts; it goes to a new array, in memory or in `file`."""
        sizes = inputs.lengths()[rows]
        starts = np.cumsum(sizes) - sizes
        shape = (int(sizes.sum()), self.width)
        states: np.ndarray = (
            np.empty(shape, np.float32)
            if file is None
            else np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
        )
        done = 0
        for part in longest_first(sizes, BATCH_TOKENS):
            ends = np.cumsum(sizes[part])
            for place, own in zip(part, np.split(self._run(inputs, rows[part]), ends[:-1]), strict=True):
                states[starts[place] : starts[place] + sizes[place]] = own
            done += len(part)
            progress(done, len(rows), "frozen layers")
        return Packed(states, sizes)

    @torch.no_grad()
    def _run(self, inputs: Tokens | Embedded, rows: np.ndarray) -> np.ndarray:
        """Packed output for some texts, float32 [their tokens, d]."""
        padded = inputs.batch(rows, self.device)
        present = padded.pop("attention_mask").flatten().nonzero().squeeze(1).cpu().numpy()
        embedded = self.embeddings(**padded).flatten(0, 1).cpu().numpy()
        sizes = inputs.lengths()[rows]
        batch = Packed(embedded[present], sizes).batch(self.device)
        found: np.ndarray = self.layered(batch).cpu().numpy()
        return found

    def layered(self, batch: Batch) -> Tensor:
        """The frozen layers on the embeddings' output, packed [tokens, d] -> the same; differentiable in the states."""
        x, drop = batch.states, Dropout()
        if not self.layers:
            return x
        bias = None if self.relative is None else self.relative(self.weights[self.relative.name], batch)
        for layer in self.layers:
            x = feed_forward(layer, self.weights, attention(layer, self.weights, x, batch, drop, bias), drop)
        return x

    def shared(self, tokenize: Callable[[], Tokens], texts: Sequence[Sequence[str]], ctx: Context) -> Packed:
        """What it gives for the texts of all fields, memory-mapped from an artifact that jobs share."""
        identity = {
            "encoder": self.identity,
            "texts": hashlib.sha256(json.dumps([list(column) for column in texts]).encode()).hexdigest(),
            "frozen_layers": len(self.layers),
            "max_length": self.limit,
        }
        folder = ctx.artifact("frozen-states", identity, partial(self._save, tokenize, ctx), code=__name__)
        states = np.load(folder / "states.npy", mmap_mode="r", allow_pickle=False)
        return Packed(states, np.load(folder / "lengths.npy", allow_pickle=False))

    def _save(self, tokenize: Callable[[], Tokens], ctx: Context, folder: Path) -> None:
        tokens = tokenize()
        packed = self.states(tokens, np.arange(len(tokens)), ctx.progress, folder / "states.npy")
        packed.states.flush()  # type: ignore[attr-defined]
        np.save(folder / "lengths.npy", packed.sizes, allow_pickle=False)
