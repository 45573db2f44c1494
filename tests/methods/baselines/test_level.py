"""Train rows at embedding level: against transformers' own hidden states, and against the texts they stand for."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from bench.api import TrainData, UserError
from bench.learners.recipe import predict
from methods.baselines import level as module
from methods.baselines.learner import load_learner
from methods.baselines.level import Level, Sequences, train_level
from methods.baselines.params import EmbeddedParams
from tests.learner_models import tiny_xlnet  # noqa: F401
from tests.methods.baselines.conftest import MakeContext, make_data


def level_of(data: TrainData, make_context: MakeContext, **params: Any) -> tuple[Level, Any, Any]:
    chosen, ctx = EmbeddedParams(**params), make_context(data)
    network = load_learner(chosen, 3, ctx)
    return train_level(chosen, network, data, ctx), network, ctx


def transformers_states(folder: Path, data: TrainData, row: int, layer: int) -> np.ndarray:
    """Hidden states [L, d] that enter a layer, of one text alone."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(*(data.train.texts[name][row] for name in data.info.fields), return_tensors="pt")
    with torch.no_grad():
        if layer == 0:
            return model.get_input_embeddings()(inputs["input_ids"])[0].numpy()
        return model(**inputs, output_hidden_states=True).hidden_states[layer][0].numpy()


@pytest.mark.parametrize("fields", [("text",), ("first", "second")])
def test_states_are_those_of_the_whole_text_at_its_first_positions(
    fields: tuple[str, ...], make_context: MakeContext, tiny: Mapping[str, Any]
) -> None:
    data = make_data(fields=fields)
    level, _, _ = level_of(data, make_context, **tiny)
    rows = np.array([5, 0, 17])
    found = level.rows(rows)
    assert (level.layer, found.values.shape) == (2, (3, 6, 32))
    for values, mask, row in zip(found.values, found.mask, rows, strict=True):
        expected = transformers_states(Path(tiny["encoder"]), data, row, 2)[:6]
        assert mask.sum() == len(expected)
        np.testing.assert_allclose(values[: len(expected)], expected, atol=2e-5)
        assert not values[len(expected) :].any()
        np.testing.assert_allclose(level.vectors(rows)[list(rows).index(row)], expected.mean(0), atol=2e-5)


def test_words_are_rows_of_the_table_and_texts_end_as_texts_do(
    data: TrainData, make_context: MakeContext, tiny: Mapping[str, Any]
) -> None:
    level, _, _ = level_of(data, make_context, **tiny, space="words")
    tokenizer = AutoTokenizer.from_pretrained(tiny["encoder"])
    table = AutoModel.from_pretrained(tiny["encoder"]).get_input_embeddings().weight.detach().numpy()
    assert level.layer == 0
    for row in (0, 3, 9):
        ids = tokenizer(data.train.texts["text"][row], truncation=True, max_length=6)["input_ids"]
        found = level.rows(np.array([row]))
        np.testing.assert_array_equal(found.values[0][found.mask[0]], table[ids])


@pytest.mark.parametrize(
    ("layers", "space", "layer"), [(2, "states", 2), (2, "words", 0), (4, "states", 0), (None, "states", 0)]
)
def test_rows_with_all_their_positions_are_read_like_their_texts(
    layers: int | None, space: str, layer: int, data: TrainData, make_context: MakeContext, tiny: Mapping[str, Any]
) -> None:
    """At any level a learner gives the same logits; where nothing is frozen the level is that of words."""
    params = {**tiny, "positions": 64, "trainable_layers": layers, "space": space}
    found, network, _ = level_of(data, make_context, **params)
    assert found.layer == layer
    rows = np.arange(8)
    sequences = Sequences.joined([found.rows(rows)])
    weights = network.initial(torch.Generator().manual_seed(0))
    tokens = network.tokenize({"text": data.train.texts["text"][:8]}, ("text",))
    by_text = predict(network, weights, network.prepare(tokens))
    by_vectors = predict(network, weights, network.prepare(sequences.inputs(found.layer)))
    np.testing.assert_allclose(by_vectors, by_text, atol=2e-5)
    assert np.ptp(by_text, axis=0).max() > 0.01


def test_means_are_taken_over_the_rows_that_have_a_position(
    data: TrainData, make_context: MakeContext, tiny: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    level, _, _ = level_of(data, make_context, **{**tiny, "positions": 9})
    rows = data.class_rows(1)
    whole = level.rows(rows)
    assert len(set(whole.mask.sum(1))) > 1  # of different lengths
    absent = np.broadcast_to(~whole.mask[..., None], whole.values.shape)
    masked = np.ma.masked_array(whole.values.astype(np.float64), absent)
    found = level.mean(rows)
    np.testing.assert_allclose(found.values[0][found.mask[0]], masked.mean(0).compressed().reshape(-1, 32), rtol=1e-6)
    assert found.mask.sum() == whole.mask.sum(1).max()
    np.testing.assert_allclose(level.vectors(rows), masked.mean(1), rtol=1e-5, atol=1e-6)


def test_no_more_positions_than_the_encoder_has(make_context: MakeContext, tiny: Mapping[str, Any]) -> None:
    data = make_data()
    data.train.texts["text"][4] = "team " * 300  # type: ignore[index]
    for space in ("states", "words"):
        found, _, _ = level_of(data, make_context, **{**tiny, "positions": 400, "space": space})
        assert found.rows(np.array([4, 5])).mask.sum(1)[0] == 128


def test_states_of_unknown_layers_are_refused_and_words_are_not(
    data: TrainData,
    make_context: MakeContext,
    tiny: Mapping[str, Any],
    tiny_xlnet: Path,  # noqa: F811
) -> None:
    with pytest.raises(UserError, match=r"space=states: the layers of .* use space=words"):
        level_of(data, make_context, **{**tiny, "encoder": str(tiny_xlnet)})
    level, _, _ = level_of(data, make_context, **{**tiny, "encoder": str(tiny_xlnet), "space": "words"})
    assert level.layer == 0


def test_states_that_are_not_finite_are_refused(
    data: TrainData, make_context: MakeContext, tiny: Mapping[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny["encoder"], folder)
    model = AutoModel.from_pretrained(folder)
    with torch.no_grad():
        model.embeddings.LayerNorm.weight[0] = float("nan")
    model.save_pretrained(folder)
    level, _, _ = level_of(data, make_context, **{**tiny, "encoder": str(folder)})
    with pytest.raises(UserError, match="NaN or infinite states"):
        level.mean(data.class_rows(0))
