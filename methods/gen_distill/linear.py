"""The linear layers of a generator on a CPU, computed by `bench.learners.linear`."""

from __future__ import annotations

from types import MethodType
from typing import Any

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from bench.learners.linear import affine, linear


def _transposed(layer: Any, x: Tensor) -> Tensor:
    return affine(x, layer.weight.t(), layer.bias)


def _plain(layer: nn.Linear, x: Tensor) -> Tensor:
    return linear(x, layer)


def speed_up(model: nn.Module) -> None:
    """Let every nn.Linear and Conv1D of a model compute so; GPT-2's layers keep their weights transposed.

    The methods are bound, so a deep copy of the model computes with its own weights. Subclasses keep their own forward.
    """
    for module in model.modules():
        if type(module) is nn.Linear:
            setattr(module, "forward", MethodType(_plain, module))  # noqa: B010
        elif type(module) is Conv1D:
            setattr(module, "forward", MethodType(_transposed, module))  # noqa: B010
