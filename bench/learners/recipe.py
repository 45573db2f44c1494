"""The paper's training recipe (its Appendix C): AdamW, half warm-up, half cosine, 200 steps, the last one counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.data.batching import longest_first
from bench.learners.layers import Weights
from bench.learners.learned import inner_loss
from bench.learners.network import Inputs, Network
from bench.learners.train import Schedule, Trainer

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Recipe:
    """The numbers of the recipe; `bench info encoder` says what each means."""

    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    warmup: float = 0.5
    steps: int = 200
    min_epochs: int = 3
    batch: int = 64
    clip: float = 1.0

    def total_steps(self, n: int) -> int:
        """Steps for a set of n rows: `steps`, or what `min_epochs` passes take when that is more."""
        return max(self.steps, math.ceil(self.min_epochs * n / min(self.batch, n)))


def batches(n: int, size: int, steps: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Row indices of each step: all rows when n <= size, else shuffled epochs whose incomplete end is dropped."""
    if n <= size:
        everything = np.arange(n)
        for _ in range(steps):
            yield everything
        return
    done = 0
    while True:
        order = rng.permutation(n)
        for start in range(0, n - size + 1, size):
            if done == steps:
                return
            yield order[start : start + size]
            done += 1


def make_trainer(
    weights: Weights, spared: Collection[str], recipe: Recipe, steps: int, runs: int | None = None
) -> Trainer:
    """The recipe's trainer; the norm sums over what decays first, then over the rest."""
    return Trainer(
        dict(sorted(weights.items(), key=lambda pair: pair[0] in spared)),
        spared,
        Schedule(recipe.learning_rate, steps, recipe.warmup),
        weight_decay=recipe.weight_decay,
        clip=recipe.clip,
        runs=runs,
    )


def train(
    trainer: Trainer,
    loss: Callable[[np.ndarray], Tensor],
    n: int,
    recipe: Recipe,
    rng: np.random.Generator,
    progress: Progress = lambda done, total: None,
) -> None:
    """Take a new trainer through the recipe, on a set of n rows; `loss(rows)` is that of some of them, a scalar.

    A full batch is passed as 0..n-1 in order: the order of its rows means nothing.
    """
    steps = trainer.schedule.steps
    for step, rows in enumerate(batches(n, min(recipe.batch, n), steps, rng)):
        trainer.clear()
        loss(rows).backward()
        trainer.step()
        if step % 50 == 49:
            progress(step + 1, steps)


def fit(
    network: Network,
    weights: Weights,
    inputs: Inputs,
    targets: Tensor,
    recipe: Recipe,
    drop: Any,
    rng: np.random.Generator,
    progress: Progress = lambda done, total: None,
    runs: int | None = None,
    attention: Tensor | None = None,
    attention_weight: float = 1.0,
) -> None:
    """Train `weights` in place on N prepared inputs. runs: how many are stacked in them. They share their batches.

    targets: int64 [N], or float32 [N, C] for soft labels. attention, attention_weight: attention labels of single runs,
    as of `bench.learners.learned.inner_loss`.
    """
    if runs is not None and attention is not None:
        raise ValueError("attention labels are not known for stacked runs")
    n = len(targets)
    whole = network.batch(inputs, np.arange(n)) if n <= recipe.batch else None
    targets = targets.to(network.device)
    attention = None if attention is None else attention.to(network.device)

    def loss(rows: np.ndarray) -> Tensor:
        batch, wanted = whole or network.batch(inputs, rows), _some(targets, rows)
        if runs is None:
            labels = None if attention is None else _some(attention, rows)
            return inner_loss(network, weights, batch, wanted, labels, attention_weight, drop)
        found = network.logits(weights, batch, drop)
        return torch.stack([functional.cross_entropy(run, wanted) for run in found]).sum()

    train(make_trainer(weights, network.spared, recipe, recipe.total_steps(n), runs), loss, n, recipe, rng, progress)


def _some(values: Tensor, rows: np.ndarray) -> Tensor:
    """Some rows of values; all of them stand in order."""
    return values if len(rows) == len(values) else values[torch.from_numpy(rows).to(values.device)]


@torch.no_grad()
def predict(network: Network, weights: Weights, inputs: Inputs) -> np.ndarray:
    """Logits of prepared inputs without dropout: float32 [N, C], or [runs, N, C]."""
    lengths, drop = inputs.lengths(), network.dropout()
    pieces = longest_first(lengths, network.predict_tokens)
    parts = [network.logits(weights, network.batch(inputs, rows), drop).float().cpu().numpy() for rows in pieces]
    found = np.concatenate(parts, axis=-2)
    return found[..., np.argsort(np.concatenate(pieces)), :]
