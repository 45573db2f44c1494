"""The recipe: batches, step counts, the whole of it against torch's own pieces."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from transformers import get_cosine_schedule_with_warmup

from bench.learners.recipe import Recipe, batches, make_trainer, train
from students.params import EncoderParams


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
    trainer = make_trainer(dict(first.named_parameters()), {"bias"}, recipe, 20)

    def loss(rows: np.ndarray) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(first(x[rows]), y[rows])

    train(trainer, loss, 12, recipe, np.random.default_rng(0))
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


def test_the_norm_sums_over_what_decays_first() -> None:
    weights = {name: torch.zeros(2, requires_grad=True) for name in ("a.bias", "a.weight", "b.bias", "b.weight")}
    trainer = make_trainer(weights, {"a.bias", "b.bias"}, Recipe(), 5)
    assert list(trainer.weights) == ["a.weight", "b.weight", "a.bias", "b.bias"]
    decays = [(len(group["params"]), group["weight_decay"]) for group in trainer.optimizer.param_groups]
    assert decays == [(2, 0.01), (2, 0.0)]
