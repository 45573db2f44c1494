"""Linear layers that are trained on a CPU: forward and backward products through oneDNN where it is there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from bench.data import onednn


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return onednn.product(weight, bias, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        to_x = onednn.product(weight.t(), None, grad) if ctx.needs_input_grad[0] else None
        return to_x, onednn.product(x.t(), None, grad.t()), grad.sum(0)


def linear(x: Tensor, layer: torch.nn.Linear) -> Tensor:
    """x @ weight^T + bias for x [n, d_in]: [n, d_out]."""
    if onednn.available() and x.device.type == "cpu" and x.dtype == torch.float32:
        found: Tensor = _Linear.apply(x, layer.weight, layer.bias)
        return found
    return functional.linear(x, layer.weight, layer.bias)
