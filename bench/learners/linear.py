"""Linear layers that are trained on a CPU: forward and backward products through oneDNN where that is faster.

See `bench.data.onednn` for the reason. Frozen weights get no gradient.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from bench.data import onednn


class _Product(torch.autograd.Function):
    """x [n, d_in] times weight [d_out, d_in] transposed; the way back is made of itself, so it has all derivatives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return onednn.product(weight, bias, x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        grad = grad.contiguous()
        return (
            _Product.apply(grad, weight.t(), None) if to_x else None,
            _to_weight(grad, x, weight) if to_weight else None,
            grad.sum(0) if to_bias else None,
        )


def _to_weight(grad: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """grad^T x, laid out as the weight is: sums of gradients in two layouts take ten times as long."""
    if weight.is_contiguous():
        found: Tensor = _Product.apply(grad.t(), x.t(), None)
        return found
    swapped: Tensor = _Product.apply(x.t(), grad.t(), None)
    return swapped.t()


def affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x @ weight^T + bias for x [..., d_in], weight [d_out, d_in]: [..., d_out].

    Weights of stacked runs, [runs, d_out, d_in] and bias [runs, d_out], give [runs, n, d_out] for x [runs, n, d_in], or
    for x [n, d_in] that all runs read.
    """
    if weight.ndim == 3:
        runs = len(weight)
        rows = x if x.ndim == 3 else x.expand(runs, *x.shape)
        if x.device.type != "cpu":
            return batched(rows, weight, bias)
        biases = [None] * runs if bias is None else bias.unbind()
        return torch.stack([affine(*run) for run in zip(rows.unbind(), weight.unbind(), biases, strict=True)])
    return _product(x, weight, bias) if onednn.faster() else functional.linear(x, weight, bias)


def batched(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The same for x [runs, n, d_in] as one batched product: fast on a GPU, on a CPU slower than one run at a time."""
    if bias is None:
        return torch.bmm(x, weight.transpose(1, 2))
    return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32 and onednn.available():
        found: Tensor = _Product.apply(x.reshape(-1, x.shape[-1]), weight, bias)
        return found.view(*x.shape[:-1], -1)
    return functional.linear(x, weight, bias)


def _transposed(layer: Any, x: Tensor) -> Tensor:
    return _product(x, layer.weight.t(), layer.bias)


def _plain(layer: nn.Linear, x: Tensor) -> Tensor:
    return _product(x, layer.weight, layer.bias)


def speed_up(model: nn.Module) -> None:
    """Let every nn.Linear and Conv1D of a model compute through oneDNN; GPT-2's layers keep their weights transposed.

    As `bench.learners.causal.gpt2` does, whatever the CPU, so that its packed pass is this one bit for bit.
    The methods are bound, so a deep copy of the model computes with its own weights. Subclasses keep their own forward.
    """
    for module in model.modules():
        if type(module) is nn.Linear:
            setattr(module, "forward", MethodType(_plain, module))  # noqa: B010
        elif type(module) is Conv1D:
            setattr(module, "forward", MethodType(_transposed, module))  # noqa: B010
