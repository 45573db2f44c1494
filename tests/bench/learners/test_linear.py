"""Products with their gradients through oneDNN against PyTorch's own."""

from __future__ import annotations

import pytest
import torch

from bench.data import onednn
from bench.learners.linear import affine

DRAW = torch.Generator().manual_seed(0)


def test_frozen_weights_cost_no_product(monkeypatch: pytest.MonkeyPatch) -> None:
    assert onednn.available()
    calls = []
    product = onednn.product
    monkeypatch.setattr(onednn, "product", lambda *arguments: calls.append(1) or product(*arguments))
    weight = torch.randn(7, 5, generator=DRAW)
    affine(torch.randn(3, 5, generator=DRAW).requires_grad_(), weight, None).sum().backward()
    assert len(calls) == 2  # forward, and the gradient of x
    affine(torch.randn(3, 5, generator=DRAW), weight.requires_grad_(), None).sum().backward()
    assert len(calls) == 4  # forward, and the gradient of the weight


def test_other_precisions_keep_pytorchs_product() -> None:
    x, weight = torch.randn(3, 5, dtype=torch.float64, generator=DRAW), torch.randn(7, 5, dtype=torch.float64)
    assert torch.equal(affine(x, weight, None), x @ weight.T)
