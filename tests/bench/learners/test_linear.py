"""Products with their gradients through oneDNN against PyTorch's own."""

from __future__ import annotations

import pytest
import torch

from bench.data import onednn
from bench.learners.linear import affine, batched

DRAW = torch.Generator().manual_seed(0)


@pytest.fixture
def through_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU that gains by it."""
    assert onednn.available()
    monkeypatch.setattr(onednn, "faster", lambda: True)


@pytest.mark.usefixtures("through_onednn")
def test_frozen_weights_cost_no_product(monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.usefixtures("through_onednn")
def test_gradients_are_pytorchs_to_the_second_order_and_laid_out_as_their_weights() -> None:
    x, first, second = (torch.randn(*shape, generator=DRAW) for shape in ((3, 5), (7, 5), (5, 7)))
    found = []
    for product in (affine, torch.nn.functional.linear):
        weights = [first.clone().requires_grad_(), second.clone().requires_grad_()]
        start = x.clone().requires_grad_()
        loss = torch.tanh(product(torch.tanh(product(start, weights[0], None)), weights[1], None))
        once = torch.autograd.grad(loss.square().sum(), weights, create_graph=True)
        twice = torch.autograd.grad(once, [*weights, start], [torch.cos(each.detach()) for each in once])
        found.append([*once, *twice])
    assert all(each.is_contiguous() for each in found[0])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_one_batched_product_is_that_of_each_run(shared: bool, with_bias: bool) -> None:
    """What GPUs compute stacked runs with, against one run after another; gradients too."""
    x, weight, bias = (torch.randn(*shape, generator=DRAW) for shape in ((3, 6, 5), (3, 7, 5), (3, 7)))
    leaves = [x[0] if shared else x, weight, *([bias] if with_bias else [])]
    found = []
    for product in (affine, batched):
        x, weight, *rest = (leaf.clone().requires_grad_() for leaf in leaves)
        given = x.expand(3, 6, 5) if shared else x
        out = product(given, weight, rest[0] if rest else None)
        out.square().sum().backward()
        found.append([out, *(leaf.grad for leaf in (x, weight, *rest))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    singles = [affine(own, w, b) for own, w, b in zip(given, weight, bias if with_bias else [None] * 3, strict=True)]
    torch.testing.assert_close(found[1][0], torch.stack(singles))
