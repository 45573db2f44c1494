"""The training of a set: its gradient, its restarts, its choice, its failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor
from torch.nn import functional

from bench.api import TrainData, UserError
from bench.learners.learned import group_rows, inner_loss
from bench.learners.seeds import derive
from bench.learners.train import Trainer
from bench.work.context import JobContext
from methods.embedding import train as module
from methods.embedding.learner import Learner, first_vectors
from methods.embedding.params import UnrolledParams
from methods.embedding.train import BEST, OuterSchedule, Real, _step, train
from methods.embedding.variables import Variables
from tests.methods.embedding.conftest import MakeParams

DPC = 2


class Case:
    """A training that has not begun."""

    def __init__(self, data: TrainData, ctx: JobContext, params: UnrolledParams) -> None:
        self.params, self.learner = params, Learner(data, ctx, params)
        vectors = first_vectors(self.learner, data, DPC, ctx, params, 5)
        labels = np.repeat(np.arange(data.info.n_classes), DPC)
        self.variables = Variables(self.learner, vectors, labels, params, 6)
        self.real, self.validation = (
            Real(self.learner.network.shared(split.texts, data.info.fields, ctx).rows, split.labels)
            for split in (data.train, data.validation)
        )

    def train(self, workspace: Path, progress: Any = lambda done, total: None) -> tuple[dict[str, Any], dict[str, Any]]:
        workspace.mkdir(exist_ok=True)
        return train(
            self.variables,
            self.learner,
            self.real,
            self.validation,
            self.params,
            seed=7,
            workspace=workspace,
            progress=progress,
        )


def plain_gradients(case: Case) -> tuple[float, dict[str, Tensor]]:
    """The same step by autograd through everything, from the free numbers on."""
    params, learner, variables = case.params, case.learner, case.variables
    rng = np.random.default_rng(derive(7, "rows", 0))
    rows = np.sort(rng.choice(len(case.real.labels), params.batch, replace=False))
    batch, labels = case.real.batch(learner, rows)
    groups = group_rows(variables.groups, len(variables.labels))
    total = torch.zeros(())
    for net in range(params.nets):
        values = variables.values()
        states = values["states"].unflatten(0, (len(variables.labels), -1))
        theta = learner.start(derive(7, "net", 0, net))
        for t, rate in enumerate(values["step_sizes"]):
            own = torch.from_numpy(groups[t % len(groups)])
            inputs = learner.batch(states[own].flatten(0, 1), len(own))
            attention = values["attention"][own] if "attention" in values else None
            loss = inner_loss(
                learner.network, theta, inputs, values["targets"][own], attention, params.attention_weight
            )
            steps = torch.autograd.grad(loss, list(theta.values()), create_graph=True, allow_unused=True)
            theta = {
                name: w if step is None else w - rate * step
                for (name, w), step in zip(theta.items(), steps, strict=True)
            }
        logits = learner.network.logits(theta, batch, learner.network.dropout())
        total = total + functional.cross_entropy(logits, labels) / params.nets
    found = torch.autograd.grad(total, list(variables.free.values()))
    return total.item(), dict(zip(variables.free, found, strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"space": "words", "start": "noise", "labels": "unrestricted", "groups": None},
        {"attention_labels": "cls", "attention_weight": 0.5, "nets": 2, "groups": 2},
        {"attention_labels": "all", "trainable_layers": 2, "space": "words", "labels": "hard", "groups": 1},
        {"learn_embeddings": False, "scratch": True, "init": "fixed"},
        {"learn_step_sizes": False},
    ],
    ids=str,
)
def test_the_gradient_of_a_step_is_that_of_autograd_through_everything(
    changes: dict[str, Any], data: TrainData, ctx: JobContext, params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(data, ctx, params(**changes))
    loss, expected = plain_gradients(case)
    seen: dict[str, Tensor] = {}

    def look(trainer: Trainer) -> Tensor:
        seen.update({name: w.grad.clone() for name, w in trainer.weights.items() if w.grad is not None})
        return torch.tensor(1.0)

    monkeypatch.setattr(Trainer, "clip", look)
    schedule = OuterSchedule(0.01, 6, 0.1, "linear")
    trainer = Trainer(case.variables.free, set(), schedule, weight_decay=0.0, clip=1.0)
    found = _step(case.variables, case.learner, case.real, case.params, 7, 0, trainer)
    assert found == pytest.approx(loss, rel=1e-5)
    assert seen.keys() == expected.keys()
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        assert scale > 0
        torch.testing.assert_close(seen[name], gradient, rtol=2e-3, atol=2e-4 * scale)


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(
    data: TrainData, ctx: JobContext, params: MakeParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = params(attention_labels="cls")
    whole, report = Case(data, ctx, chosen).train(tmp_path / "whole")
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    for stop in (1, 3, 4):

        def killed(done: int, total: int, stop: int = stop) -> None:
            if done == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Case(data, ctx, chosen).train(tmp_path / "broken", killed)
    again, report_again = Case(data, ctx, chosen).train(tmp_path / "broken")
    assert whole.keys() == again.keys()
    assert all(np.array_equal(whole[name], again[name]) for name in whole)
    assert report["curves"] == report_again["curves"]
    assert len(report["curves"]["loss on real rows"]["x"]) == chosen.outer_steps


def test_the_set_of_the_look_with_the_lowest_validation_loss_is_kept(
    data: TrainData, ctx: JobContext, params: MakeParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([{"loss": 3.0, "accuracy": 0.1}, {"loss": 1.0, "accuracy": 0.2}, {"loss": 2.0, "accuracy": 0.9}])
    arrays: list[dict[str, np.ndarray]] = []

    def look(variables: Variables, *_: Any) -> dict[str, float]:
        arrays.append(variables.arrays())
        return next(losses)

    monkeypatch.setattr(module, "_look", look)
    found, report = Case(data, ctx, params()).train(tmp_path / "work")
    assert report["facts"]["chosen step"] == 4
    assert report["facts"]["validation accuracy"] == 0.2
    assert all(np.array_equal(found[name], arrays[1][name]) for name in found)
    assert not np.array_equal(arrays[1]["inputs_embeds"], arrays[2]["inputs_embeds"])


def test_a_training_that_diverges_says_where_and_leaves_the_best_set(
    data: TrainData, ctx: JobContext, params: MakeParams, tmp_path: Path
) -> None:
    case = Case(data, ctx, params())

    def poison(done: int, total: int) -> None:
        if done == 3:
            with torch.no_grad():
                case.variables.free["step_sizes"].fill_(1e30)

    with pytest.raises(UserError, match=r"step 4 of 6 of the training: .* smaller learning_rate than 0.05") as caught:
        case.train(tmp_path / "work", poison)
    assert "\n" not in str(caught.value)
    assert "the best set so far (step 2)" in str(caught.value)
    kept = load_file(tmp_path / "work" / BEST)
    assert all(np.isfinite(each).all() for each in kept.values())


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1e30, "is (nan|inf) .* or a smaller step_size"),
        (-200.0, "a learned step size fell to 0: .* or a larger step_size"),
    ],
)
def test_a_training_that_diverges_at_once_says_so(
    value: float, said: str, data: TrainData, ctx: JobContext, params: MakeParams, tmp_path: Path
) -> None:
    case = Case(data, ctx, params())
    with torch.no_grad():
        case.variables.free["step_sizes"].fill_(value)
    with pytest.raises(UserError, match=f"step 1 of 6 of the training: .*{said}") as caught:
        case.train(tmp_path / "work")
    assert "best set" not in str(caught.value)


def test_it_learns(data: TrainData, ctx: JobContext, params: MakeParams, tmp_path: Path) -> None:
    """Measured on all rows, with one learner, its loss falls."""
    chosen = params(outer_steps=12, init="fixed", batch=24, learning_rate=0.1, evaluate_every=12)
    _, report = Case(data, ctx, chosen).train(tmp_path / "work")
    losses = report["curves"]["loss on real rows"]["y"]
    assert losses[-1] < 0.9 * losses[0]
    json.dumps(report, allow_nan=False)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]), ("halving", [0.5, 1.0, 1.0, 0.25, 2.0**-5, 2.0**-7])],
)
def test_schedules(shape: str, expected: list[float]) -> None:
    schedule = OuterSchedule(1.0, 6, 0.34, shape)
    assert [schedule.rate(step) for step in range(6)] == pytest.approx(expected)
