"""The best of random sets: their scores by an independent loop, a good set that is planted, and what is never read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from bench.api import Split, TrainData
from bench.learners.bert import BertNetwork
from bench.testing import check_method
from methods.baselines.best_of_random import BestOfRandom, how_many
from methods.baselines.params import BestOfRandomParams
from methods.baselines.parts import ranking_part
from methods.baselines.ranking import draw_candidates, load_ranking, rank
from methods.baselines.spec import specs
from tests.methods.baselines.conftest import MakeContext

SPEC = next(spec for spec in specs() if spec.name == "best-of-random")


@pytest.fixture
def params(tiny: Mapping[str, Any]) -> BestOfRandomParams:
    return BestOfRandomParams(encoder=tiny["encoder"], candidates=10, nets=2, steps=3, learning_rate=3e-3, keep=0.3)


def test_conformance(params: BestOfRandomParams) -> None:
    changes = params.model_dump(include={"encoder"}) | {"candidates": 3, "steps": 1, "nets": 1, "keep": 1.0}
    check_method(SPEC, changes, dpc=(2,))


def test_candidates_are_random_rows_of_each_class(data: TrainData, make_context: MakeContext) -> None:
    found = draw_candidates(data, 2, 300, make_context(data, 1))
    assert found.shape == (300, 6)
    assert (data.train.labels[found] == [0, 0, 1, 1, 2, 2]).all()
    assert all(len(set(rows)) == 6 for rows in found.tolist())
    shares = np.bincount(found.ravel(), minlength=28) / 300
    for label, size in enumerate((9, 12, 7)):
        assert np.abs(shares[data.class_rows(label)] - 2 / size).max() < 5 * np.sqrt(2 / size / 300)


def test_scores_are_those_of_learners_trained_by_transformers(
    data: TrainData, make_context: MakeContext, network: BertNetwork, params: BestOfRandomParams
) -> None:
    """Recomputed by one's own loop of torch's AdamW on the whole model, with the same heads and train rows."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_cosine_schedule_with_warmup

    from bench.learners.seeds import derive

    params = params.model_copy(update={"score_rows": 12, "nets": 1})
    ctx = make_context(data, 1)
    candidates = draw_candidates(data, 2, 2, ctx)
    ranking = rank(network, candidates, data.info, data.train, params, ctx)
    scored = np.sort(ctx.rng("score rows").permutation(28)[:12])
    tokenizer = AutoTokenizer.from_pretrained(params.encoder)
    for rows, accuracy, loss in zip(ranking.rows, ranking.accuracy, ranking.loss, strict=True):
        model = AutoModelForSequenceClassification.from_pretrained(params.encoder, num_labels=3).eval()
        seed = derive(ctx.derive("net", 0), "head")
        start = network.initial(torch.Generator().manual_seed(seed))
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.requires_grad_(name in start)
                weight.copy_(start.get(name, weight))
        spared = [w for name, w in model.named_parameters() if name in network.spared]
        others = [w for name, w in model.named_parameters() if name in start and name not in network.spared]
        groups = [{"params": others, "weight_decay": 0.01}, {"params": spared, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=params.learning_rate)
        schedule = get_cosine_schedule_with_warmup(optimizer, params.steps // 2, params.steps)

        def logits(of: np.ndarray, model: Any = model) -> torch.Tensor:
            texts = [data.train.texts["text"][row] for row in of]
            return model(**tokenizer(texts, padding=True, return_tensors="pt")).logits

        for _ in range(params.steps):
            optimizer.zero_grad()
            functional.cross_entropy(logits(rows), torch.tensor(data.train.labels[rows])).backward()
            torch.nn.utils.clip_grad_norm_([*others, *spared], 1.0)
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            found, wanted = logits(scored), torch.tensor(data.train.labels[scored])
        assert accuracy == pytest.approx(float((found.argmax(1) == wanted).float().mean()), abs=1e-6)
        assert loss == pytest.approx(float(functional.cross_entropy(found, wanted)), abs=2e-3)
    assert ranking.loss[0] != ranking.loss[1]


def test_those_kept_have_the_best_scores_and_each_of_them_is_picked(
    data: TrainData, make_context: MakeContext, params: BestOfRandomParams
) -> None:
    ranking = load_ranking(make_context(data).part(ranking_part(params, 2)))
    order = sorted(zip(-ranking.accuracy, ranking.loss, strict=True))
    assert list(zip(-ranking.accuracy, ranking.loss, strict=True)) == order
    assert len({tuple(rows) for rows in ranking.rows.tolist()}) == 10
    assert ranking.accuracy[0] > ranking.accuracy[-1]
    sets = [BestOfRandom(params).distill(data, 2, make_context(data, seed)) for seed in range(30)]
    kept = {tuple(rows) for rows in ranking.rows[:3].tolist()}
    assert {tuple(found.rows.tolist()) for found in sets} == kept
    for found in sets:
        known = found.diagnostics
        assert (known["kept"], known["candidates"], known["chosen_on"]) == (3, 10, "train")
        assert tuple(found.rows.tolist()) == tuple(ranking.rows[known["rank"] - 1].tolist())
        assert known["train_accuracy"] >= ranking.accuracy[2] - 1e-6


def test_how_many_are_kept() -> None:
    cases = [(0.2, 50), (0.2, 15), (0.29, 100), (0.01, 4), (1.0, 4), (0.5, 5)]
    assert [how_many(*case) for case in cases] == [10, 3, 29, 1, 4, 2]


def test_a_planted_good_set_wins(
    data: TrainData, make_context: MakeContext, network: BertNetwork, params: BestOfRandomParams
) -> None:
    """All candidates but one have the labels of two classes exchanged."""
    labels = data.train.labels.copy()
    first, second = (rows[:3] for rows in (data.class_rows(0), data.class_rows(1)))
    labels[first], labels[second] = 1, 0
    train = Split(data.train.texts, labels)
    right = np.concatenate([data.class_rows(0)[3:5], data.class_rows(1)[3:5], data.class_rows(2)[:2]])
    rng = np.random.default_rng(0)
    wrong = [
        np.concatenate([rng.permutation(second)[:2], rng.permutation(first)[:2], data.class_rows(2)[2:4]])
        for _ in range(3)
    ]
    assert (train.labels[wrong[0]] == [0, 0, 1, 1, 2, 2]).all()
    chosen = params.model_copy(update={"steps": 12})
    ranking = rank(network, np.array([*wrong, right]), data.info, train, chosen, make_context(data))
    assert ranking.rows[0].tolist() == right.tolist()
    assert ranking.accuracy[0] > ranking.accuracy[1]


def test_validation_rows_are_never_read(
    data: TrainData, make_context: MakeContext, network: BertNetwork, params: BestOfRandomParams
) -> None:
    class Closed:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"validation.{name} is read")

    closed: Any = Closed()
    ctx = make_context(data)
    expected = draw_candidates(data, 2, 3, ctx)
    found = draw_candidates(replace(data, validation=closed), 2, 3, ctx)
    np.testing.assert_array_equal(found, expected)
    ctx.data = None  # nor through the context
    assert len(rank(network, found, data.info, data.train, params, ctx).rows) == 3


def test_the_ranking_follows_dpc_and_not_what_is_kept_of_it(params: BestOfRandomParams) -> None:
    assert SPEC.parts(params, 2, 7) == SPEC.parts(params.model_copy(update={"keep": 0.5}), 2, 8)
    assert SPEC.parts(params, 2, 7) != SPEC.parts(params, 3, 7)
    assert SPEC.parts(params, 2, 7) != SPEC.parts(params.model_copy(update={"pool_seed": 1}), 2, 7)
