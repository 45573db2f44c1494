"""The library is ready for what comes: a student of thirty lines that trains on texts and on embeddings alike."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import Context, DistilledSet, Queries, Student, StudentSpec
from bench.learners.embedded import inputs_of
from bench.learners.load import load_network
from bench.learners.recipe import Recipe, fit, predict
from bench.store.sets import load_set, save_set
from bench.testing import check_student
from bench.work.lending import lend_set
from students.params import EncoderParams
from tests.embedded_sets import embedded
from tests.learner_models import MakeContext, gold, make_set


class ThirtyLines(Student):
    """Fine-tunes an encoder on a set of texts or of embeddings of its own."""

    params: EncoderParams

    def refuses(self, distilled: DistilledSet) -> str | None:
        foreign = distilled.texts is None and distilled.embeddings.encoder != self.params.model  # type: ignore[union-attr]
        return "the embeddings are of another encoder" if foreign else None

    def predict(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        p, fields, texts, e = self.params, queries.info.fields, distilled.texts, distilled.embeddings
        network = load_network(
            ctx.asset(p.model),
            queries.info.n_classes,
            ctx.device,
            trainable_layers=p.trainable_layers,
            dropout=p.dropout,
            max_length=p.max_length,
            identity=ctx.asset_identity(p.model),
        )
        inputs = inputs_of(e) if texts is None else network.tokenize(texts, fields)  # type: ignore[arg-type]
        targets = torch.tensor(e.label_distribution if texts is None else distilled.labels)  # type: ignore[union-attr]
        weights = network.initial(torch.Generator().manual_seed(ctx.derive("head")))
        drop, recipe = network.dropout(ctx.derive("dropout")), Recipe(p.learning_rate, steps=p.steps)
        fit(network, weights, network.prepare(inputs), targets, recipe, drop, ctx.rng("order"))
        return predict(network, weights, network.shared(queries.texts, fields, ctx)).argmax(1)


SPEC = StudentSpec(
    name="thirty",
    summary="A student of thirty lines.",
    target="tests.bench.learners.test_thirty_lines:ThirtyLines",
    params=EncoderParams,
)


def test_it_has_thirty_lines() -> None:
    assert len(inspect.getsource(ThirtyLines).rstrip().splitlines()) <= 30


def test_it_passes_the_conformance_kit(tiny_encoder: Path) -> None:
    check_student(SPEC, {"model": str(tiny_encoder), "trainable_layers": 2, "steps": 4, "learning_rate": 1e-2})


@pytest.mark.parametrize("layers", [2, None])
def test_embeddings_of_a_set_teach_what_the_set_teaches(
    layers: int | None, tiny_encoder: Path, context: MakeContext, tmp_path: Path
) -> None:
    """As the worker hands it over: saved, loaded, lent. Without dropout and with a frozen table it is one training."""
    distilled, queries = make_set(24, 3, seed=0)
    params = EncoderParams(model=str(tiny_encoder), trainable_layers=layers, steps=60, learning_rate=3e-3, dropout=0.0)
    save_set(tmp_path, embedded(tiny_encoder, distilled, 3))
    handed = lend_set(load_set(tmp_path))
    assert handed.texts is None
    assert ThirtyLines(params).refuses(handed) is None
    assert ThirtyLines(params.model_copy(update={"model": "another"})).refuses(handed)
    ctx = context(1, queries)
    texts, vectors = (ThirtyLines(params).predict(one, queries, ctx) for one in (lend_set(distilled), handed))
    assert layers is None or (texts == vectors).mean() > 0.95
    for found in (texts, vectors):
        assert (found == gold(24, 3)).mean() > 0.5
