"""TDD: data, labels and step sizes learned through the learner's training (and Wang et al. 2018, its ancestor)."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData, UserError
from methods.embedding.learner import Learner
from methods.embedding.make import Trained, load
from methods.embedding.nearest import nearest_words
from methods.embedding.params import TextParams, UnrolledParams
from methods.embedding.parts import training


class Unrolled(Method):
    """A set of vectors that the part `embedding-set` has trained."""

    params: UnrolledParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """The trained set; `labels` are the classes that its examples began with."""
        dpc = _checked(dpc)
        trained = load(ctx.part(training(self.params, dpc, ctx.common_seed)))
        labels = np.repeat(np.arange(data.info.n_classes, dtype=np.int64), dpc)
        return DistilledSet(labels=labels, embeddings=trained.embeddings, diagnostics=_diagnostics(trained, labels))


class TddText(Method):
    """The same training's set with each vector replaced by the nearest word."""

    params: TextParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Texts of L words with the classes that they began with; of a pair task, each text has half of the words."""
        dpc = _checked(dpc)
        trained = load(ctx.part(training(self.params, dpc, ctx.common_seed)))
        learner = Learner(data, ctx, self.params)
        ids = nearest_words(learner, trained.embeddings.inputs_embeds, self.params.metric, self.params.exclude)
        tokenizer = learner.network.texts.tokenizer
        fields = data.info.fields
        texts = {
            name: [tokenizer.decode(part) for part in (np.array_split(row, len(fields))[number] for row in ids)]
            for number, name in enumerate(fields)
        }
        labels = np.repeat(np.arange(data.info.n_classes, dtype=np.int64), dpc)
        return DistilledSet(labels=labels, texts=texts, diagnostics=_diagnostics(trained, labels))


def _checked(dpc: int | None) -> int:
    if dpc is None or dpc < 1:
        raise UserError(f"dpc must be 1 or more, not {dpc}")
    return dpc


def _diagnostics(trained: Trained, labels: np.ndarray) -> dict[str, Any]:
    """What was chosen on what, and how many learned targets have another class as their largest entry."""
    names = {"chosen step": "chosen_step", "validation accuracy": "validation_accuracy", "steps": "steps"}
    moved = int((trained.embeddings.label_distribution.argmax(1) != labels).sum())
    found = {short: trained.facts[name] for name, short in names.items()}
    return {"chosen_on": "loss on validation rows", **found, "labels_moved": moved}
