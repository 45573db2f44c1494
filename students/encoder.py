"""The fine-tuned student: start from the published weights, train with a recipe, label the queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.api import Context, DistilledSet, Embeddings, NotApplicable, Queries, Student, UserError
from bench.learners.bert import can_split
from bench.learners.embedded import inputs_of
from bench.learners.fits import foreign, misfit
from bench.learners.layers import Weights
from bench.learners.learned import learned_sgd
from bench.learners.load import load_network
from bench.learners.network import Inputs, Network, stacked
from bench.learners.recipe import Recipe, fit, predict
from bench.learners.width import Width, bytes_a_run
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
        self._width = Width()

    def reads(self, distilled: DistilledSet) -> Literal["texts", "embeddings"]:
        """The texts of a set that has both, except by the learned steps: these were learned on the embeddings."""
        learned = self.params.recipe == "learned-sgd"
        return "embeddings" if learned or distilled.texts is None else "texts"

    def refuses(self, distilled: DistilledSet) -> str | None:
        """Empty sets, and those without learned steps when these are the recipe."""
        if len(distilled) == 0:
            return "the set is empty"
        if self.reads(distilled) == "texts":
            return None
        if distilled.embeddings is None:
            return "the set has no embedding level: recipe=standard reads its texts"
        if self.params.recipe == "learned-sgd" and distilled.embeddings.step_sizes is None:
            return "the set has no learned step sizes"
        return None

    def predict(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        """Train on the set with `ctx.seed`, label every query: int64 [len(queries)] in [0, C).

        Raises NotApplicable for embeddings of another encoder and for those that this network cannot read, UserError
        where the training leaves the finite numbers.
        """
        return self._predict(self._network_for(distilled, queries, ctx), distilled, queries, [ctx])[0]

    def predict_many(
        self, distilled: DistilledSet, queries: Queries, contexts: Sequence[Context]
    ) -> Sequence[np.ndarray]:
        """The labels of the first runs, stacked in one training, as many as the device's memory holds.

        Of the first one alone where runs cannot be stacked: by learned steps, with attention labels, and in networks
        that have no axis of runs. A training of which one run leaves the finite numbers raises as `predict` does.
        """
        first, e = contexts[0], self._embeddings(distilled)
        network = self._network_for(distilled, queries, first)
        plain = self.params.recipe == "standard" and (e is None or e.attention_labels is None)
        if len(contexts) == 1 or not (plain and network.at_once):
            return [self._predict(network, distilled, queries, contexts[:1])[0]]
        inputs = self._inputs(network, distilled, queries.info.fields, first)
        return self._width.train(
            len(contexts),
            bytes_a_run(network, inputs, self.params.batch),
            network.device,
            lambda runs: self._predict(network, distilled, queries, contexts[:runs]),
        )

    def _predict(
        self, network: Network, distilled: DistilledSet, queries: Queries, contexts: Sequence[Context]
    ) -> list[np.ndarray]:
        fields = queries.info.fields
        weights = self._fit(network, distilled, fields, *contexts)
        scores = predict(network, weights, network.shared(queries.texts, fields, contexts[0]))
        if not np.isfinite(scores).all():
            raise UserError(f"the training diverged (recipe={self.params.recipe}): its scores are not finite")
        labels = scores.argmax(axis=-1).astype(np.int64)
        return [labels] if len(contexts) == 1 else list(labels)

    def _embeddings(self, distilled: DistilledSet) -> Embeddings | None:
        """What is read of the set at embedding level."""
        return distilled.embeddings if self.reads(distilled) == "embeddings" else None

    def _network_for(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> Network:
        embeddings, n_classes = self._embeddings(distilled), queries.info.n_classes
        return self._load(n_classes, ctx) if embeddings is None else self._fitting(embeddings, n_classes, ctx)

    def _fitting(self, embeddings: Embeddings, n_classes: int, ctx: Context) -> Network:
        """The network, when it can read these embeddings. Raises NotApplicable, before it loads where that can be."""
        model = self.params.model
        reason = foreign(embeddings, model, ctx.asset_identity(model))
        if reason is None:
            network = self._load(n_classes, ctx)
            reason = misfit(
                embeddings, network, n_classes, can_split(ctx.asset(model)), self.params.recipe == "learned-sgd"
            )
        if reason is not None:
            raise NotApplicable(reason)
        return network

    def _fit(self, network: Network, distilled: DistilledSet, fields: Sequence[str], *contexts: Context) -> Weights:
        """The weights of a run, or of several ones stacked.

        Every random draw of a run comes from its seed, or the head from the one that the set names.
        """
        p, e, ctx = self.params, self._embeddings(distilled), contexts[0]
        starts = [
            network.initial(torch.Generator().manual_seed(_head_seed(e, each)), scratch=e is not None and e.scratch)
            for each in contexts
        ]
        inputs = self._inputs(network, distilled, fields, ctx)
        if e is not None and p.recipe == "learned-sgd":
            return learned_sgd(network, starts[0], inputs, e)
        alone, orders = len(contexts) == 1, [each.rng("order") for each in contexts]
        weights = starts[0] if alone else stacked(starts)
        starts.clear()
        what = "training" if alone else f"training {len(contexts)} runs"
        fit(
            network,
            weights,
            inputs,
            targets(distilled) if e is None else _floats(e.label_distribution),
            Recipe(p.learning_rate, p.weight_decay, p.warmup, p.steps, p.min_epochs, p.batch, p.clip),
            network.dropout(*(each.derive("dropout") for each in contexts)),
            orders[0] if alone else orders,
            lambda done, total: ctx.progress(done, total, what),
            attention=None if e is None or e.attention_labels is None else _floats(e.attention_labels),
            attention_weight=1.0 if e is None else e.attention_weight,
        )
        return weights

    def _inputs(self, network: Network, distilled: DistilledSet, fields: Sequence[str], ctx: Context) -> Inputs:
        e, texts = self._embeddings(distilled), distilled.texts
        if e is not None:
            return network.prepare(inputs_of(e))
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


def _head_seed(embeddings: Embeddings | None, ctx: Context) -> int:
    """Of a run's head: the one that the set names, or its own."""
    named = None if embeddings is None else embeddings.head_seed
    return ctx.derive("head") if named is None else named


def targets(distilled: DistilledSet) -> Tensor:
    """What cross-entropy is taken against: soft labels float32 [N, C] where the set has them, else int64 [N]."""
    if distilled.soft_labels is not None:
        return _floats(distilled.soft_labels)
    return torch.from_numpy(np.array(distilled.labels, dtype=np.int64))


def _floats(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))
