"""The training of an embedding-level set: unroll a learner on it, measure it on real rows, and go back through it all.

What a step reads and draws depends on its number and the seed alone, so a training that was stopped goes on from its
checkpoint as if it had not been. Looks at validation rows train learners by the set's own steps, as students do; the
set of the look with the lowest loss is kept (the public codes choose so on the rows that they report).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor
from torch.nn import functional

from bench.api import Embeddings, UserError
from bench.learners.checkpoint import load_checkpoint, save_checkpoint
from bench.learners.embedded import inputs_of
from bench.learners.learned import group_rows, inner_loss, learned_sgd
from bench.learners.packed import Packed
from bench.learners.recipe import predict
from bench.learners.seeds import derive
from bench.learners.train import Trainer
from bench.learners.unroll import Diverged, Tensors, unrolled_gradients
from methods.embedding.learner import Learner
from methods.embedding.params import UnrolledParams
from methods.embedding.variables import Variables

BEST = "best.safetensors"
CHECKPOINT_SECONDS = 20.0  # between checkpoints where there is no look
HALVINGS = 10  # of schedule=halving: every 40 of 400 epochs in the code of Wang et al.

Progress = Callable[[int, int], None]


class Vanished(Diverged):
    """A learned step size came down to 0."""


@dataclass(frozen=True)
class Real:
    """Rows of a split as the learner reads them: row indices -> hidden states; and their labels, int64 [n]."""

    read: Callable[[np.ndarray], Packed]
    labels: np.ndarray

    def batch(self, learner: Learner, rows: np.ndarray) -> tuple[Any, Tensor]:
        """Some of the rows on the learner's device."""
        return self.read(rows).batch(learner.device), torch.from_numpy(self.labels[rows]).to(learner.device)


@dataclass(frozen=True)
class OuterSchedule:
    """Step sizes of the training: linear from 0 to `peak` in the first part of the steps, then down by `shape`."""

    peak: float
    steps: int
    warmup: float
    shape: str  # linear, cosine, halving

    def rate(self, step: int) -> float:
        """The step size of step 0..steps-1; the first one of a warm-up is not 0."""
        warm = int(self.warmup * self.steps)
        if step < warm:
            return self.peak * (step + 1) / warm
        part = (step - warm) / max(1, self.steps - warm)
        if self.shape == "halving":
            return self.peak * 0.5 ** int(HALVINGS * part)
        return self.peak * (1.0 - part if self.shape == "linear" else 0.5 * (1.0 + math.cos(math.pi * part)))


def train(
    variables: Variables,
    learner: Learner,
    real: Real,
    validation: Real,
    params: UnrolledParams,
    *,
    seed: int,
    workspace: Path,
    progress: Progress = lambda done, total: None,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of the best look, and the report's facts and curves.

    workspace: a folder for checkpoints; what an earlier call of the same training left there is taken up. Raises
    Diverged where an unroll or a gradient leaves the finite numbers; the best set so far stays in the workspace then.
    """
    started, steps = time.perf_counter(), params.outer_steps
    trainer = Trainer(
        variables.free,
        set(variables.free),
        OuterSchedule(params.learning_rate, steps, params.warmup, params.schedule),
        weight_decay=0.0,
        clip=math.inf if params.clip is None else params.clip,
        betas=(params.beta1, 0.999),
    )
    numbers = load_checkpoint(workspace, trainer) or {"losses": [], "looks": [], "seconds": 0.0}
    losses, looks = numbers["losses"], numbers["looks"]
    saved = time.monotonic()
    for step in range(trainer.done, steps):
        look = None
        try:
            losses.append(_step(variables, learner, real, params, seed, step, trainer))
            if (step + 1) % params.evaluate_every == 0 or step + 1 == steps:
                look = _look(variables, learner, validation, params, seed)
        except Diverged as error:
            raise _explained(error, step, steps, params, looks, workspace) from error
        if look is not None:
            if not looks or look["loss"] < min(each["loss"] for each in looks):
                _save(workspace / BEST, variables.arrays())
            looks.append({"step": step + 1, **look})
        if look is not None or time.monotonic() - saved > CHECKPOINT_SECONDS:
            numbers = {"losses": losses, "looks": looks, "seconds": numbers["seconds"] + time.perf_counter() - started}
            save_checkpoint(workspace, trainer, numbers)
            started, saved = time.perf_counter(), time.monotonic()
        progress(step + 1, steps)
    arrays = load_file(workspace / BEST)
    return arrays, _report(losses, looks, arrays["step_sizes"], numbers["seconds"])


def _step(
    variables: Variables,
    learner: Learner,
    real: Real,
    params: UnrolledParams,
    seed: int,
    step: int,
    trainer: Trainer,
) -> float:
    """One step of the training; the mean loss of the learners on the real rows."""
    rng = np.random.default_rng(derive(seed, "rows", step))
    rows = rng.choice(len(real.labels), min(params.batch, len(real.labels)), replace=False)
    batch, labels = real.batch(learner, np.sort(rows))
    values = variables.values()
    step_sizes = values.pop("step_sizes")
    _positive(step_sizes)
    names, given = list(values), [value.detach() for value in values.values()]
    groups = [torch.from_numpy(each).to(learner.device) for each in group_rows(variables.groups, len(variables.labels))]
    total, loss = [torch.zeros_like(each) for each in (*given, step_sizes)], 0.0
    for net in range(params.nets):
        theta = learner.start(derive(seed, "net", step, net))

        def inner(current: Tensors, x: Tensors, t: int, theta: dict[str, Tensor] = theta) -> Tensor:
            of, rows = dict(zip(names, x, strict=True)), groups[t % len(groups)]
            whole = len(groups) == 1
            part = {name: each if whole else each[rows] for name, each in of.items() if name != "states"}
            states = (
                of["states"] if whole else of["states"].unflatten(0, (len(variables.labels), -1))[rows].flatten(0, 1)
            )
            weights = dict(zip(theta, current, strict=True))
            inputs = learner.batch(states, len(rows))
            attention = part.get("attention")
            return inner_loss(learner.network, weights, inputs, part["targets"], attention, params.attention_weight)

        def outer(current: Tensors, theta: dict[str, Tensor] = theta) -> Tensor:
            weights = dict(zip(theta, current, strict=True))
            return functional.cross_entropy(learner.network.logits(weights, batch, learner.network.dropout()), labels)

        found = unrolled_gradients(list(theta.values()), given, step_sizes, inner, outer)
        loss += found.loss / params.nets
        for own, more in zip(total, (*found.variables, found.step_sizes), strict=True):
            own += more / params.nets
    trainer.clear()
    pairs = [(v, g) for v, g in zip((*values.values(), step_sizes), total, strict=True) if v.requires_grad]
    torch.autograd.backward([value for value, _ in pairs], [gradient for _, gradient in pairs])
    if not math.isfinite(float(trainer.clip())):
        raise Diverged("the gradient of the unrolled training is not finite")
    trainer.apply()
    return loss


def _look(
    variables: Variables, learner: Learner, validation: Real, params: UnrolledParams, seed: int
) -> dict[str, float]:
    """Mean loss and accuracy, on validation rows, of learners that were trained by the set's own steps."""
    _positive(variables.values()["step_sizes"])
    embeddings = as_embeddings(variables.arrays(), variables, learner, params)
    inputs = learner.network.prepare(inputs_of(embeddings))
    rows = validation.read(np.arange(len(validation.labels)))
    labels, losses, right = torch.from_numpy(validation.labels), [], []
    for net in range(params.validation_nets):
        weights = learned_sgd(learner.network, learner.start(derive(seed, "validation", net)), inputs, embeddings)
        logits = torch.from_numpy(predict(learner.network, weights, rows))
        losses.append(float(functional.cross_entropy(logits, labels)))
        right.append(float((logits.argmax(1) == labels).float().mean()))
    if not math.isfinite(sum(losses)):
        raise Diverged("a learner that was trained by the set's steps gives no finite loss on validation rows")
    return {"loss": float(np.mean(losses)), "accuracy": float(np.mean(right))}


def _positive(step_sizes: Tensor) -> None:
    """Raise Vanished where softplus has come down to 0: such a step would teach nothing for ever."""
    if not bool((step_sizes > 0).all()):
        raise Vanished(f"a learned step size fell to {float(step_sizes.detach().min()):g}")


def as_embeddings(
    arrays: dict[str, Any], variables: Variables, learner: Learner, params: UnrolledParams, **more: Any
) -> Embeddings:
    """Trained arrays as a set's embeddings."""
    n, positions = arrays["inputs_embeds"].shape[:2]
    return Embeddings(
        attention_mask=np.ones((n, positions), np.int64),
        encoder=params.encoder,
        layer=learner.layer,
        unrestricted=params.labels == "unrestricted",
        groups=variables.groups if variables.groups.any() else None,
        attention_weight=params.attention_weight,
        head_seed=learner.seed,
        scratch=params.scratch,
        trained_layers=len(learner.network.layers),
        **arrays,
        **more,
    )


def _save(file: Path, arrays: dict[str, np.ndarray]) -> None:
    part = file.with_suffix(".part")
    save_file({name: np.ascontiguousarray(each) for name, each in arrays.items()}, part)
    os.replace(part, file)


def _explained(
    error: Diverged, step: int, steps: int, params: UnrolledParams, looks: list[dict[str, Any]], workspace: Path
) -> UserError:
    kept = ""
    if looks:
        best = min(looks, key=lambda each: each["loss"])["step"]
        kept = f"; the arrays of the best set so far (step {best}) are in {workspace / BEST}"
    other = "larger" if isinstance(error, Vanished) else "smaller"
    return UserError(
        f"step {step + 1} of {steps} of the training: {error}: choose a smaller learning_rate than "
        f"{params.learning_rate:g} or a {other} step_size than {params.step_size:g}{kept}"
    )


def _report(losses: list[float], looks: list[dict[str, Any]], step_sizes: np.ndarray, seconds: float) -> dict[str, Any]:
    best = min(looks, key=lambda each: each["loss"])
    at = [each["step"] for each in looks]
    return {
        "facts": {
            "steps": len(losses),
            "chosen step": best["step"],
            "chosen on": "loss on validation rows",
            "validation accuracy": round(best["accuracy"], 6),
            "validation loss": round(best["loss"], 6),
            "step sizes": ", ".join(f"{each:.4g}" for each in step_sizes),
            "seconds": round(seconds, 1),
        },
        "curves": {
            "loss on real rows": {"x": list(range(1, len(losses) + 1)), "y": [round(each, 6) for each in losses]},
            "validation loss": {"x": at, "y": [round(each["loss"], 6) for each in looks]},
            "validation accuracy": {"x": at, "y": [round(each["accuracy"], 6) for each in looks]},
        },
    }
