"""Gradients through gradient descent: of a loss after T steps, with respect to what the steps were taken on.

theta_{t+1} = theta_t - eta_t * g_t with g_t = d inner(theta_t, x, t) / d theta (Wang et al. 2018, Algorithm 1). Reverse
mode by hand: with lambda_T = d outer(theta_T) / d theta, one step back is

    d eta_t = -<lambda_{t+1}, g_t>
    d x    += d <g_t, -eta_t lambda_{t+1}> / d x          both by one product with second derivatives, for which
    lambda_t = lambda_{t+1} + d <g_t, -eta_t lambda_{t+1}> / d theta      the graph of that step alone is made again

so memory holds one step's graph and T + 1 copies of theta, however long the unroll is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.api import UserError

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
    x = [_leaf(each) for each in variables]
    path, losses = [[_leaf(each) for each in theta]], []
    steps: Steps = ()
    for t, rate in enumerate(rates):
        last = t + 1 == len(rates)  # the first one to go back through: its graph is kept for that
        loss = inner(path[t], x if last else _plain(x), t)
        losses.append(_finite(loss, t, rates))
        steps = torch.autograd.grad(loss, path[t], create_graph=last, allow_unused=True)
        path.append([_leaf(each) for each in _moved(path[t], steps, rate)])
    loss = outer(path[-1])
    reached = _finite(loss, len(rates), rates)
    back = list(torch.autograd.grad(loss, path[-1], allow_unused=True, materialize_grads=True))  # lambda
    to_x = [torch.zeros_like(each) for each in x]
    to_rates = torch.zeros_like(step_sizes)
    for t in reversed(range(len(rates))):
        path.pop()
        here = path[-1]
        if t + 1 < len(rates):
            steps = torch.autograd.grad(inner(here, x, t), here, create_graph=True, allow_unused=True)
        used, along = zip(
            *((step, one) for step, one in zip(steps, back, strict=True) if step is not None), strict=True
        )
        to_rates[t] = -sum(torch.sum(one * other.detach()) for one, other in zip(along, used, strict=True))
        wanted = [*here, *x] if t else x  # nobody asks how the loss depends on theta_0
        found = torch.autograd.grad(used, wanted, _scaled(along, -rates[t]), allow_unused=True)
        del steps, used
        for own, more in zip(to_x, found[len(wanted) - len(x) :], strict=True):
            if more is not None:
                own += more
        if t:
            back = [one if more is None else one + more for one, more in zip(back, found, strict=False)]
    return Unrolled(reached, tuple(to_x), to_rates, tuple(losses))


def _moved(theta: Tensors, steps: Steps, rate: float) -> list[Tensor]:
    """theta - rate * steps, where there is a step."""
    places = [number for number, step in enumerate(steps) if step is not None]
    found = _plain(theta)
    by = _scaled([step for step in steps if step is not None], rate)
    for place, value in zip(places, torch._foreach_sub([found[place] for place in places], by), strict=True):
        found[place] = value
    return found


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_()


def _plain(tensors: Tensors) -> list[Tensor]:
    return [each.detach() for each in tensors]


def _scaled(tensors: Tensors, factor: float) -> list[Tensor]:
    return list(torch._foreach_mul(_plain(tensors), factor))


def _finite(loss: Tensor, step: int, rates: Sequence[float]) -> float:
    found = float(loss.detach())
    if found - found != 0.0:
        taken = f", after a step of size {rates[step - 1]:.3g}" if step else ""
        raise Diverged(f"the unrolled training diverged: its loss is {found} before step {step}{taken}")
    return found
