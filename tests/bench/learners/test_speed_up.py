"""Linear layers through oneDNN against PyTorch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from bench.learners.linear import speed_up

DRAW = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("kind", ["linear", "no bias", "transposed"])
def test_values_and_gradients(kind: str) -> None:
    layer: nn.Module = Conv1D(7, 5) if kind == "transposed" else nn.Linear(5, 7, bias=kind == "linear")
    for parameter in layer.parameters():
        parameter.data.normal_(generator=DRAW)
    patched = copy.deepcopy(layer)
    speed_up(patched)
    fast = copy.deepcopy(patched)
    patched.weight.data.zero_()  # type: ignore[union-attr,operator]
    x, grad = torch.randn(2, 3, 5, generator=DRAW), torch.randn(2, 3, 7, generator=DRAW)
    found = []
    for module in (layer, fast):
        given = x.clone().requires_grad_()
        out: Tensor = module(given)
        out.backward(grad)
        found.append([out.detach(), given.grad, *(p.grad for p in module.parameters())])
    for plain, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain)
    assert "forward" in vars(fast)
