"""The training step against torch's own pieces: schedule, decay, clipping, sums of several backward passes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    PretrainedConfig,
    RobertaConfig,
    XLNetConfig,
    get_cosine_schedule_with_warmup,
)

from bench.learners.train import Schedule, Trainer, spared_by_module, spared_by_shape

STEPS = 12


def test_learning_rate_of_the_paper() -> None:
    rates = [Schedule(1e-4, 200, 0.5).rate(step) for step in range(201)]
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
        assert Schedule(3e-3, steps, warmup).rate(step) == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)
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
    spared_names = spared_by_module(model)
    decayed_names = {name for name, _ in model.named_parameters()} - spared_names
    norms = [f"{name}.{p}" for name, m in model.named_modules() if "layernorm" in type(m).__name__.lower()
             for p, _ in m.named_parameters()]  # fmt: skip
    assert len(norms) >= 4
    assert spared_names >= set(norms)
    assert all(("bias" in name) or (name in norms) for name in spared_names)
    assert not any("bias" in name for name in decayed_names)
    if config.model_type == "xlnet":
        assert any(name.endswith("r_w_bias") for name in spared_names)


def test_tensors_of_one_dimension_do_not_decay() -> None:
    weights = {"table": torch.ones(3, 2), "norm": torch.ones(2), "scale": torch.ones(())}
    assert spared_by_shape(weights) == {"norm", "scale"}


def draw(seed: int, runs: int | None = None) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (7, 5), "b": (5,), "c": (4, 3, 2)}
    lead = () if runs is None else (runs,)
    return {n: torch.randn(*lead, *shape, generator=generator).requires_grad_() for n, shape in shapes.items()}


def loss_of(weights: dict[str, Tensor], step: int, only: str = "abc") -> Tensor:
    """A sum of terms, one a weight, that changes from step to step."""
    return torch.stack(
        [((w - 0.1 * step).square() * 3.0 + w.sin()).sum() for n, w in weights.items() if n in only]
    ).sum()


def make_trainer(weights: dict[str, Tensor], clip: float = 1.0, runs: int | None = None) -> Trainer:
    return Trainer(weights, {"b"}, Schedule(0.05, STEPS, 0.5), weight_decay=0.1, clip=clip, runs=runs)


@pytest.mark.parametrize("clip", [1.0, 1e4], ids=["clipped", "free"])
def test_steps_equal_torchs_own_bit_for_bit(clip: float) -> None:
    """`clip_grad_norm_`, a schedule of transformers and AdamW that keeps its gradient buffers."""
    mine, other = draw(0), draw(0)
    trainer = make_trainer(mine, clip)
    groups = [
        {"params": [other["a"], other["c"]], "weight_decay": 0.1},
        {"params": [other["b"]], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.05, betas=(0.9, 0.999), fused=True)
    schedule = get_cosine_schedule_with_warmup(optimizer, STEPS // 2, STEPS)
    for step in range(STEPS):
        trainer.clear()
        loss_of(mine, step).backward()
        norm = trainer.step()
        optimizer.zero_grad(set_to_none=False)
        loss_of(other, step).backward()
        expected = torch.nn.utils.clip_grad_norm_(other.values(), clip)
        assert torch.equal(norm, expected)
        assert (float(norm) > clip) == (clip == 1.0)
        assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(schedule.get_last_lr()[0], abs=1e-15)
        for group in optimizer.param_groups:
            group["lr"] = trainer.optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()
    assert trainer.done == STEPS
    assert all(torch.equal(mine[name], other[name]) for name in mine)
    assert not torch.equal(mine["a"], draw(0)["a"])


def test_backward_passes_of_a_step_add_up() -> None:
    together, parts = draw(1), draw(1)
    for weights, pieces in ((together, ["abc"]), (parts, ["a", "bc"])):
        trainer = make_trainer(weights)
        for step in range(3):
            trainer.clear()
            for names in pieces:
                loss_of(weights, step, names).backward()
            norm = trainer.clip()
            assert float(norm) > 1.0
            total = torch.stack([w.grad.norm() for w in weights.values()]).norm()  # type: ignore[union-attr]
            assert float(total) == pytest.approx(1.0, rel=1e-5)
            trainer.apply()
    assert all(torch.equal(together[name], parts[name]) for name in together)


def test_gradients_of_one_step_do_not_reach_the_next() -> None:
    """Also where a step's loss does not depend on a weight, which then stays as it is, undecayed."""
    weights = draw(2)
    trainer = make_trainer(weights)
    for _ in range(2):  # the first has step size 0
        trainer.clear()
        loss_of(weights, 0).backward()
        trainer.step()
    before = weights["a"].detach().clone()
    trainer.clear()
    loss_of(weights, 1, "bc").backward()
    trainer.step()
    assert weights["a"].grad is None
    assert torch.equal(weights["a"], before)


def test_a_norm_that_is_not_finite_is_seen_before_the_weights_change() -> None:
    weights = draw(3)
    before = {name: w.detach().clone() for name, w in weights.items()}
    trainer = make_trainer(weights)
    trainer.clear()
    (loss_of(weights, 0) * float("nan")).backward()
    assert not torch.isfinite(trainer.clip())
    assert all(torch.equal(weights[name], before[name]) for name in weights)
    assert trainer.done == 0


def test_stacked_runs_equal_single_ones() -> None:
    """Each with a norm of its own: one is clipped and the other is not. The ends of vectors round otherwise."""
    stacked = draw(4, runs=2)
    with torch.no_grad():
        for w in stacked.values():
            w[1].mul_(0.01)
    singles = [{name: w[run].detach().clone().requires_grad_() for name, w in stacked.items()} for run in range(2)]
    trainers = [make_trainer(weights, clip=40.0) for weights in singles]
    both = make_trainer(stacked, clip=40.0, runs=2)
    for step in range(STEPS):
        both.clear()
        loss_of(stacked, step).backward()
        norms = both.step()
        expected = []
        for weights, trainer in zip(singles, trainers, strict=True):
            trainer.clear()
            loss_of(weights, step).backward()
            expected.append(trainer.step())
        torch.testing.assert_close(norms, torch.stack(expected))
        if step == 1:
            assert norms[0] > 40.0 > norms[1]
    for run, weights in enumerate(singles):
        for name, weight in weights.items():
            torch.testing.assert_close(stacked[name][run], weight, rtol=1e-6, atol=1e-7)
