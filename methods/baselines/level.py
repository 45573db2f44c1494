"""The train rows at embedding level: the first positions of their hidden states, or of their word embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bench.api import Context, TrainData, UserError
from bench.data.encoders import shared_encoder, tokenize
from bench.learners.bert import BertNetwork
from bench.learners.embedded import Embedded
from bench.learners.network import Inputs, Network
from methods.baselines.params import EmbeddedParams

CHUNK = 4096  # rows in memory at a time


@dataclass(frozen=True)
class Sequences:
    """n texts as vectors: values float32 [n, L, d], zeros where mask bool [n, L] is False; tokens come first."""

    values: np.ndarray
    mask: np.ndarray

    def __len__(self) -> int:
        return len(self.mask)

    @classmethod
    def joined(cls, parts: list[Sequences]) -> Sequences:
        """All texts of parts with the same L and d, without positions that none of them has."""
        mask = np.concatenate([part.mask for part in parts])
        longest = int(mask.sum(1).max())
        return cls(np.concatenate([part.values for part in parts])[:, :longest], mask[:, :longest])

    def vectors(self) -> np.ndarray:
        """Mean over the tokens of each text, float32 [n, d]."""
        found: np.ndarray = self.values.sum(1, dtype=np.float64) / self.mask.sum(1)[:, None]
        return found.astype(np.float32)

    def inputs(self, layer: int) -> Inputs:
        """What a network reads of them: word embeddings, or the states above its `layer` frozen layers."""
        embedded = Embedded(self.values, self.mask.astype(np.int64))
        return embedded.packed() if layer else embedded


@dataclass(frozen=True)
class Level:
    """The first `positions` vectors of N texts, read from the cache when they are asked for.

    layer: of the encoder whose input they are, 0 for word embeddings; sizes: tokens of each text, int64 [N]; read:
    positions in the row of all tokens of all texts, int64 [n] -> float32 [n, d].
    """

    layer: int
    positions: int
    sizes: np.ndarray
    read: Callable[[np.ndarray], np.ndarray]

    def rows(self, rows: np.ndarray) -> Sequences:
        """The texts with these indices, in this order, all with L = min(positions, longest of all N)."""
        starts = np.cumsum(self.sizes) - self.sizes
        places = np.arange(min(self.positions, int(self.sizes.max())))
        mask = np.less(places, self.sizes[rows][:, None])
        found = self.read((starts[rows][:, None] + places)[mask])
        values = np.zeros((*mask.shape, found.shape[1]), np.float32)
        values[mask] = found
        if not np.isfinite(values).all():
            raise UserError("the encoder gives NaN or infinite states; use another encoder")
        return Sequences(values, mask)

    def chunks(self, rows: np.ndarray) -> Iterator[Sequences]:
        """`rows` in pieces that fit into memory."""
        return (self.rows(rows[start : start + CHUNK]) for start in range(0, len(rows), CHUNK))

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Mean over the tokens of each text, float32 [n, d]."""
        return np.concatenate([chunk.vectors() for chunk in self.chunks(rows)])

    def mean(self, rows: np.ndarray) -> Sequences:
        """One text: at each position the mean over those of `rows` that have it; as long as the longest of them."""
        sums = [(chunk.values.sum(0, dtype=np.float64), chunk.mask.sum(0)) for chunk in self.chunks(rows)]
        total, count = np.sum([one for one, _ in sums], axis=0), np.sum([one for _, one in sums], axis=0)
        mean = (total / np.maximum(count, 1)[:, None]).astype(np.float32)
        return Sequences(mean[None], np.greater(count, 0)[None])


def train_level(params: EmbeddedParams, network: Network, data: TrainData, ctx: Context) -> Level:
    """The train rows at the level that is asked for. Raises UserError where the encoder has no such states.

    With space=states but no frozen layer, what the lowest trained layer reads are the word embeddings.
    """
    fields, texts = data.info.fields, data.train.texts
    if params.space == "states" and params.trainable_layers is not None:
        if not isinstance(network, BertNetwork):
            raise UserError(
                f"space=states: the layers of '{params.encoder}' are not known one by one; use space=words, "
                "or a BERT-like encoder"
            )
        if network.frozen.layers:
            packed = network.shared(texts, fields, ctx)
            layer = len(network.frozen.layers)
            return Level(layer, params.positions, packed.sizes, lambda places: np.asarray(packed.states[places]))
    encoder = shared_encoder(ctx.asset(params.encoder), ctx.device)
    limit = min(params.positions, params.max_length, encoder.max_length or params.max_length)
    table = encoder.model.get_input_embeddings().weight.detach().cpu().numpy()
    tokens = tokenize(encoder.tokenizer, texts, fields, limit)
    ids = tokens.columns["input_ids"].flat
    return Level(0, params.positions, tokens.lengths(), lambda places: table[ids[places]])
