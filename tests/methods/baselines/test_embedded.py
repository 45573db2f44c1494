"""The baselines at embedding level as the engine calls them, and their text forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.cluster  # noqa: F401  # its first import draws from the global `random`, once a process
import torch
from transformers import AutoModel, AutoTokenizer

from bench.api import DistilledSet, Split, TrainData, UserError
from bench.learners.bert import BertNetwork
from bench.learners.embedded import Embedded
from bench.learners.learned import learned_sgd
from bench.testing import check_method
from methods.baselines.embedded import BASELINES
from methods.baselines.grid import load_steps
from methods.baselines.parts import PARAMS, steps_part
from methods.baselines.spec import specs
from methods.kcenters import KCenters
from methods.random_ import Random
from tests.methods.baselines.conftest import MakeContext, make_data

SPECS = {spec.name: spec for spec in specs()}
TEXT_FORMS = ("class-mean", "kmeans-centroid")


@pytest.fixture
def distill(make_context: MakeContext, tiny: Mapping[str, Any]) -> Any:
    """A function (name, data, dpc, seed, changes) -> set."""

    def made(name: str, data: TrainData, dpc: int | None = 2, seed: int = 0, **changes: Any) -> DistilledSet:
        return BASELINES[name](PARAMS[name](**{**tiny, **changes})).distill(data, dpc, make_context(data, seed))

    return made


@pytest.mark.parametrize(
    "name", [each if each == "kmeans-centroid" else pytest.param(each, marks=pytest.mark.slow) for each in BASELINES]
)
def test_conformance(name: str, tiny: Mapping[str, Any]) -> None:
    check_method(SPECS[name], {**tiny, "learning_rates": [0.1], "epochs": [2]}, dpc=(2,))


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXT_FORMS)
def test_conformance_as_text(name: str, tiny: Mapping[str, Any]) -> None:
    check_method(SPECS[name], {**tiny, "form": "text"}, dpc=(2,))


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("fields", [("text",), ("first", "second")])
def test_a_set_at_embedding_level(name: str, fields: tuple[str, ...], distill: Any, tiny: Mapping[str, Any]) -> None:
    data = make_data(fields=fields)
    found = distill(name, data)
    e = found.embeddings
    assert found.texts is None
    assert found.rows is None
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert e.inputs_embeds.shape == (6, 6, 32)
    assert (e.layer, e.encoder, e.unrestricted, e.groups) == (2, tiny["encoder"], False, None)
    assert e.encoder_identity
    np.testing.assert_array_equal(e.label_distribution, np.eye(3)[found.labels])
    Embedded(e.inputs_embeds, e.attention_mask)  # refuses a mask with holes
    assert not e.inputs_embeds[e.attention_mask == 0].any()
    known = found.diagnostics
    assert known["chosen_on"] == "validation"
    np.testing.assert_array_equal(e.step_sizes, np.full(known["epochs"], known["learning_rate"], np.float32))
    top = max(row[2] for row in known["grid"])
    assert [known["learning_rate"], known["epochs"], top] in [row[:3] for row in known["grid"]]
    assert len(known["grid"]) == 4
    columns = [data.train.texts[field] for field in fields]
    for text, label in zip(e.nearest, found.labels, strict=True):
        assert text in {" | ".join(column[row] for column in columns) for row in data.class_rows(label)}


def whole_states(folder: str, data: TrainData, row: int) -> np.ndarray:
    """Hidden states above two layers of the first six tokens of a train row, by transformers."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        inputs = tokenizer(data.train.texts["text"][row], return_tensors="pt")
        return model(**inputs, output_hidden_states=True).hidden_states[2][0, :6].numpy()


@pytest.mark.parametrize(("name", "rule"), [("random-embedded", Random), ("kcenters-embedded", KCenters)])
def test_selected_rows_are_those_of_the_text_level_method(
    name: str, rule: Any, data: TrainData, distill: Any, make_context: MakeContext, tiny: Mapping[str, Any]
) -> None:
    found = distill(name, data, 2, seed=3).embeddings
    rows = rule(PARAMS[name](**tiny)).distill(data, 2, make_context(data, 3)).rows
    assert list(found.nearest) == [data.train.texts["text"][row] for row in rows]
    for values, mask, row in zip(found.inputs_embeds, found.attention_mask, rows, strict=True):
        np.testing.assert_allclose(values[mask == 1], whole_states(tiny["encoder"], data, row), atol=2e-5)


def test_the_class_mean_is_the_mean_of_all_rows_of_its_class(
    data: TrainData, distill: Any, tiny: Mapping[str, Any]
) -> None:
    found = distill("class-mean", data, 2).embeddings
    for label in range(3):
        states = [whole_states(tiny["encoder"], data, row) for row in data.class_rows(label)]
        for position in range(6):
            own = [each[position] for each in states if len(each) > position]
            for copy in (0, 1):
                values = found.inputs_embeds[2 * label + copy, position]
                np.testing.assert_allclose(values, np.mean(own, axis=0), atol=2e-5)


def test_centroids_of_one_cluster_are_class_means_and_of_all_rows_the_rows(data: TrainData, distill: Any) -> None:
    mean, centroid = (distill(name, data, 1).embeddings for name in ("class-mean", "kmeans-centroid"))
    np.testing.assert_array_equal(mean.inputs_embeds, centroid.inputs_embeds)
    assert mean.nearest == centroid.nearest
    every = distill("kmeans-centroid", data, 7).embeddings  # as many as the smallest class has rows
    assert sorted(every.nearest[14:]) == sorted(data.train.texts["text"][row] for row in data.class_rows(2))


def test_copies_of_a_mean_train_like_one(data: TrainData, distill: Any, network: BertNetwork) -> None:
    """So the steps of dpc 1 serve for any dpc."""
    trained = []
    for dpc in (1, 3):
        e = distill("class-mean", data, dpc, epochs=(4,), learning_rates=(0.3,)).embeddings
        weights = network.initial(torch.Generator().manual_seed(1))
        trained.append(learned_sgd(network, weights, Embedded(e.inputs_embeds, e.attention_mask).packed(), e))
    start = network.initial(torch.Generator().manual_seed(1))
    for name, one in trained[0].items():
        torch.testing.assert_close(one, trained[1][name], atol=1e-5, rtol=1e-4)
    assert any((one - start[name]).abs().max() > 1e-3 for name, one in trained[0].items())


@pytest.mark.parametrize("name", TEXT_FORMS)
def test_texts_are_the_nearest_rows_of_the_class_each_taken_once(name: str, data: TrainData, distill: Any) -> None:
    found = distill(name, data, 4, form="text")
    assert found.embeddings is None
    assert "chosen_on" not in found.diagnostics
    assert len(set(found.rows.tolist())) == 12
    assert found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    nearest = distill(name, data, 4).embeddings.nearest
    for label in range(3):
        first = found.texts["text"][4 * label]
        assert first == nearest[4 * label]  # only later ones may find their nearest row taken
    whole = distill(name, data, 7, form="text")
    assert sorted(whole.rows[whole.labels == 2].tolist()) == data.class_rows(2).tolist()


def test_all_sets_of_a_dpc_have_the_same_steps_from_one_search(
    data: TrainData, distill: Any, make_context: MakeContext, tiny: Mapping[str, Any]
) -> None:
    sets = [distill("random-embedded", data, 2, seed) for seed in (0, 1)]
    assert len({str(dict(one.diagnostics)) for one in sets}) == 1
    assert (sets[0].embeddings.inputs_embeds != sets[1].embeddings.inputs_embeds).any()

    def parts(name: str, dpc: int, **changes: Any) -> list[Any]:
        return list(SPECS[name].parts(PARAMS[name](**{**tiny, **changes}), dpc, 5))

    assert parts("random-embedded", 2) == [steps_part("random-embedded", PARAMS["random-embedded"](**tiny), 2)]
    assert parts("random-embedded", 2) != parts("random-embedded", 3)
    assert parts("class-mean", 2) == parts("class-mean", 3)
    assert parts("class-mean", 2) != parts("kmeans-centroid", 2)
    assert [parts(name, 2, form="text") for name in TEXT_FORMS] == [[], []]


def test_steps_are_chosen_on_validation_labels(
    data: TrainData, make_context: MakeContext, tiny: Mapping[str, Any]
) -> None:
    """Other validation labels give other accuracies for the same training."""

    def grid(labels: np.ndarray) -> list[float]:
        other = replace(data, validation=Split(data.validation.texts, labels))
        part = steps_part("class-mean", PARAMS["class-mean"](**tiny), 1)
        chosen = load_steps(make_context(other).part(part))
        assert chosen.validation_rows == 15
        return [point.accuracy for point in chosen.grid]

    true, shifted, again = (grid((data.validation.labels + shift) % 3) for shift in (0, 1, 2))
    np.testing.assert_allclose(np.sum([true, shifted, again], axis=0), 1.0, atol=1e-5)  # each answer is right in one
    assert true != shifted


@pytest.mark.parametrize("name", BASELINES)
def test_a_class_too_small(name: str, data: TrainData, distill: Any) -> None:
    with pytest.raises(UserError, match="class 'law' of task 'tiny' has 7 train rows, fewer than dpc 8"):
        distill(name, data, 8)


def test_parameters_of_kcenters_are_those_of_learners_and_of_kcenters() -> None:
    params = PARAMS["kcenters-embedded"]()
    assert (params.encoder, params.positions, params.pooling) == ("minilm", 16, "cls")  # type: ignore[attr-defined]
    assert list(SPECS["kcenters-embedded"].assets(params)) == ["minilm"]
    assert all(field.description for field in type(params).model_fields.values())


def test_the_encoder_of_one_process_is_loaded_once(
    data: TrainData, distill: Any, tiny: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import shutil

    from methods.baselines import learner

    calls: list[Path] = []
    real = learner.BertNetwork
    monkeypatch.setattr(learner, "BertNetwork", lambda folder, *a, **b: calls.append(folder) or real(folder, *a, **b))
    folder = shutil.copytree(tiny["encoder"], tmp_path / "copy")
    for seed in (0, 1):
        distill("random-embedded", data, 1, seed, encoder=str(folder))
    assert calls == [folder]
