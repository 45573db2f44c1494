"""The fine-tuned student: start from the published weights, train with the paper's recipe, label the queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from bench.api import Context, DistilledSet, Queries, Student
from bench.learners.layers import Weights
from bench.learners.load import load_network
from bench.learners.network import Inputs, Network
from bench.learners.recipe import Recipe, fit, predict
from students.params import EncoderParams

DIRECT_ROWS = 1024  # larger sets go through the cache, as the queries do: full data are too much for memory


class EncoderStudent(Student):
    """A pretrained encoder with a new linear head.

    The network stays in memory between the runs of a worker; each run trains weights of its own. With
    `trainable_layers` a BERT-like model runs its frozen part once per text (`bench.learners.bert`).
    """

    params: EncoderParams

    def __init__(self, params: EncoderParams) -> None:
        super().__init__(params)
        self._network: Network | None = None
        self._key: tuple | None = None
        self._recent: tuple[Mapping[str, Sequence[str]], Inputs] | None = None

    def refuses(self, distilled: DistilledSet) -> str | None:
        """Sets without text, and empty ones."""
        return super().refuses(distilled) or ("the set is empty" if len(distilled) == 0 else None)

    def predict(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        """Train on the set with `ctx.seed`, label every query: int64 [len(queries)] in [0, C)."""
        network = self._load(queries.info.n_classes, ctx)
        weights = self._fit(network, distilled, queries.info.fields, ctx)
        scores = predict(network, weights, network.shared(queries.texts, queries.info.fields, ctx))
        labels: np.ndarray = scores.argmax(axis=1).astype(np.int64)
        return labels

    def _fit(self, network: Network, distilled: DistilledSet, fields: Sequence[str], ctx: Context) -> Weights:
        """The weights of a run; every random draw comes from its seed."""
        p = self.params
        weights = network.initial(torch.Generator().manual_seed(ctx.derive("head")))
        fit(
            network,
            weights,
            self._inputs(network, distilled, fields, ctx),
            targets(distilled),
            Recipe(p.learning_rate, p.weight_decay, p.warmup, p.steps, p.min_epochs, p.batch, p.clip),
            network.dropout(ctx.derive("dropout")),
            ctx.rng("order"),
            lambda done, total: ctx.progress(done, total, "training"),
        )
        return weights

    def _inputs(self, network: Network, distilled: DistilledSet, fields: Sequence[str], ctx: Context) -> Inputs:
        texts = distilled.texts
        assert texts is not None  # `refuses` has seen to it
        if len(distilled) > DIRECT_ROWS:
            return network.shared(texts, fields, ctx)
        columns = {name: list(texts[name]) for name in fields}
        if self._recent is None or self._recent[0] != columns:  # the runs of one set follow each other
            self._recent = columns, network.prepare(network.tokenize(columns, fields))
        return self._recent[1]

    def _load(self, n_classes: int, ctx: Context) -> Network:
        folder = ctx.asset(self.params.model)
        key = (folder, n_classes, ctx.device)
        if self._network is None or key != self._key:
            self._network = self._recent = None  # two models at once are too much memory
            p = self.params
            self._network = load_network(
                folder,
                n_classes,
                ctx.device,
                trainable_layers=p.trainable_layers,
                dropout=p.dropout,
                max_length=p.max_length,
                identity=ctx.asset_identity(p.model),
            )
            self._key = key
        return self._network


def targets(distilled: DistilledSet) -> Tensor:
    """What cross-entropy is taken against: soft labels float32 [N, C] where the set has them, else int64 [N]."""
    if distilled.soft_labels is not None:
        return torch.from_numpy(np.array(distilled.soft_labels, dtype=np.float32))
    return torch.from_numpy(np.array(distilled.labels, dtype=np.int64))
