"""The paper's training recipe (its Appendix C): AdamW, half warm-up, half cosine, 200 steps, the last one counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

BETAS = (0.9, 0.999)


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


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """The step size of step 0..steps-1: linear from 0 to `peak` in `warmup * steps` steps, then half a cosine."""
    warm = int(warmup * steps)
    if step < warm:
        return peak * step / warm
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Two groups for AdamW: weights with decay; biases and every LayerNorm without, whatever their names are."""
    norms = {id(p) for module in model.modules() if isinstance(module, nn.LayerNorm) for p in module.parameters()}
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            spared = id(parameter) in norms or name.endswith("bias")  # XLNet's attention has r_w_bias and the like
            (plain if spared else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


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
    groups = parameter_groups(model, recipe.weight_decay)
    parameters = [p for group in groups for p in group["params"]]
    optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=BETAS, fused=True)
    for step, rows in enumerate(batches(n, min(recipe.batch, n), steps, rng)):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, recipe.learning_rate, recipe.warmup)
        optimiser.zero_grad(set_to_none=False)  # the buffers are as large as the weights: keep them
        wanted = targets if len(rows) == n else targets[torch.from_numpy(rows).to(targets.device)]
        functional.cross_entropy(logits(rows).float(), wanted).backward()
        nn.utils.clip_grad_norm_(parameters, recipe.clip)
        optimiser.step()
        if step % 50 == 49:
            progress(step + 1, steps)
