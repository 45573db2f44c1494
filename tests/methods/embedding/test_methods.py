"""The embedding-level methods as plugins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from bench.api import TrainData, UserError
from bench.store.sets import check_set
from bench.testing import check_method
from bench.work.context import JobContext
from methods.embedding.learner import Learner, first_vectors, vectors_of
from methods.embedding.make import _real, load
from methods.embedding.params import TextParams, UnrolledParams
from methods.embedding.parts import params_of, training
from methods.embedding.spec import specs
from methods.embedding.tdd import TddText, Unrolled
from methods.embedding.variables import group_count
from tests.methods.embedding.conftest import MakeParams

SPECS = {spec.name: spec for spec in specs()}
SMALL = {
    "trainable_layers": 1,
    "positions": 3,
    "outer_steps": 2,
    "batch": 4,
    "evaluate_every": 1,
    "validation_nets": 1,
    "learning_rate": 0.05,
    "nets": 1,
}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("tdd", {"attention_labels": "cls"}),
        pytest.param("tdd-text", {}, marks=pytest.mark.slow),
        pytest.param("dd", {"batch": 4, "groups": 1, "init": "fixed", "scratch": True}, marks=pytest.mark.slow),
        pytest.param("random-soft", {"space": "states"}, marks=pytest.mark.slow),
        pytest.param("kcenters-soft", {}, marks=pytest.mark.slow),
    ],
)
def test_the_rules_for_methods(name: str, more: dict[str, Any], tiny_encoder: Path) -> None:
    check_method(SPECS[name], {"encoder": str(tiny_encoder), **SMALL, **more})


def test_they_are_listed_as_a_family_with_their_paper() -> None:
    assert set(SPECS) == {"tdd", "tdd-text", "dd", "random-soft", "kcenters-soft"}
    for spec in SPECS.values():
        assert "embedding" in spec.tags
        assert any(paper in spec.notes for paper in ("Wang et al. 2018", "Maekawa et al. 2024", "DD-Ranking"))


def test_the_texts_of_a_set_share_its_training(params: MakeParams) -> None:
    """Two methods with equal trainings are one part, set by set."""
    made = params(space="words", labels="hard")
    texts = TextParams(**made.model_dump(), metric="cosine")
    assert training(made, 2, 7) == training(texts, 2, 7)
    assert training(made, 2, 7) != training(made, 2, 8)
    assert training(made, 2, 7) != training(made, 3, 7)
    assert params_of(training(texts, 2, 7)) == UnrolledParams(**made.model_dump())


def test_a_set_and_its_texts(data: TrainData, ctx: JobContext, params: MakeParams) -> None:
    made = params(space="words", groups=2, outer_steps=2, labels="hard")
    ctx.common_seed = 5
    found = Unrolled(made).distill(data, 2, ctx)
    check_set(found, data.info.fields, 3, "the test")
    embeddings = found.embeddings
    assert embeddings is not None
    assert embeddings.layer == 0
    assert embeddings.groups is not None
    assert embeddings.groups.tolist() == [0, 1] * 3
    assert embeddings.step_sizes is not None
    assert embeddings.step_sizes.shape == (4,)  # groups * epochs
    assert embeddings.label_distribution.argmax(1).tolist() == found.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert embeddings.encoder_identity == ctx.asset_identity(made.encoder)
    assert found.diagnostics["chosen_on"] == "loss on validation rows"
    assert embeddings.nearest is not None
    assert len(embeddings.nearest) == 6

    text = TddText(TextParams(**made.model_dump())).distill(data, 2, ctx)
    check_set(text, data.info.fields, 3, "the test")
    assert text.texts is not None
    assert list(text.texts["first"]) == list(embeddings.nearest)  # both by L2, without special tokens
    ctx.common_seed = 6
    other = Unrolled(made).distill(data, 2, ctx).embeddings
    assert other is not None
    assert not np.array_equal(other.inputs_embeds, embeddings.inputs_embeds)


@pytest.mark.parametrize("space", ["words", "states"])
@pytest.mark.parametrize("start", ["rows", "kcenters"])
def test_sets_start_from_real_rows_of_their_classes(
    space: str, start: str, data: TrainData, ctx: JobContext, params: MakeParams
) -> None:
    made = params(space=space, start=start, positions=30)
    learner = Learner(data, ctx, made)
    vectors = first_vectors(learner, data, 2, ctx, made, 1)
    real = vectors_of(learner, data.train.texts)
    for number, each in enumerate(vectors):
        rows = [
            row
            for row, own in enumerate(real)
            if np.allclose(each[: len(own)], own, atol=1e-5) and np.allclose(each[len(own) :], own[-1], atol=1e-5)
        ]
        assert number // 2 in data.train.labels[rows]


def test_mistakes_are_told_in_one_line(
    data: TrainData, ctx: JobContext, params: MakeParams, tiny_encoder: Path
) -> None:
    with pytest.raises(UserError, match=r"positions=900: .* has \d+; ask for no more"):
        Learner(data, ctx, params(positions=900))
    pair = replace(data, info=replace(data.info, fields=("first", "second")))
    with pytest.raises(UserError, match="positions=1: a pair of texts needs 2"):
        Learner(pair, ctx, params(positions=1))
    with pytest.raises(UserError, match="groups=3: with dpc 2"):
        group_count(params(groups=3), 2)
    with pytest.raises(UserError, match="dpc must be 1 or more"):
        Unrolled(params()).distill(data, 0, ctx)
    for changes, said in (
        ({"learn_embeddings": False, "learn_step_sizes": False, "labels": "hard"}, "nothing is learned"),
        ({"trainable_layers": None}, "space=states needs trainable_layers"),
    ):
        with pytest.raises(ValidationError, match=said):
            params(**changes)
    with pytest.raises(ValidationError, match="labels=hard only"):
        TextParams(encoder=str(tiny_encoder), labels="soft")
    with pytest.raises(ValidationError, match="space=words only"):
        TextParams(encoder=str(tiny_encoder), space="states", trainable_layers=1)


def test_a_set_is_kept_as_it_was_trained(data: TrainData, ctx: JobContext, params: MakeParams) -> None:
    made = params(attention_labels="all", labels="unrestricted", init="fixed", scratch=True, outer_steps=1)
    ctx.common_seed = 5
    embeddings = load(ctx.part(training(made, 1, 5))).embeddings
    assert embeddings.attention_labels is not None
    assert embeddings.attention_labels.shape[3:] == (4, 4)
    assert embeddings.unrestricted
    assert embeddings.scratch
    assert embeddings.head_seed is not None
    assert embeddings.layer == len(Learner(data, ctx, made).network.frozen.layers) > 0


@pytest.mark.parametrize("steps", [1, 40])
def test_rows_are_the_same_whether_their_states_are_kept_or_not(
    steps: int, data: TrainData, ctx: JobContext, params: MakeParams
) -> None:
    made = params(outer_steps=steps, batch=4)
    learner = Learner(data, ctx, made)
    rows = np.array([5, 0, 9])
    found, labels = _real(learner, data, ctx, made).batch(learner, rows)
    expected = learner.packed(data.train, rows).batch("cpu")
    np.testing.assert_allclose(found.states.numpy(), expected.states.numpy(), atol=1e-5)
    assert labels.tolist() == data.train.labels[rows].tolist()
    assert (ctx._artifacts.root / "frozen-states").exists() == (steps == 40)


def test_trainings_of_one_set_number_draw_alike(data: TrainData, ctx: JobContext, params: MakeParams) -> None:
    """Whatever else differs: what vectors have learned beyond labels and steps is seen from the same start."""
    ctx.common_seed = 5
    learned, fixed = (
        load(ctx.part(training(params(outer_steps=1, learning_rate=rate, learn_embeddings=True), 2, 5))).embeddings
        for rate in (1e-12, 1e-13)
    )
    np.testing.assert_allclose(learned.inputs_embeds, fixed.inputs_embeds, atol=1e-6)
    other = load(ctx.part(training(params(outer_steps=1, learning_rate=1e-12), 2, 6))).embeddings
    assert np.abs(learned.inputs_embeds - other.inputs_embeds).max() > 0.1
