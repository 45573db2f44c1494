"""Gradients through gradient descent: of a loss after T steps, with respect to what the steps were taken on.

theta_{t+1} = theta_t - eta_t * g_t with g_t = d inner(theta_t, x, t) / d theta (Wang et al. 2018, Algorithm 1). Reverse
mode by hand: with lambda_T = d outer(theta_T) / d theta, one step back is

    d eta_t = -<lambda_{t+1}, g_t>
    d x    += d <g_t, -eta_t lambda_{t+1}> / d x          both by one product with second derivatives, for which
    lambda_t = lambda_{t+1} + d <g_t, -eta_t lambda_{t+1}> / d theta      the graph of that step alone is made again

so memory holds one step's graph, however long the unroll is, and at most about 2 sqrt(T) copies of theta: between those
that are kept, the steps are taken once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.api import UserError

ALL_KEPT = 8  # steps up to which every theta is kept; of more, about one in sqrt(T)

Tensors = Sequence[Tensor]
Inner = Callable[[Tensors, Tensors, int], Tensor]  # (theta, x, t) -> loss of step t
Steps = Sequence[Tensor | None]  # gradients; None: the loss does not depend on that weight
Outer = Callable[[Tensors], Tensor]  # theta_T -> loss


class Diverged(UserError):
    """An unroll left the finite numbers."""


@dataclass(frozen=True)
class Unrolled:
    """A loss after T steps and its gradients, each of the shape of what it belongs to."""

    loss: float
    variables: tuple[Tensor, ...]
    step_sizes: Tensor  # [T]
    inner: tuple[float, ...]  # loss of each step before it was taken, [T]


def unrolled_gradients(theta: Tensors, variables: Tensors, step_sizes: Tensor, inner: Inner, outer: Outer) -> Unrolled:
    """Take T = len(step_sizes) steps from theta and go back through them.

    theta, variables: what g and its derivatives are taken of; they are not changed. step_sizes: [T]. Both losses must
    be twice differentiable; they are called with leaf tensors. Raises Diverged where a loss is not finite.
    """
    rates = step_sizes.detach().tolist()
    x, total = [_leaf(each) for each in variables], len(rates)
    kept, losses = {0: [_leaf(each) for each in theta]}, []
    spacing = 1 if total <= ALL_KEPT else math.isqrt(total - 1) + 1
    here = kept[0]
    steps: Steps = ()
    for t in range(total):
        last = t + 1 == total  # the first one to go back through: its graph is kept for that
        loss = inner(here, x if last else _plain(x), t)
        losses.append(_finite(loss, t, rates))
        steps = torch.autograd.grad(loss, here, create_graph=last, allow_unused=True)
        here = _moved(here, steps, rates[t])
        if (t + 1) % spacing == 0 or t + 2 >= total:  # the kept graph is of the last theta before the end
            kept[t + 1] = here
    loss = outer(here)
    reached = _finite(loss, total, rates)
    back = list(torch.autograd.grad(loss, here, allow_unused=True, materialize_grads=True))  # lambda
    del kept[total], here, loss
    to_x = [torch.zeros_like(each) for each in x]
    to_rates = torch.zeros_like(step_sizes)
    for t in reversed(range(total)):
        if t not in kept:  # walk again from the copy before it
            for before in range(t - t % spacing, t):
                loss = inner(kept[before], _plain(x), before)
                again = torch.autograd.grad(loss, kept[before], allow_unused=True)
                kept[before + 1] = _moved(kept[before], again, rates[before])
        here = kept.pop(t)
        if t + 1 < total:
            steps = torch.autograd.grad(inner(here, x, t), here, create_graph=True, allow_unused=True)
        used, along = zip(
            *((step, one) for step, one in zip(steps, back, strict=True) if step is not None), strict=True
        )
        for one, each in zip(along, used, strict=True):
            to_rates[t] -= torch.dot(one.flatten(), each.detach().flatten())
        wanted = [*here, *x] if t else x  # nobody asks how the loss depends on theta_0
        found = torch.autograd.grad(used, wanted, along, allow_unused=True)
        del steps, used, along
        with torch.no_grad():
            for own, more in zip((*back, *to_x) if t else to_x, found, strict=True):
                if more is not None:
                    own.sub_(more, alpha=rates[t])
    return Unrolled(reached, tuple(to_x), to_rates, tuple(losses))


@torch.no_grad()
def _moved(theta: Tensors, steps: Steps, rate: float) -> list[Tensor]:
    """theta - rate * steps as new leaves, where there is a step."""
    return [
        _leaf(each if step is None else torch.sub(each, step, alpha=rate))
        for each, step in zip(theta, steps, strict=True)
    ]


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_()


def _plain(tensors: Tensors) -> list[Tensor]:
    return [each.detach() for each in tensors]


def _finite(loss: Tensor, step: int, rates: Sequence[float]) -> float:
    found = float(loss.detach())
    if found - found != 0.0:
        taken = f", after a step of size {rates[step - 1]:.3g}" if step else ""
        raise Diverged(f"the unrolled training diverged: its loss is {found} before step {step}{taken}")
    return found
