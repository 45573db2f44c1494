"""Variety and label agreement, each against its plain definition."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from bench.api import Split, TrainData
from bench.learners.seeds import derive
from methods.gen_distill import diagnostics
from methods.gen_distill.diagnostics import broken, diagnose, distinct, label_agreement, mean_words
from methods.gen_distill.generator import Generator, make_generator
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.synthesis import draw_pools
from tests.methods.gen_distill.conftest import MakeContext, MakeParams
from tests.methods.gen_distill.test_sampling import prefer


def test_distinct_and_words() -> None:
    texts = {"t": ["a good film", "A  good film ", "bad", "a bad film"]}
    assert distinct(texts) == 0.75
    assert mean_words(texts) == 2.5
    pairs = {"a": ["x", "x"], "b": ["y", "z"]}
    assert mean_words(pairs) == 2
    assert distinct(pairs) == 1


def test_broken_characters() -> None:
    assert broken({"a": ["fine", "b\ufffdd", "x", "y"], "b": ["x", "y\ufffd", "\ufffd", "é"]}) == 0.5


def test_label_agreement_is_that_of_the_regions_learnt_from_train() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(3, 8)
    labels = np.arange(300) % 3
    X = centres[labels] + 0.05 * rng.normal(size=(300, 8))
    own, wrong = np.arange(30) % 3, (np.arange(30) + 1) % 3
    S = 1000 * (centres[own] + 0.05 * rng.normal(size=(30, 8)))  # unit length takes the scale away
    half = np.where(np.arange(30) < 15, own, wrong)
    assert label_agreement(X, labels, (S, own), (S, wrong), (S, half)) == [1.0, 0.0, 0.5]


def test_label_agreement_looks_at_directions_only() -> None:
    rng = np.random.default_rng(1)
    labels = np.minimum(rng.integers(0, 5, size=200), 2)  # the last class is the most frequent
    X = np.eye(3, 6)[labels] + 0.8 * rng.normal(size=(200, 6))
    scaled = X * 10 ** rng.uniform(-2, 2, size=(200, 1))
    expected = make_pipeline(Normalizer(), LogisticRegression()).fit(X[:100], labels[:100]).score(X[100:], labels[100:])
    for train, others in ((X, X), (scaled, X), (X, scaled)):
        assert label_agreement(train[:100], labels[:100], (others[100:], labels[100:])) == [expected]


@pytest.fixture
def generator(
    train_data: TrainData, make_context: MakeContext, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> Generator:
    monkeypatch.setattr(diagnostics, "SAMPLES", 60)
    found = make_generator(make_params(), train_data, make_context(train_data))
    prefer(found, {found.template.eos: 3.0})
    return found


def samples_of(generator: Generator, data: TrainData, params: GenDistillParams) -> list[str]:
    """The texts that `diagnose` looks at."""
    seed = derive(params.generator_seed, "diagnostics")
    pools = draw_pools(generator, data.info, {0: 20, 1: 20, 2: 20}, params, max_tokens=12, seed=seed)
    return [text for pool in pools for text in pool.texts["sentence"]]


def test_diagnose(
    generator: Generator, train_data: TrainData, make_context: MakeContext, make_params: MakeParams
) -> None:
    params, ctx = make_params(), make_context(train_data)
    found = diagnose(generator, train_data, params, 12, ctx)
    assert found == diagnose(generator, train_data, params, 12, ctx)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    facts, samples = found["facts"], samples_of(generator, train_data, params)
    assert facts["samples"] == 60
    for other in ("copies of train", "near-duplicates of train", "near-duplicates of validation"):
        assert facts[f"samples, {other} texts"] == 0
    assert 0 < facts["samples, mean tokens"] < 11
    assert 0 <= facts["samples, invalid rate"] < 0.5
    assert 0.9 < facts["samples, distinct"] <= 1
    assert facts["samples, mean words"] == pytest.approx(mean_words({"sentence": samples}), abs=1e-4)
    assert found["texts"] == {f"samples of class {c}": samples[20 * c : 20 * c + 5] for c in range(3)}

    encoder = (params.encoder, params.pooling, params.max_length)
    agreement = label_agreement(
        ctx.features("train", *encoder),
        train_data.train.labels,
        (ctx.embed({"sentence": samples}, *encoder), np.repeat(np.arange(3), 20)),
        (ctx.features("validation", *encoder), train_data.validation.labels),
    )
    names = ("samples, label agreement", "validation texts, label agreement")
    assert [facts[name] for name in names] == pytest.approx(agreement, abs=1e-4)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_diagnose_tells_train_from_validation(
    generator: Generator, train_data: TrainData, make_context: MakeContext, make_params: MakeParams, split: str
) -> None:
    params = make_params()
    known = Split({"sentence": samples_of(generator, train_data, params)}, np.repeat(np.arange(3), 20))
    change: dict[str, Any] = {split: known}
    leaked = replace(train_data, **change)
    facts = diagnose(generator, leaked, params, 12, make_context(leaked))["facts"]
    assert facts["samples, copies of train texts"] == (split == "train")
    assert facts["samples, near-duplicates of train texts"] == (split == "train")
    assert facts["samples, near-duplicates of validation texts"] == (split == "validation")
