"""The paper's training recipe (its Appendix C): AdamW, half warm-up, half cosine, 200 steps, the last one counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.learners.train import Schedule, Trainer, spared_by_module


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


def make_trainer(model: nn.Module, recipe: Recipe, steps: int) -> Trainer:
    """The recipe's trainer of what is trainable in a model; the norm sums over what decays first, then the rest."""
    spared = spared_by_module(model)
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return Trainer(
        dict(sorted(named, key=lambda pair: pair[0] in spared)),
        spared,
        Schedule(recipe.learning_rate, steps, recipe.warmup),
        weight_decay=recipe.weight_decay,
        clip=recipe.clip,
    )


def train(
    model: nn.Module,
    logits: Callable[[np.ndarray], Tensor],
    targets: Tensor,
    recipe: Recipe,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Fit the trainable parameters of `model` in place.

    `logits(rows)` gives [len(rows), C] for rows of the set; `targets` is int64 [N], or float32 [N, C] for
    soft labels. A full batch is passed as 0..N-1 in order, since the order of its rows means nothing.
    """
    n = len(targets)
    steps = recipe.total_steps(n)
    trainer = make_trainer(model, recipe, steps)
    for step, rows in enumerate(batches(n, min(recipe.batch, n), steps, rng)):
        trainer.clear()
        wanted = targets if len(rows) == n else targets[torch.from_numpy(rows).to(targets.device)]
        functional.cross_entropy(logits(rows).float(), wanted).backward()
        trainer.step()
        if step % 50 == 49:
            progress(step + 1, steps)
