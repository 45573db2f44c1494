"""Stage 2: exact gradients, the bookkeeping of Algorithm 1, lock step, resuming, errors."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from bench.api import TrainData, UserError
from bench.learners.seeds import derive
from methods.gen_distill import finetune
from methods.gen_distill.finetune import FineTuning, backward, fine_tune
from methods.gen_distill.generator import Generator, make_generator
from methods.gen_distill.learner import Learner
from methods.gen_distill.lm import train_lm
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.stage1 import train_sequences
from methods.gen_distill.teacher import Teacher
from tests.methods.gen_distill.conftest import MakeContext, MakeParams


@pytest.fixture(autouse=True)
def _checkpoint_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "CHECKPOINT_SECONDS", -1.0)


class Setting:
    """A task, its learner and generators to fine-tune."""

    def __init__(self, data: TrainData, make_context: MakeContext, folder: Path) -> None:
        self.data, self.ctx, self.folder = data, make_context(data), folder
        self.made = 0

    def run(self, params: GenDistillParams, name: str = "") -> FineTuning:
        self.made += 1
        workspace = self.folder / (name or f"run {self.made}")
        workspace.mkdir(exist_ok=True)
        generator = make_generator(params, self.data, self.ctx)
        teacher = Teacher(self.data, self.ctx, params)
        real, _ = train_sequences(generator, params, self.data)
        return FineTuning(generator, teacher, params, self.data.info, real, max_tokens=40, workspace=workspace)

    def learner(self, params: GenDistillParams) -> Learner:
        return Learner(self.data, self.ctx, params)

    def tune(self, *runs: FineTuning, progress: Any = lambda done, total, what: None) -> None:
        fine_tune(runs, self.learner(runs[0].params), progress)


@pytest.fixture
def setting(train_data: TrainData, make_context: MakeContext, tmp_path: Path) -> Setting:
    return Setting(train_data, make_context, tmp_path)


def weights(run: FineTuning) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in run.generator.trained()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def no_dropout(generator: Generator) -> None:
    for module in generator.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def gradients(generator: Generator) -> list[torch.Tensor]:
    return [parameter.grad.clone() for _, parameter in generator.trained() if parameter.grad is not None]


@pytest.mark.parametrize("probability", ["length", "padded"])
def test_the_generators_gradient_is_that_of_autograd_through_the_whole_learner(
    setting: Setting, make_params: MakeParams, probability: str
) -> None:
    p = make_params(probability=probability, learner_dropout=False)
    run, learner = setting.run(p), setting.learner(p)
    no_dropout(run.generator)
    run.generator.train_mode()
    learner.start(3)
    rows = setting.data.class_rows(1)
    texts = {"sentence": [setting.data.train.texts["sentence"][row] for row in rows[:6]]}
    sequences = run.generator.template.encode(texts, ("sentence",), np.ones(6, dtype=np.int64))
    target = learner.real(rows).gradient(torch.full((len(rows),), 1 / len(rows)))
    factors = learner.factors(learner.prepare(texts), np.arange(6), 1)
    loss, _ = backward(run.generator, sequences, target, factors, 3, p, 0, 4096)
    found = gradients(run.generator)

    # The same by autograd: the head alone is differentiated twice, because the encoder below it has no part in it.
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(p.learner)
    model = AutoModelForSequenceClassification.from_pretrained(p.learner, num_labels=3).eval()
    head = [model.classifier.weight, model.classifier.bias]
    with torch.no_grad():
        for mine, drawn in zip(head, learner_head(learner), strict=True):
            mine.copy_(drawn)

    def cross_entropy(some: list[str]) -> torch.Tensor:
        logits = model(**tokenizer(some, padding=True, return_tensors="pt")).logits
        return functional.cross_entropy(logits, torch.ones(len(some), dtype=torch.int64), reduction="none")

    real = torch.autograd.grad(cross_entropy([setting.data.train.texts["sentence"][row] for row in rows]).mean(), head)
    for _, parameter in run.generator.trained():
        parameter.grad = None
    a = torch.softmax(-run.generator.losses(sequences, probability), 0)
    synthetic = torch.autograd.grad((a * cross_entropy(texts["sentence"])).sum(), head, create_graph=True)
    flat = [torch.cat([part.flatten() for part in parts]) for parts in (real, synthetic)]
    expected = 1 - functional.cosine_similarity(*flat, dim=0)
    (expected / 3).backward()
    assert loss == pytest.approx(float(expected.detach()), abs=1e-5)
    for mine, wanted in zip(found, gradients(run.generator), strict=True):
        torch.testing.assert_close(mine, wanted, atol=1e-6, rtol=1e-3)
    assert max(float(part.abs().max()) for part in found) > 1e-4


def learner_head(learner: Learner) -> list[torch.Tensor]:
    """Weight and bias of the learner's classifier."""
    return [learner.weights[f"{learner.head.out}.{kind}"].detach() for kind in ("weight", "bias")]


def test_micro_batches_give_the_whole_batchs_gradient(setting: Setting, make_params: MakeParams) -> None:
    p = make_params(learner_dropout=False, probability="padded")
    run, learner = setting.run(p), setting.learner(p)
    no_dropout(run.generator)
    run.generator.train_mode()
    learner.start(0)
    rows = setting.data.class_rows(0)[:7]
    texts = {"sentence": [setting.data.train.texts["sentence"][row] for row in rows]}
    sequences = run.generator.template.encode(texts, ("sentence",), np.zeros(7, dtype=np.int64))
    target = learner.real(setting.data.class_rows(1)).gradient(torch.full((12,), 1 / 12))
    factors = learner.factors(learner.prepare(texts), np.arange(7), 0)
    found = []
    for micro_tokens in (4096, 100, 1):
        for _, parameter in run.generator.trained():
            parameter.grad = None
        loss, a = backward(run.generator, sequences, target, factors, 3, p, 0, micro_tokens)
        found.append((loss, a, gradients(run.generator)))
    for loss, a, parts in found[1:]:
        assert loss == pytest.approx(found[0][0], abs=1e-6)
        torch.testing.assert_close(a, found[0][1])
        for mine, whole in zip(parts, found[0][2], strict=True):
            torch.testing.assert_close(mine, whole, atol=1e-7, rtol=1e-4)


def test_the_language_model_loss_is_weighed_against_the_matching_loss(
    setting: Setting, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "MICRO_TOKENS", {"cpu": 60})  # several pieces
    found = []
    for weight in (0.0, 0.25):
        run = setting.run(make_params(lm_weight=weight, learner_dropout=False, batch_draw="cycle"))
        no_dropout(run.generator)
        monkeypatch.setattr(run.trainer.optimizer, "step", lambda: None)
        run.trainer.largest = 1e9
        learner = setting.learner(run.params)
        learner.start(0)
        run.sample(0, learner)
        run.step(0, learner, {})
        found.append(gradients(run.generator))
    sequences = [run.real_sequences[row] for row in run.order.rows(0)]
    assert len(sequences) == run.params.lm_batch
    plain = torch.stack([run.generator.losses([sequence], "length")[0] for sequence in sequences]).mean()
    language = torch.autograd.grad(plain, [parameter for _, parameter in run.generator.trained()])
    for both, matching, own in zip(found[1], found[0], language, strict=True):
        torch.testing.assert_close(both, 0.75 * matching + 0.25 * own, atol=1e-6, rtol=1e-4)


def test_steps_on_fixed_texts_lower_the_matching_loss(setting: Setting, make_params: MakeParams) -> None:
    p = make_params(learner_dropout=False)
    run, learner = setting.run(p), setting.learner(p)
    no_dropout(run.generator)
    learner.start(0)
    rows = setting.data.class_rows(0)
    texts = {"sentence": [setting.data.train.texts["sentence"][row] for row in rows]}
    sequences = run.generator.template.encode(texts, ("sentence",), np.zeros(12, dtype=np.int64))
    target = learner.real(setting.data.class_rows(1)).gradient(torch.full((12,), 1 / 12))
    factors = learner.factors(learner.prepare(texts), np.arange(12), 0)
    optimizer = torch.optim.SGD([parameter for _, parameter in run.generator.trained()], lr=0.5)
    losses = []
    for _ in range(6):
        optimizer.zero_grad()
        losses.append(backward(run.generator, sequences, target, factors, 1, p, 0, 4096)[0])
        optimizer.step()
    assert all(after < before for before, after in itertools.pairwise(losses))


def test_counts_of_algorithm_1(setting: Setting, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch) -> None:
    p = make_params(outer_loops=3, inner_loop=2, learner_steps=5, generation_interval=4)
    run, learner = setting.run(p), setting.learner(p)
    counts: Counter[str] = Counter()
    pools = []

    def counting(owner: Any, name: str, key: str) -> None:
        old = getattr(owner, name)

        def new(*args: Any, **named: Any) -> Any:
            counts[key] += args[0] if key == "learner updates" else 1
            return old(*args, **named)

        monkeypatch.setattr(owner, name, new)

    counting(learner, "update", "learner updates")
    counting(learner, "start", "outer loops")
    counting(run.trainer.optimizer, "step", "generator updates")
    counting(run, "sample", "samplings")
    draw = finetune.draw_pools
    monkeypatch.setattr(finetune, "draw_pools", lambda *a, **k: pools.append(draw(*a, **k)) or pools[-1])
    fine_tune([run], learner, lambda done, total, what: None)
    # The K steps after the last inner step reach no gradient; I_int = 4 makes 2 samplings, the last for 2 steps.
    assert counts == {
        "learner updates": 3 * (2 - 1) * 5,
        "outer loops": 3,
        "generator updates": 3 * 2,
        "samplings": 2,
    }
    assert [[len(pool.texts["sentence"]) for pool in found] for found in pools] == [[16] * 3, [8] * 3]
    assert run.outer == 3
    assert np.shape(run.matching) == (6, 3)
    assert 0 <= np.min(run.matching) <= np.max(run.matching) <= 2
    assert 1 <= np.min(run.sizes) <= np.max(run.sizes) <= p.synthetic_batch + 1e-4


def test_lock_step_trains_each_generator_as_if_it_were_alone(setting: Setting, make_params: MakeParams) -> None:
    variants = [
        make_params(),
        make_params(teacher="random"),
        make_params(batch="plain", batch_draw="cycle"),
        make_params(learning_rate=5e-4, synthetic_batch=3, lm_weight=0.3),
    ]
    together = [setting.run(p) for p in variants]
    setting.tune(*together)
    before = weights(setting.run(variants[0]))
    for p, run in zip(variants, together, strict=True):
        assert run.error is None
        alone = setting.run(p)
        setting.tune(alone)
        assert same(weights(run), weights(alone))
        assert run.matching == alone.matching
        assert not same(weights(run), before)
    assert not same(weights(together[0]), weights(together[1]))
    assert not same(weights(together[0]), weights(together[2]))


def test_the_learner_that_clusters_follow_makes_a_difference(setting: Setting, make_params: MakeParams) -> None:
    """With steps that move a learner far enough for other clusters."""
    runs = [setting.run(make_params(batch_learner=each, learner_learning_rate=0.1)) for each in ("reset", "trained")]
    setting.tune(*runs)
    assert not same(*map(weights, runs))


@pytest.mark.parametrize("batch_learner", ["reset", "trained"])
def test_diverse_batches_follow_the_learner_that_the_option_names(
    setting: Setting, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch, batch_learner: str
) -> None:
    p = make_params(batch_learner=batch_learner, outer_loops=5, learner_learning_rate=1e-2)
    run, learner = setting.run(p), setting.learner(p)
    drawn: list[Any] = []
    clustered: list[np.ndarray] = []
    draw, batches = finetune.draw_pools, finetune.diverse_batches
    monkeypatch.setattr(finetune, "draw_pools", lambda *a, **k: drawn.append(draw(*a, **k)) or drawn[-1])
    monkeypatch.setattr(finetune, "diverse_batches", lambda X, *rest: clustered.append(X) or batches(X, *rest))
    fine_tune([run], learner, lambda done, total, what: None)
    assert (len(drawn), len(clustered)) == (3, 3 * 3)  # three classes, before the outer loops 0, 2 and 4
    for number, s in enumerate((0, 2, 4)):
        texts = [learner.prepare(pool.texts) for pool in drawn[number]]
        learner.start(derive(0, "learner", max(s - 1, 0)))
        reset = [learner.features(one) for one in texts]
        learner.update((p.inner_loop - 1) * p.learner_steps)
        trained = [learner.features(one) for one in texts]
        assert not np.allclose(reset[0], trained[0])
        wanted = trained if batch_learner == "trained" and s > 0 else reset
        for found, features in zip(clustered[3 * number : 3 * number + 3], wanted, strict=True):
            np.testing.assert_array_equal(found, features)


@pytest.mark.parametrize("batch_learner", ["trained", pytest.param("reset", marks=pytest.mark.slow)])
def test_a_killed_training_goes_on_to_the_same_weights(
    setting: Setting, make_params: MakeParams, batch_learner: str
) -> None:
    p = make_params(outer_loops=5, lm_weight=0.1, batch_learner=batch_learner, learner_learning_rate=1e-2)
    q = make_params(outer_loops=5, teacher="random", batch_learner=batch_learner, learner_learning_rate=1e-2)
    whole = setting.run(p)
    setting.tune(whole)

    def kill(done: int, total: int, what: str) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        setting.tune(setting.run(p, "kept"), progress=kill)
    again, other = setting.run(p, "kept"), setting.run(q)
    assert again.outer == 2  # the next outer loop samples anew
    setting.tune(again, other)
    assert same(weights(whole), weights(again))
    assert whole.matching == again.matching
    alone = setting.run(q)
    setting.tune(alone)
    assert same(weights(other), weights(alone))


def test_a_generator_that_fails_leaves_the_others_alone(setting: Setting, make_params: MakeParams) -> None:
    bad, good = setting.run(make_params(learning_rate=1e30, warmup=0.0)), setting.run(make_params())
    setting.tune(bad, good)
    assert isinstance(bad.error, UserError)
    assert "choose a smaller learning_rate than 1e+30" in str(bad.error)
    assert good.error is None
    assert good.outer == 3


def test_texts_that_take_more_tokens_than_were_drawn_are_cut(setting: Setting, make_params: MakeParams) -> None:
    p = make_params(outer_loops=1)
    run, learner = setting.run(p), setting.learner(p)
    run.max_tokens = run.generator.context - 8
    learner.start(0)
    run.sample(0, learner)
    run.step(0, learner, {})  # an untrained generator draws broken bytes, which are read back as three tokens each
    longest = max(len(sequence) for own in run.sequences for sequence in own)
    assert longest == run.generator.context


def test_pairs_and_reports(
    pair_data: TrainData, make_context: MakeContext, make_params: MakeParams, tmp_path: Path
) -> None:
    setting = Setting(pair_data, make_context, tmp_path)
    p = make_params(lm_steps=60, lm_learning_rate=1e-2)
    run = setting.run(p)
    texts = run.generator.template.encode(pair_data.train.texts, pair_data.info.fields, pair_data.train.labels)
    train_lm(run.generator, texts, p, seed=0, workspace=tmp_path)  # without it, hardly a sample has two texts
    setting.tune(run)
    assert run.error is None
    report = run.report()
    assert report["facts"]["stage 2, steps"] == 6
    assert report["facts"]["stage 2, texts sampled"] >= 4 * 6 * 2
    assert set(report["curves"]) == {"L_GM, class 0", "L_GM, class 1", "effective sample size of a_i"}
    assert report["curves"]["L_GM, class 0"]["x"] == [1, 2, 3, 4, 5, 6]
