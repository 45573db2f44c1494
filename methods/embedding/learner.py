"""The learner of an embedding-level training: its network, real rows as it reads them, and what sets start from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.api import Context, Split, TrainData, UserError
from bench.learners.bert import ARCHITECTURES, BertNetwork, can_split
from bench.learners.packed import Batch, Packed
from bench.learners.seeds import derive
from methods.common import class_features, class_pools
from methods.embedding.params import UnrolledParams
from methods.selection import kmeans_medoids


class Learner:
    """A pretrained encoder with a new head. Its top layers are trained; what lies below is common to all learners."""

    def __init__(self, data: TrainData, ctx: Context, params: UnrolledParams, seed: int = 0) -> None:
        """Load `params.encoder`; seed: of a fixed head.

        Raises UserError when it cannot be unrolled or has too few positions, or the set too few for the task's fields.
        """
        if params.positions < len(data.info.fields):
            raise UserError(f"positions={params.positions}: a pair of texts needs 2 at least")
        folder = ctx.asset(params.encoder)
        if not can_split(folder):
            known = ", ".join(sorted(ARCHITECTURES))
            raise UserError(
                f"encoder: gradients through {params.encoder} are not known here; choose one of type {known}"
            )
        self.network = BertNetwork(
            folder,
            data.info.n_classes,
            ctx.device,
            trainable_layers=params.trainable_layers,
            dropout=0.0,
            max_length=params.max_length,
            identity=ctx.asset_identity(params.encoder),
        )
        self.device, self.fields = ctx.device, data.info.fields
        self.layer = 0 if params.space == "words" else len(self.network.frozen.layers)
        if params.positions > self.network.positions:
            raise UserError(
                f"positions={params.positions}: {params.encoder} has {self.network.positions}; ask for no more"
            )
        self.scratch, self.seed = params.scratch, derive(seed, "fixed head") if params.init == "fixed" else None

    def start(self, seed: int) -> dict[str, Tensor]:
        """The weights of a new learner; the same for all seeds where the method fixes them."""
        generator = torch.Generator().manual_seed(seed if self.seed is None else self.seed)
        return self.network.initial(generator, scratch=self.scratch)

    def states(self, vectors: Tensor) -> Tensor:
        """What the trained layers read of a set's vectors [N, L, d]: packed [N * L, d], differentiable."""
        if self.layer or not len(vectors):
            return vectors.flatten(0, 1)
        embedded = self.network.frozen.embeddings(inputs_embeds=vectors).flatten(0, 1)
        return self.network.frozen.layered(self.batch(embedded, len(vectors)))

    def packed(self, split: Split, rows: np.ndarray) -> Packed:
        """Hidden states of some rows of a split, in this order: the frozen layers run here and now."""
        texts = {name: [split.texts[name][row] for row in rows] for name in self.fields}
        return self.network.prepare(self.network.tokenize(texts, self.fields))

    def batch(self, states: Tensor, n: int) -> Batch:
        """Packed states of n examples of one length as the network reads them."""
        return Batch(states, np.full(n, len(states) // n))


def first_vectors(
    learner: Learner, data: TrainData, dpc: int, ctx: Context, params: UnrolledParams, seed: int
) -> np.ndarray:
    """Where the vectors of a set start: float32 [C * dpc, L, d], class by class.

    A row that is shorter than L has its last vector repeated.
    """
    n, width = dpc * data.info.n_classes, learner.network.width
    rng = np.random.default_rng(derive(seed, "start"))
    if params.start == "noise":
        return rng.standard_normal((n, params.positions, width), dtype=np.float32)
    rows = []
    for pool in class_pools(data, dpc):
        if params.start == "rows":
            rows.append(rng.choice(pool.rows, dpc, replace=False))
        else:
            features = ctx.features("train", params.encoder, "mean", params.max_length)
            picked = kmeans_medoids(class_features(features, pool, True), dpc, derive(seed, "kmeans", pool.label))
            rows.append(pool.rows[picked.indices])
    chosen = np.concatenate(rows)
    texts = {name: [data.train.texts[name][row] for row in chosen] for name in learner.fields}
    return np.stack([_fitted(vectors, params.positions) for vectors in vectors_of(learner, texts)])


def vectors_of(learner: Learner, texts: Any) -> list[np.ndarray]:
    """The vectors of texts at the learner's layer: one float32 [tokens, d] each."""
    tokens = learner.network.tokenize(texts, learner.fields)
    if learner.layer:
        packed = learner.network.prepare(tokens)
        return np.split(packed.states, np.cumsum(packed.sizes)[:-1])
    table = learner.network.frozen.embeddings.word_embeddings.weight.detach().cpu().numpy()
    return [table[tokens.columns["input_ids"][row]] for row in range(len(tokens))]


def _fitted(vectors: np.ndarray, positions: int) -> np.ndarray:
    return vectors[np.minimum(np.arange(positions), len(vectors) - 1)]
