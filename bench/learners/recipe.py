"""The paper's training recipe (its Appendix C): AdamW, half warm-up, half cosine, 200 steps, the last one counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
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
Order = np.random.Generator | Sequence[np.random.Generator]  # of a run, or one for each stacked run


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


def orders(n: int, size: int, steps: int, rng: Order) -> Iterator[np.ndarray]:
    """`batches` of a run; of stacked runs [runs, size], each run's as alone, or all rows in order for all of them."""
    if isinstance(rng, np.random.Generator):
        return batches(n, size, steps, rng)
    if n <= size:
        return batches(n, size, steps, rng[0])  # which draws nothing
    return map(np.stack, zip(*(batches(n, size, steps, own) for own in rng), strict=True))


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
    rng: Order,
    progress: Progress = lambda done, total: None,
) -> None:
    """Take a new trainer through the recipe, on a set of n rows; `loss(rows)` is that of some of them, a scalar.

    A full batch is passed as 0..n-1 in order: the order of its rows means nothing.
    """
    steps = trainer.schedule.steps
    for step, rows in enumerate(orders(n, min(recipe.batch, n), steps, rng)):
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
    rng: Order,
    progress: Progress = lambda done, total: None,
    attention: Tensor | None = None,
    attention_weight: float = 1.0,
) -> None:
    """Train `weights` in place on N prepared inputs.

    targets: int64 [N], or float32 [N, C] for soft labels. rng: draws the order of the rows; a generator for each run
    where `weights` are stacked, which then train as each would alone. attention, attention_weight: attention labels of
    single runs, as of `bench.learners.learned.inner_loss`.
    """
    runs = None if isinstance(rng, np.random.Generator) else len(rng)
    if runs is not None and attention is not None:
        raise ValueError("attention labels are not known for stacked runs")
    n = len(targets)
    weights, inputs, widen = network.narrow(weights, inputs)
    whole = network.batch(inputs, np.arange(n)) if n <= recipe.batch else None
    targets = targets.to(network.device)
    attention = None if attention is None else attention.to(network.device)

    def loss(rows: np.ndarray) -> Tensor:
        batch, wanted = whole or network.batch(inputs, rows), _some(targets, rows)
        if runs is None:
            labels = None if attention is None else _some(attention, rows)
            return inner_loss(network, weights, batch, wanted, labels, attention_weight, drop)
        found = network.logits(weights, batch, drop)
        if rows.ndim == 1:
            wanted = wanted.expand(runs, *wanted.shape)
        return runs * functional.cross_entropy(found.flatten(0, 1), wanted.flatten(0, 1))  # the sum of their means

    trainer = make_trainer(weights, network.spared, recipe, recipe.total_steps(n), runs)
    train(trainer, loss, n, recipe, rng, progress)
    rates = map(trainer.schedule.rate, range(trainer.schedule.steps))
    widen(math.prod(1.0 - rate * recipe.weight_decay for rate in rates))


def _some(values: Tensor, rows: np.ndarray) -> Tensor:
    """Some rows of values; all of them stand in order."""
    if rows.ndim == 1 and len(rows) == len(values):
        return values
    return values[torch.from_numpy(rows).to(values.device)]


@torch.no_grad()
def predict(network: Network, weights: Weights, inputs: Inputs) -> np.ndarray:
    """Logits of prepared inputs without dropout: float32 [N, C], or [runs, N, C]."""
    lengths, drop = inputs.lengths(), network.dropout()
    pieces = longest_first(lengths, network.predict_tokens)
    parts = [network.logits(weights, network.batch(inputs, rows), drop).float().cpu().numpy() for rows in pieces]
    found = np.concatenate(parts, axis=-2)
    return found[..., np.argsort(np.concatenate(pieces)), :]
