"""One training step for all that is trained: AdamW, a schedule, clipping, and which weights decay."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class Schedule:
    """Step sizes of `steps` steps: linear from 0 to `peak` in the first `warmup` of them, then half a cosine."""

    peak: float
    steps: int
    warmup: float

    def rate(self, step: int) -> float:
        """The step size of step 0..steps-1."""
        warm = int(self.warmup * self.steps)
        if step < warm:
            return self.peak * step / warm
        return self.peak * 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, self.steps - warm)))


class Rates(Protocol):
    """Step sizes of a training."""

    @property
    def steps(self) -> int:
        """How many steps it has."""
        ...

    def rate(self, step: int) -> float:
        """The step size of step 0, 1, ..."""
        ...


class Trainer:
    """AdamW over named leaf tensors, which it changes in place.

    A step: `clear`, one or several backward passes that add up their gradients, then `step`; or `clip` and `apply`
    where the norm has to be looked at first. A weight that no backward pass of a step reaches is left as it is.

    weights: name -> leaf tensor that requires a gradient; the norm sums over them in this order.
    spared: names of those that do not decay. clip: largest norm of all gradients together.
    runs: the length of the leading axis of all weights when they are stacked runs, each with a norm of its own.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        spared: Collection[str],
        schedule: Rates,
        *,
        weight_decay: float,
        clip: float,
        runs: int | None = None,
        betas: tuple[float, float] = BETAS,
    ) -> None:
        self.weights, self.schedule, self.largest, self.runs = dict(weights), schedule, clip, runs
        groups = [
            {"params": [w for name, w in self.weights.items() if name not in spared], "weight_decay": weight_decay},
            {"params": [w for name, w in self.weights.items() if name in spared], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True)
        self.done = 0  # steps so far

    def clear(self) -> None:
        """Forget the gradients. A first backward pass then hands over its own buffers instead of adding to others."""
        for weight in self.weights.values():
            weight.grad = None

    def clip(self) -> Tensor:
        """Scale the gradients down to the largest norm; the norm before that, a scalar or [runs]."""
        gradients = [weight.grad for weight in self.weights.values() if weight.grad is not None]
        if self.runs is None:
            return _clip(gradients, self.largest)
        return _clip_runs(gradients, self.largest)

    def apply(self) -> None:
        """One step of AdamW with the schedule's step size and the gradients as they are."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.done)
        self.optimizer.step()
        self.done += 1

    def step(self) -> Tensor:
        """`clip`, then `apply`; the norm before clipping."""
        norm = self.clip()
        self.apply()
        return norm


@torch.no_grad()
def _clip(gradients: list[Tensor], largest: float) -> Tensor:
    """As `torch.nn.utils.clip_grad_norm_`; where the CPU can ask at no cost, nothing is multiplied by one."""
    norm = nn.utils.get_total_norm(gradients)
    scale = torch.clamp(largest / (norm + 1e-6), max=1.0)
    if gradients and (scale.device.type != "cpu" or float(scale) != 1.0):
        torch._foreach_mul_(gradients, scale)
    return norm


@torch.no_grad()
def _clip_runs(gradients: list[Tensor], largest: float) -> Tensor:
    """The same for gradients [runs, ...], each run by its own norm: [runs]."""
    norm = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients]).norm(dim=0)
    scale = torch.clamp(largest / (norm + 1e-6), max=1.0)
    torch._foreach_mul_(gradients, [scale.view(-1, *[1] * (g.ndim - 1)) for g in gradients])
    return norm


def spared_by_module(model: nn.Module) -> set[str]:
    """The students' rule: biases and every norm, whatever their names are, do not decay.

    XLNet's attention has r_w_bias and the like; MPNet's relative_attention_bias.weight is a table and decays. Norms go
    by the name of their class: not all of them are `nn.LayerNorm` (Llama's).
    """
    norms = {
        id(p)
        for module in model.modules()
        if "norm" in type(module).__name__.lower()
        for p in module.parameters(recurse=False)
    }
    return {name for name, parameter in model.named_parameters() if id(parameter) in norms or name.endswith("bias")}


def spared_by_shape(weights: Mapping[str, Tensor]) -> set[str]:
    """The generators' rule: tensors of one dimension, which are biases and the weights of norms, do not decay."""
    return {name for name, weight in weights.items() if weight.ndim < 2}
