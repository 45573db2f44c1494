"""The recipe: schedule, weight decay groups, batches, step counts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    PretrainedConfig,
    RobertaConfig,
    XLNetConfig,
    get_cosine_schedule_with_warmup,
)

from bench.learners.recipe import Recipe, batches, learning_rate, parameter_groups, train
from students.params import EncoderParams


def test_learning_rate_of_the_paper() -> None:
    rates = [learning_rate(step, 200, 1e-4, 0.5) for step in range(201)]
    assert rates[0] == 0.0
    assert rates[1] == pytest.approx(1e-6)
    assert rates[100] == max(rates) == 1e-4
    assert rates[150] == pytest.approx(0.5e-4)
    assert rates[200] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("steps", "warmup"), [(200, 0.5), (200, 0.0), (7, 0.5), (13, 0.1), (10, 1.0), (1, 0.5)])
def test_learning_rate_equals_transformers(steps: int, warmup: float) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=3e-3)
    schedule = get_cosine_schedule_with_warmup(optimiser, int(warmup * steps), steps)
    for step in range(steps):
        assert learning_rate(step, steps, 3e-3, warmup) == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)
        optimiser.step()
        schedule.step()


SMALL = {"vocab_size": 50, "num_labels": 3}
BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.mark.parametrize(
    "config",
    [
        BertConfig(**SMALL, **BERT),
        RobertaConfig(**SMALL, **BERT),
        XLNetConfig(**SMALL, d_model=16, n_layer=2, n_head=2, d_inner=32),
    ],
    ids=lambda config: config.model_type,
)
def test_biases_and_layer_norms_do_not_decay(config: PretrainedConfig) -> None:
    model = AutoModelForSequenceClassification.from_config(config)
    decayed, spared = parameter_groups(model, 0.01)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    spared_names = {names[id(p)] for p in spared["params"]}
    decayed_names = {names[id(p)] for p in decayed["params"]}
    assert spared_names | decayed_names == set(names.values())
    assert not spared_names & decayed_names
    norms = [f"{name}.{p}" for name, m in model.named_modules() if "layernorm" in type(m).__name__.lower()
             for p, _ in m.named_parameters()]  # fmt: skip
    assert len(norms) >= 4
    assert spared_names >= set(norms)
    assert all(("bias" in name) or (name in norms) for name in spared_names)
    assert not any("bias" in name for name in decayed_names)
    if config.model_type == "xlnet":
        assert any(name.endswith("r_w_bias") for name in spared_names)


def test_frozen_parameters_are_in_no_group() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[0].requires_grad_(False)
    assert sum(len(group["params"]) for group in parameter_groups(model, 0.1)) == 2


@pytest.mark.parametrize("n", [1, 10, 64])
def test_up_to_64_rows_every_step_sees_all(n: int) -> None:
    seen = list(batches(n, min(64, n), 5, np.random.default_rng(0)))
    assert len(seen) == 5
    assert all((rows == np.arange(n)).all() for rows in seen)


def test_larger_sets_are_drawn_by_shuffled_epochs() -> None:
    seen = list(batches(150, 64, 7, np.random.default_rng(3)))
    assert [len(rows) for rows in seen] == [64] * 7
    for first, second in itertools.pairwise(seen[:6]):
        assert not (first == second).all()
    for epoch in range(3):  # two full batches an epoch; the 22 rows left over are dropped
        assert len(np.unique(np.concatenate(seen[2 * epoch : 2 * epoch + 2]))) == 128
    again = list(batches(150, 64, 7, np.random.default_rng(3)))
    assert all((a == b).all() for a, b in zip(seen, again, strict=True))


@pytest.mark.parametrize(("n", "steps"), [(1, 200), (64, 200), (4266, 200), (4267, 201), (67349, 3157)])
def test_min_epochs_matters_only_for_large_sets(n: int, steps: int) -> None:
    assert Recipe().total_steps(n) == steps


def test_recipe_defaults_are_the_students() -> None:
    params, recipe = EncoderParams(), Recipe()
    for name in ("learning_rate", "weight_decay", "warmup", "steps", "min_epochs", "batch", "clip"):
        assert getattr(params, name) == getattr(recipe, name)


def test_train_equals_a_plain_loop() -> None:
    """Against torch's own pieces: AdamW with two groups, transformers' schedule, clipping to 1."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 5, generator=generator) * 10
    y = torch.arange(12) % 3
    first, second = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
    second.load_state_dict(first.state_dict())
    recipe = Recipe(learning_rate=0.05, steps=20)
    train(first, lambda rows: first(x[rows]), y, recipe, np.random.default_rng(0))
    groups = [{"params": [second.weight], "weight_decay": 0.01}, {"params": [second.bias], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=0.05, betas=(0.9, 0.999), fused=False, foreach=False)
    schedule = get_cosine_schedule_with_warmup(optimiser, 10, 20)
    clipped = 0
    for _ in range(20):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(second(x), y).backward()
        clipped += float(torch.nn.utils.clip_grad_norm_(second.parameters(), 1.0)) > 1.0
        optimiser.step()
        schedule.step()
    assert clipped > 0
    torch.testing.assert_close(first.weight, second.weight)
    torch.testing.assert_close(first.bias, second.bias)
