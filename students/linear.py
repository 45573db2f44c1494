"""Matrix products of linear layers on a CPU through oneDNN.

PyTorch sends float32 products to MKL, which runs at half of oneDNN's speed on CPUs that are not Intel's
(measured on a Zen 5 core: 100 against 205 GFLOP/s). Where this build has no such operator, and on CUDA, this
is `torch.nn.functional.linear`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return found


def _works() -> bool:
    try:
        found = _product(torch.eye(2, 3), torch.ones(4, 3), torch.ones(4))
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False  # another version or build of PyTorch
    return bool((found == 2).all())


ONEDNN = _works()


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        to_x = _product(grad, weight.t(), None) if ctx.needs_input_grad[0] else None
        return to_x, _product(grad.t(), x.t(), None), grad.sum(0)


def linear(x: Tensor, layer: torch.nn.Linear) -> Tensor:
    """x @ weight^T + bias for x [n, d_in]: [n, d_out]."""
    if ONEDNN and x.device.type == "cpu" and x.dtype == torch.float32:
        found: Tensor = _Linear.apply(x, layer.weight, layer.bias)
        return found
    return functional.linear(x, layer.weight, layer.bias)
