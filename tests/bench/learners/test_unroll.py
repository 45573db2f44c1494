"""Gradients through gradient descent, against three ways of one's own to compute them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bench.learners.linear import affine
from bench.learners.unroll import Diverged, Tensors, unrolled_gradients


def draw(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def mlp(theta: Tensors, x: Tensor) -> Tensor:
    return torch.tanh(x @ theta[0] + theta[1]) @ theta[2]


THETA = [draw(3, 4, seed=1), draw(4, seed=2), draw(4, 2, seed=3)]
X, Y, RATES = draw(6, 3, seed=4), draw(6, 2, seed=5), torch.tensor([0.3, 0.2, 0.4, 0.1], dtype=torch.float64)
REAL, LABELS = draw(8, 3, seed=6), torch.arange(8) % 2


def inner(theta: Tensors, x: Tensors, t: int) -> Tensor:
    rows = slice(3 * (t % 2), 3 * (t % 2) + 3)  # two groups in turn
    return functional.cross_entropy(mlp(theta, x[0][rows]), torch.softmax(x[1][rows], 1))


def outer(theta: Tensors) -> Tensor:
    return functional.cross_entropy(mlp(theta, REAL), LABELS)


def plain(x: Tensor, y: Tensor, rates: Tensor) -> Tensor:
    theta = [each.clone().requires_grad_() for each in THETA]
    for t, rate in enumerate(rates):
        steps = torch.autograd.grad(inner(theta, [x, y], t), theta, create_graph=True)
        theta = [each - rate * step for each, step in zip(theta, steps, strict=True)]
    return outer(theta)


@pytest.mark.parametrize("steps", [1, 2, 4, 9, 17, 26])  # from 9 on some are taken twice
def test_it_equals_autograd_through_all_steps(steps: int) -> None:
    rates = RATES.repeat(7)[:steps]
    leaves = [each.clone().requires_grad_() for each in (X, Y, rates)]
    expected = plain(*leaves)
    expected.backward()
    found = unrolled_gradients(THETA, [X, Y], rates, inner, outer)
    assert len(found.inner) == steps
    assert found.loss == pytest.approx(expected.item(), rel=1e-14)
    for one, leaf in zip((*found.variables, found.step_sizes), leaves, strict=True):
        assert leaf.grad is not None
        torch.testing.assert_close(one, leaf.grad, rtol=1e-12, atol=1e-14)


def test_it_equals_finite_differences() -> None:
    found = unrolled_gradients(THETA, [X, Y], RATES, inner, outer)
    point = [X, Y, RATES]
    for which, gradient in enumerate((*found.variables, found.step_sizes)):
        for place in range(0, gradient.numel(), 3):
            ends = []
            for change in (1e-6, -1e-6):
                moved = [each.clone() for each in point]
                moved[which].view(-1)[place] += change
                ends.append(plain(*moved).item())
            assert gradient.view(-1)[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-8)


def test_theta_and_variables_are_not_changed_and_what_is_not_used_gets_zeros() -> None:
    before = [each.clone() for each in (*THETA, X)]
    unused = torch.ones(2, dtype=torch.float64)
    found = unrolled_gradients(THETA, [X, unused], RATES, lambda theta, x, t: mlp(theta, x[0]).square().mean(), outer)
    assert all(torch.equal(one, other) for one, other in zip(before, (*THETA, X), strict=True))
    assert not found.variables[1].any()
    assert not any(each.requires_grad for each in (*found.variables, found.step_sizes))
    assert len(found.inner) == len(RATES)


def square(x: Tensor, y: Tensor, theta: Tensor) -> Tensor:
    return (x @ theta - y).square().sum() / (2 * len(x))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_step_on_the_distilled_set_of_a_linear_model_reaches_the_optimum_from_any_start(seed: int) -> None:
    """Section 3.3 of Wang et al. 2018: X~ = sqrt(M / eta) Q with Q orthogonal, y~ = X~ theta*, M = D."""
    size, eta = 5, 0.7
    best = draw(size, seed=10)
    orthogonal = torch.linalg.qr(draw(size, size, seed=11))[0]
    x = math.sqrt(size / eta) * orthogonal
    start = 100 * draw(size, seed=20 + seed)
    found = unrolled_gradients(
        [start],
        [x, x @ best],
        torch.tensor([eta], dtype=torch.float64),
        lambda theta, data, t: square(data[0], data[1], theta[0]),
        lambda theta: (theta[0] - best).square().sum(),
    )
    assert found.loss < 1e-20
    assert all(float(each.abs().max()) < 1e-8 for each in (*found.variables, found.step_sizes))
    short = unrolled_gradients(  # fewer examples than dimensions cannot
        [start],
        [x[:4], x[:4] @ best],
        torch.tensor([eta], dtype=torch.float64),
        lambda theta, data, t: square(data[0], data[1], theta[0]),
        lambda theta: (theta[0] - best).square().sum(),
    )
    assert short.loss > 1.0


def test_an_unroll_that_diverges_says_at_which_step_and_rate() -> None:
    def growing(theta: Tensors, x: Tensors, t: int) -> Tensor:
        return theta[0].pow(4).sum()

    with pytest.raises(Diverged, match=r"its loss is (inf|nan) before step \d+, after a step of size 100") as caught:
        unrolled_gradients([torch.full((2,), 3.0)], [], torch.full((9,), 100.0), growing, lambda theta: theta[0].sum())
    assert "\n" not in str(caught.value)


def test_products_of_linear_layers_have_second_derivatives() -> None:
    """Through oneDNN, whose operator has none of its own."""
    x, weight, bias, y = (
        draw(*shape, seed=i, dtype=torch.float32) for i, shape in enumerate([(7, 5), (3, 5), (3,), (7, 3)])
    )

    def second(linear: object) -> tuple[Tensor, ...]:
        leaves = [each.clone().requires_grad_() for each in (x, weight, bias)]
        loss = torch.tanh(linear(*leaves)).mul(y).sum()  # type: ignore[operator]
        steps = torch.autograd.grad(loss, leaves, create_graph=True)
        return torch.autograd.grad(sum(each.square().sum() for each in steps), leaves)

    for one, other in zip(second(affine), second(functional.linear), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
