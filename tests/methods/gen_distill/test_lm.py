"""Stage 1: one step by hand, resuming, kept states, order of the batches, divergence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import TrainData, UserError
from bench.learners.train import Schedule
from methods.gen_distill import lm
from methods.gen_distill.generator import Generator, make_generator
from methods.gen_distill.lm import Order, evaluate, train_lm
from methods.gen_distill.params import GenDistillParams
from tests.methods.gen_distill.conftest import MakeContext, MakeParams


class Stage:
    """Builds generators of one kind and trains them on one task."""

    def __init__(self, data: TrainData, make_context: MakeContext, params: GenDistillParams) -> None:
        self.data, self.params = data, params
        self.make: Callable[[], Generator] = lambda: make_generator(params, data, make_context(data))

    def sequences(self, generator: Generator) -> list[np.ndarray]:
        return generator.template.encode(self.data.train.texts, self.data.info.fields, self.data.train.labels)


@pytest.fixture(params=["gpt2", "llama, frozen"])
def stage(
    request: pytest.FixtureRequest,
    train_data: TrainData,
    make_context: MakeContext,
    make_params: MakeParams,
    tiny_llama: Path,
) -> Stage:
    changes = {} if request.param == "gpt2" else {"generator": str(tiny_llama), "trainable_layers": 2}
    return Stage(train_data, make_context, make_params(lm_steps=12, **changes))


def folder(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def test_the_loss_falls(stage: Stage, tmp_path: Path) -> None:
    generator = stage.make()
    sequences = stage.sequences(generator)
    before = evaluate(generator, sequences, "length")
    calls: list[tuple[int, int]] = []
    report = train_lm(
        generator,
        sequences,
        stage.params,
        seed=0,
        workspace=tmp_path,
        progress=lambda done, total: calls.append((done, total)),
        validation=sequences[:7],
    )
    assert calls == [(step, 12) for step in range(1, 13)]
    assert evaluate(generator, sequences, "length") < before
    facts, curve = report["facts"], report["curves"]["LM loss"]
    assert facts["stage 1, validation loss"] == pytest.approx(evaluate(generator, sequences[:7], "length"), abs=1e-6)
    assert facts["stage 1, epochs"] == pytest.approx(12 * 8 / 36, abs=0.01)
    assert facts["stage 1, final loss"] == curve["y"][-1] < curve["y"][0]
    assert curve["x"] == list(range(1, 13))


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [1, 7, 12])
def test_a_resumed_training_is_the_uninterrupted_one(
    stage: Stage, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property 19, with dropout: weights and curve bit for bit, whenever it was stopped."""
    whole = stage.make()
    wanted = train_lm(whole, stage.sequences(whole), stage.params, seed=3, workspace=folder(tmp_path, "whole"))

    monkeypatch.setattr(lm, "CHECKPOINT_SECONDS", 0.0)
    workspace = folder(tmp_path, "stopped")

    def stop(done: int, total: int) -> None:
        if done == at:
            raise Killed
        monkeypatch.setattr(lm, "CHECKPOINT_SECONDS", 0.0 if done < 4 else 1e9)  # the last steps are lost

    stopped = stage.make()
    with pytest.raises(Killed):
        train_lm(stopped, stage.sequences(stopped), stage.params, seed=3, workspace=workspace, progress=stop)
    resumed = stage.make()
    done: list[int] = []
    found = train_lm(
        resumed,
        stage.sequences(resumed),
        stage.params,
        seed=3,
        workspace=workspace,
        progress=lambda step, total: done.append(step),
    )
    assert done == list(range({1: 2, 7: 5, 12: 13}[at], 13))
    assert found["curves"] == wanted["curves"]
    assert all(torch.equal(a, b) for a, b in zip(whole.state().values(), resumed.state().values(), strict=True))


def test_another_seed_trains_otherwise(stage: Stage, tmp_path: Path) -> None:
    found = []
    for number, seed in enumerate((0, 0, 1)):
        generator = stage.make()
        workspace = folder(tmp_path, str(number))
        found.append(train_lm(generator, stage.sequences(generator), stage.params, seed=seed, workspace=workspace))
    assert found[0]["curves"] == found[1]["curves"] != found[2]["curves"]


@pytest.mark.parametrize("probability", ["length", "padded"])
def test_one_step_by_hand(
    probability: str,
    train_data: TrainData,
    make_context: MakeContext,
    make_params: MakeParams,
    tiny_llama: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Micro-batches, clipping, decay and warm-up against PyTorch's AdamW on the whole batch."""
    params = make_params(generator=str(tiny_llama), lm_steps=2, lm_warmup=0.5, probability=probability, clip=0.01)
    stage = Stage(train_data, make_context, params)
    monkeypatch.setitem(lm.MICRO_TOKENS, "cpu", 40)
    trained = stage.make()
    sequences = stage.sequences(trained)
    train_lm(trained, sequences, params, seed=5, workspace=tmp_path)

    by_hand = stage.make()
    norms = {name for name, _ in by_hand.trained() if "norm" in name}
    groups = [
        {"params": [p for name, p in by_hand.trained() if (name in norms) == spared], "weight_decay": decay}
        for spared, decay in ((False, params.weight_decay), (True, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.999), fused=False)
    order = Order(len(sequences), 8, 5)
    for step in range(2):
        optimizer.zero_grad()
        batch = [sequences[row] for row in order.rows(step)]
        by_hand.losses(batch, probability).mean().backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in by_hand.trained()], 0.01)
        for group in optimizer.param_groups:
            group["lr"] = Schedule(params.lm_learning_rate, 2, 0.5).rate(step)
        optimizer.step()
    start = stage.make().state()
    for (name, ours), (_, theirs) in zip(trained.trained(), by_hand.trained(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5, msg=name)
        assert not torch.equal(ours, start[name]), name


def test_kept_states_change_nothing(
    train_data: TrainData,
    make_context: MakeContext,
    make_params: MakeParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(train_data, make_context, make_params(lm_steps=10, trainable_layers=1))
    found = []
    for kept in (True, False):
        monkeypatch.setattr(lm, "STATES_BYTES", 1 << 30 if kept else 0)
        workspace = folder(tmp_path, str(kept))
        generator = stage.make()
        report = train_lm(generator, stage.sequences(generator), stage.params, seed=0, workspace=workspace)
        assert (workspace / "lower_states.npy").exists() == kept
        losses = generator.losses(stage.sequences(generator), "length").tolist()
        found.append([*report["curves"]["LM loss"]["y"], *losses])
    assert found[0] == pytest.approx(found[1], abs=1e-5)


def test_states_are_not_kept_for_a_single_pass(
    train_data: TrainData, make_context: MakeContext, make_params: MakeParams, tmp_path: Path
) -> None:
    stage = Stage(train_data, make_context, make_params(lm_steps=4, trainable_layers=1))
    generator = stage.make()
    workspace = folder(tmp_path, "work")
    train_lm(generator, stage.sequences(generator), stage.params, seed=0, workspace=workspace)
    assert [path.name for path in workspace.iterdir()] == ["checkpoint.safetensors"]


@pytest.mark.parametrize(("n", "batch"), [(10, 3), (9, 3), (4, 4), (1, 1)])
def test_order(n: int, batch: int) -> None:
    """Epochs of different batches; any step can be asked for in any order."""
    order = Order(n, batch, 0)
    per_epoch = n // batch
    epochs = []
    for epoch in range(3):
        rows = np.concatenate([order.rows(epoch * per_epoch + place) for place in range(per_epoch)])
        assert len(set(rows.tolist())) == len(rows) == per_epoch * batch
        epochs.append(rows.tolist())
    assert order.rows(0).tolist() == epochs[0][:batch]
    assert n == 1 or epochs[0] != epochs[1] != epochs[2]
    other = Order(n, batch, 1)
    assert n == 1 or np.concatenate([other.rows(place) for place in range(per_epoch)]).tolist() != epochs[0]


def test_divergence_is_a_line(
    train_data: TrainData, make_context: MakeContext, make_params: MakeParams, tmp_path: Path
) -> None:
    stage = Stage(train_data, make_context, make_params(lm_learning_rate=1e30, lm_warmup=0.0, lm_steps=8))
    generator = stage.make()
    said = r"\(stage 1\) gave NaN or infinity at step 2 of 8: choose a smaller lm_learning_rate than 1e\+30"
    workspace = folder(tmp_path, "work")
    with pytest.raises(UserError, match=said):
        train_lm(generator, stage.sequences(generator), stage.params, seed=0, workspace=workspace)
    assert list(workspace.iterdir()) == []
