"""The methods as the engine calls them: the rule of each applied to the readings of each class."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from bench import plugins
from bench.api import DistilledSet, Split, TrainData, UserError
from bench.settings import Settings
from bench.testing import check_method
from methods.plugin import bench_methods
from methods.scores import grad_match, training
from methods.scores.checkpoints import Trainings, load_trainings
from methods.scores.grad_match import agreed
from methods.scores.rules import stratified
from tests.methods.scores.conftest import MakeContext, MakeParams, explicit

NAMES = ("el2n", "grand", "moderate", "ccs", "grad-match")
SPECS = {spec.name: spec for spec in bench_methods() if spec.name in NAMES}


class Engine:
    """A task, one cache, tiny parameters."""

    def __init__(self, data: TrainData, make_context: MakeContext, make_params: MakeParams) -> None:
        self.data, self.make_context = data, make_context
        self.shared = make_params().model_dump(exclude={"candidates", "projection"})

    def params(self, name: str, **changes: Any) -> Any:
        return SPECS[name].params(**{**self.shared, **changes})

    def distill(self, name: str, dpc: int = 3, seed: int = 0, **changes: Any) -> DistilledSet:
        method = plugins.load(Settings.make()).build(SPECS[name], self.params(name, **changes))
        return method.distill(self.data, dpc, self.make_context(self.data, seed))

    def trainings(self, **changes: Any) -> Trainings:
        return load_trainings(self.params("moderate", **changes), self.make_context(self.data))


@pytest.fixture
def engine(data: TrainData, make_context: MakeContext, make_params: MakeParams) -> Engine:
    return Engine(data, make_context, make_params)


@pytest.mark.parametrize(
    "name", [each if each == "ccs" else pytest.param(each, marks=pytest.mark.slow) for each in NAMES]
)
def test_the_rules_of_the_kit(name: str, make_params: MakeParams) -> None:
    p = make_params(runs=1, checkpoints=1, steps=2).model_dump(exclude={"candidates", "projection"})
    check_method(SPECS[name], p, dpc=(2,), assets={})


def test_each_method_applies_its_rule_to_its_own_class(engine: Engine) -> None:
    """Written out one row at a time, on gradients as vectors."""
    trainings, labels = engine.trainings(), engine.data.train.labels
    assert trainings.rows.tolist() == list(range(len(labels)))
    checkpoints = trainings.all()
    G = np.split(explicit(checkpoints), len(checkpoints), axis=1)
    scores = {
        "el2n": np.mean([np.linalg.norm(np.float64(each.errors), axis=1) for each in checkpoints], axis=0),
        "grand": np.mean([np.linalg.norm(own, axis=1) for own in G], axis=0),
    }
    h = [np.float64(run[1].inputs) for run in trainings.runs]
    for label in range(3):
        rows = np.flatnonzero(labels == label)
        for name, score in scores.items():
            found = engine.distill(name)
            expected = sorted(rows, key=lambda row: -score[row])[:3]
            assert found.rows[found.labels == label].tolist() == expected
            assert found.diagnostics["score"][label] == pytest.approx(score[expected].mean(), abs=1e-6)
            assert found.diagnostics["class_score"][label] == pytest.approx(score[rows].mean(), abs=1e-6)
            found = engine.distill(name, order="easy")
            assert found.rows[found.labels == label].tolist() == sorted(rows, key=lambda row: score[row])[:3]
        distance = np.mean([np.linalg.norm(own[rows] - own[rows].mean(0), axis=1) for own in h], axis=0)
        found = engine.distill("moderate")
        assert found.diagnostics["median"][label] == pytest.approx(np.median(distance), abs=1e-6)
        early = [np.float64(run[0].inputs[rows]) for run in trainings.runs]
        before = np.mean([np.linalg.norm(own - own.mean(0), axis=1) for own in early], axis=0)
        assert abs(np.median(before) - np.median(distance)) > 1e-4  # the last checkpoint counts
        order = np.abs(distance - np.median(distance)).argsort(kind="stable")[:3]
        assert found.rows[found.labels == label].tolist() == rows[order].tolist()
        for name, score in scores.items():
            found = engine.distill("ccs", seed=4, score=name, beta=0.2, strata=3)
            rng = engine.make_context(engine.data, 4).rng("ccs", f"class {label}")
            expected = rows[stratified(score[rows], 3, 0.2, 3, rng)].tolist()
            assert found.rows[found.labels == label].tolist() == expected
        whole = np.concatenate(G, axis=1)[rows]
        picked: list[int] = []
        for _ in range(3):
            left = [i for i in range(len(rows)) if i not in picked]
            picked.append(min(left, key=lambda i: np.linalg.norm(whole[[*picked, i]].mean(0) - whole.mean(0))))
        found = engine.distill("grad-match")
        assert found.rows[found.labels == label].tolist() == rows[picked].tolist()
        assert found.diagnostics["candidates"][label] == len(rows)


def test_all_methods_and_dpc_share_the_trainings(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.trainings()
    monkeypatch.setattr(training, "train", None)
    for name in NAMES:
        for dpc in (1, 4):
            assert np.bincount(engine.distill(name, dpc).labels).tolist() == [dpc] * 3


def test_a_pool_is_all_that_is_chosen_from(engine: Engine) -> None:
    rows = set(engine.trainings(pool_rows=4).rows.tolist())
    assert len(rows) == 12
    for name in NAMES:
        found = engine.distill(name, 4, pool_rows=4)
        assert set(found.rows.tolist()) == rows
        found = engine.distill(name, 2, pool_rows=4)
        assert set(found.rows.tolist()) < rows
        assert np.bincount(found.labels).tolist() == [2, 2, 2]
    few = engine.distill("ccs", 2, pool_rows=4, beta=0)
    assert set(few.rows.tolist()) < rows


def test_equal_texts_have_equal_scores_and_the_first_rows_are_taken(engine: Engine) -> None:
    texts = {"sentence": ["the team won"] * len(engine.data.train)}
    engine.data = dataclasses.replace(engine.data, train=Split(texts, engine.data.train.labels))
    for name in ("el2n", "grand", "moderate", "grad-match"):
        found = engine.distill(name)
        for label in range(3):
            assert found.rows[found.labels == label].tolist() == engine.data.class_rows(label)[:3].tolist()
    assert len(set(engine.distill("ccs").rows.tolist())) == 9


@pytest.mark.parametrize("name", NAMES)
def test_more_than_a_class_or_its_pool_has(name: str, engine: Engine) -> None:
    with pytest.raises(UserError, match="class 'class 1' of task 'tiny' has 5 train rows, fewer than dpc 6"):
        engine.distill(name, 6)
    with pytest.raises(UserError, match=r"pool_rows \(3\) is less than dpc 4"):
        engine.distill(name, 4, pool_rows=3)


def test_agreed_is_the_label_of_the_mean_probability(engine: Engine) -> None:
    finals, labels = engine.trainings().finals(), engine.data.train.labels
    probabilities = np.mean([each.errors + np.eye(3, dtype=np.float32)[labels] for each in finals], axis=0)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    right = agreed(finals, labels)
    assert right.tolist() == (probabilities.argmax(1) == labels).tolist()
    assert 0 < right.sum() < len(labels)


def test_only_agreed_rows_are_candidates(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    right = np.arange(len(engine.data.train)) % 3 > 0
    monkeypatch.setattr(grad_match, "agreed", lambda *_: right)
    counts = [int(right[engine.data.class_rows(label)].sum()) for label in range(3)]
    least = min(counts)
    found = engine.distill("grad-match", least, candidates="agreed")
    assert right[found.rows].all()
    assert found.diagnostics["candidates"] == counts
    with pytest.raises(UserError, match=rf"label {least} rows of class .* fewer than dpc {least + 1}; take candidates"):
        engine.distill("grad-match", least + 1, candidates="agreed")


def test_wide_heads_are_projected(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """33 inputs and 3 classes: 99 entries; the projection is the same for all sets."""
    calls = []
    real = grad_match.projected
    monkeypatch.setattr(grad_match, "projected", lambda *args: calls.append(args[1]) or real(*args))
    exact = engine.distill("grad-match", projection=99).rows.tolist()
    assert exact == engine.distill("grad-match", projection=None).rows.tolist()
    assert calls == []
    near = engine.distill("grad-match", projection=98).rows.tolist()
    assert calls == [98] * 3
    assert near == engine.distill("grad-match", projection=98, seed=5).rows.tolist()


def test_they_are_listed_as_scores_of_train_rows() -> None:
    assert set(SPECS) == set(NAMES)
    assert all(spec.selects and spec.tags == ("coreset", "text", "scores") for spec in SPECS.values())
