"""Eq. 3-5 in closed form, against autograd in float64, and the properties that follow from them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from methods.gen_distill.matching import EPS, Factors, effective_size, loss_weights, match, probabilities

N, D, C = 7, 5, 3


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear_factors(h: Tensor, W: Tensor, b: Tensor, labels: Tensor) -> Factors:
    """Of one linear map, written down independently of heads.py."""
    delta = torch.softmax(h @ W.T + b, 1) - functional.one_hot(labels, len(W))
    return Factors(((delta, torch.cat([h, torch.ones(len(h), 1, dtype=h.dtype)], 1)),))


def random_factors(seed: int, blocks: int = 2, n: int = N) -> Factors:
    sizes = [(C, D), (4, 6)][:blocks]
    return Factors(tuple((draw(seed + 2 * k, n, p), draw(seed + 2 * k + 1, n, q)) for k, (p, q) in enumerate(sizes)))


def random_gradient(seed: int, blocks: int = 2) -> list[Tensor]:
    return [draw(seed + k, *shape) for k, shape in enumerate([(C, D), (4, 6)][:blocks])]


def flat(blocks: list[Tensor]) -> Tensor:
    return torch.cat([block.flatten() for block in blocks])


def reference(real: list[Tensor], factors: Factors, a: Tensor) -> Tensor:
    """L_GM by way of each sample's own gradient, so that autograd can differentiate it."""
    own = [torch.einsum("n,np,nq->pq", a, U, V) for U, V in factors.blocks]
    return 1 - functional.cosine_similarity(flat(real), flat(own), dim=0, eps=EPS)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("uniform", [True, False])
def test_gradient_equals_autograd(classes: int, uniform: bool) -> None:
    h, labels = draw(0, N, D), torch.arange(N) % classes
    W, b = draw(1, classes, D).requires_grad_(), draw(2, classes).requires_grad_()
    a = torch.full((N,), 1 / N, dtype=torch.float64) if uniform else torch.softmax(draw(3, N), 0)
    losses = functional.cross_entropy(h @ W.T + b, labels, reduction="none")
    gW, gb = torch.autograd.grad((a * losses).sum(), [W, b])
    (found,) = linear_factors(h, W.detach(), b.detach(), labels).gradient(a)
    torch.testing.assert_close(found, torch.cat([gW, gb[:, None]], 1), atol=1e-10, rtol=0)


@pytest.mark.parametrize("blocks", [1, 2])
@given(seed=st.integers(0, 10_000))
def test_match_and_its_derivative_equal_autograd(blocks: int, seed: int) -> None:
    factors, real = random_factors(seed, blocks), random_gradient(seed + 50, blocks)
    a = torch.softmax(draw(seed + 99, N), 0).requires_grad_()
    expected = reference(real, factors, a)
    (derivative,) = torch.autograd.grad(expected, [a])
    loss, found = match(real, factors, a.detach())
    assert loss == pytest.approx(expected.item(), abs=1e-12)
    torch.testing.assert_close(found, derivative, atol=1e-10, rtol=0)
    assert 0 <= loss <= 2


@given(seed=st.integers(0, 10_000))
def test_loss_weights_equal_autograd_through_the_softmax(seed: int) -> None:
    factors, real = random_factors(seed), random_gradient(seed + 50)
    losses = draw(seed + 99, N).requires_grad_()
    (expected,) = torch.autograd.grad(reference(real, factors, torch.softmax(-losses, 0)), [losses])
    a = probabilities(losses.detach())
    c = loss_weights(a, match(real, factors, a)[1])
    torch.testing.assert_close(c, expected, atol=1e-10, rtol=0)
    assert abs(float(c.sum())) < 1e-12


def test_finite_differences() -> None:
    factors, real, losses = random_factors(3), random_gradient(60), draw(9, N)
    a = probabilities(losses)
    c = loss_weights(a, match(real, factors, a)[1])
    for i in range(N):
        step = torch.zeros(N, dtype=torch.float64)
        step[i] = 1e-6
        up, down = (match(real, factors, probabilities(losses + sign * step))[0] for sign in (1, -1))
        assert float(c[i]) == pytest.approx((up - down) / 2e-6, abs=1e-8)


def test_gradient_reaches_the_generator_through_the_weights_alone() -> None:
    """sum_i c_i l_i has the gradient of L_GM, also in two pieces; factors and c hold no graph."""
    factors, real = random_factors(5), random_gradient(70)
    x = draw(4, N, 3)
    phi = draw(8, 3).requires_grad_()
    (expected,) = torch.autograd.grad(reference(real, factors, torch.softmax(-(x @ phi).square(), 0)), [phi])
    l = (x @ phi).square().detach()  # noqa: E741
    a = probabilities(l)
    c = loss_weights(a, match(real, factors, a)[1])
    assert not c.requires_grad
    for piece in (slice(0, 2), slice(2, N)):
        (c[piece] * (x[piece] @ phi).square()).sum().backward()
    torch.testing.assert_close(phi.grad, expected, atol=1e-10, rtol=0)


def test_a_small_step_on_the_losses_reduces_the_distance() -> None:
    factors, real, losses = random_factors(6), random_gradient(80), draw(7, N)
    found = []
    for _ in range(5):
        a = probabilities(losses)
        loss, derivative = match(real, factors, a)
        found.append(loss)
        losses = losses - 0.5 * loss_weights(a, derivative)
    assert all(later < earlier for earlier, later in pairwise(found))


@given(seed=st.integers(0, 10_000), shift=st.floats(-50, 50))
def test_probabilities(seed: int, shift: float) -> None:
    losses = draw(seed, N).abs()
    a = probabilities(losses)
    assert float(a.sum()) == pytest.approx(1, abs=1e-12)
    assert (a > 0).all()
    torch.testing.assert_close(a, torch.exp(-losses) / torch.exp(-losses).sum())  # p / sum p
    torch.testing.assert_close(probabilities(losses + shift), a, atol=1e-12, rtol=1e-9)
    assert 1 <= effective_size(a) <= N + 1e-9


def test_equal_losses_give_the_plain_mean() -> None:
    a = probabilities(torch.full((8,), 3.7))
    assert (a == 1 / 8).all()
    assert effective_size(a) == 8
    factors = random_factors(1, blocks=1, n=8)
    U, V = factors.blocks[0]
    mean = torch.stack([torch.outer(u, v) for u, v in zip(U, V, strict=True)]).mean(0)
    torch.testing.assert_close(factors.gradient(a)[0], mean, atol=1e-12, rtol=0)


def test_extreme_losses_are_one_hot() -> None:
    a = probabilities(torch.tensor([5.0, 1000.0, 900.0]))
    torch.testing.assert_close(a, torch.tensor([1.0, 0.0, 0.0]))
    assert effective_size(a) == 1


@given(seed=st.integers(0, 10_000))
def test_scale_does_not_matter(seed: int) -> None:
    factors, real = random_factors(seed), random_gradient(seed + 50)
    a = torch.softmax(draw(seed + 99, N), 0)
    loss, derivative = match(real, factors, a)
    assert abs(float((a * derivative).sum())) < 1e-10
    torch.testing.assert_close(loss_weights(a, derivative), -a * derivative, atol=1e-10, rtol=0)
    assert match([7.5 * block for block in real], factors, a)[0] == pytest.approx(loss, abs=1e-12)
    assert match(real, factors, 0.3 * a)[0] == pytest.approx(loss, abs=1e-12)


@pytest.mark.parametrize(("factor", "expected"), [(3.0, 0.0), (0.01, 0.0), (-2.0, 2.0)])
def test_parallel_gradients(factor: float, expected: float) -> None:
    factors, a = random_factors(2), torch.softmax(draw(1, N), 0)
    assert match([factor * G for G in factors.gradient(a)], factors, a)[0] == pytest.approx(expected, abs=1e-12)


def test_orthogonal_gradients_and_joined_blocks() -> None:
    """The cosine is that of the joined vector, not a mean over blocks."""
    e1, e2 = torch.eye(2, dtype=torch.float64)[:, None]
    one = torch.ones(1, dtype=torch.float64)
    assert match([e1], Factors(((one[:, None], e2),)), one)[0] == pytest.approx(1)
    two = Factors(((one[:, None], e1), (one[:, None], 3 * e1)))
    assert match([e1, e2], two, one)[0] == pytest.approx(1 - 1 / math.sqrt(2 * 10))


def test_the_same_samples_match_exactly() -> None:
    factors, a = random_factors(4), torch.full((N,), 1 / N, dtype=torch.float64)
    assert match(factors.gradient(a), factors, a)[0] == pytest.approx(0, abs=1e-12)


def test_order_of_samples_does_not_matter() -> None:
    factors, real, a = random_factors(4), random_gradient(90), torch.softmax(draw(5, N), 0)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    shuffled = Factors.joined([factors], order)
    loss, derivative = match(real, factors, a)
    other, permuted = match(real, shuffled, a[order])
    assert other == pytest.approx(loss, abs=1e-12)
    torch.testing.assert_close(permuted, derivative[order], atol=1e-12, rtol=0)


def test_joined_parts_add_up() -> None:
    """Two halves of a batch, put back into its order, give the gradient of the whole."""
    whole, a = random_factors(11), torch.softmax(draw(5, N), 0)
    rows = torch.tensor([2, 5, 0, 1, 6, 3, 4])
    halves = [Factors(tuple((U[part], V[part]) for U, V in whole.blocks)) for part in rows.split([3, 4])]
    joined = Factors.joined(halves, torch.argsort(rows))
    assert len(joined) == N
    for mine, theirs in zip(joined.gradient(a), whole.gradient(a), strict=True):
        assert torch.equal(mine, theirs)
    parts = [half.gradient(a[part]) for half, part in zip(halves, rows.split([3, 4]), strict=True)]
    for summed, theirs in zip(map(sum, zip(*parts, strict=True)), whole.gradient(a), strict=True):
        torch.testing.assert_close(summed, theirs, atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_gradients_stay_finite(dtype: torch.dtype) -> None:
    factors = Factors(tuple((U.to(dtype), V.to(dtype)) for U, V in random_factors(1).blocks))
    nothing = Factors(tuple((torch.zeros_like(U), V) for U, V in factors.blocks))
    a = torch.full((N,), 1 / N, dtype=dtype)
    real = [block.to(dtype) for block in random_gradient(2)]
    for target, own in (([torch.zeros_like(G) for G in real], factors), (real, nothing)):
        loss, derivative = match(target, own, a)
        assert loss == 1
        assert not derivative.any()
    cancelled = Factors(tuple((torch.cat([U, -U]), torch.cat([V, V])) for U, V in factors.blocks))
    loss, derivative = match(real, cancelled, torch.full((2 * N,), 0.5 / N, dtype=dtype))
    assert 0 <= loss <= 2  # rounding leaves a direction in float32
    assert derivative.isfinite().all()


def test_tiny_gradients_have_the_derivative_of_a_bounded_norm() -> None:
    factors = Factors(((1e-9 * draw(1, N, C), draw(2, N, D)),))
    real = random_gradient(3, blocks=1)
    a = torch.full((N,), 1 / N, dtype=torch.float64).requires_grad_()
    own = factors.gradient(a)[0]
    assert float(own.detach().norm()) < EPS
    (expected,) = torch.autograd.grad(1 - (real[0] / real[0].norm() * own).sum() / EPS, [a])
    torch.testing.assert_close(match(real, factors, a.detach())[1], expected, atol=1e-10, rtol=0)


def test_rows_of_a_binary_task_negate() -> None:
    h, W, b = draw(0, N, D), draw(1, 2, D), draw(2, 2)
    factors = linear_factors(h, W, b, torch.zeros(N, dtype=torch.int64))
    real = linear_factors(draw(5, N, D), W, b, torch.zeros(N, dtype=torch.int64))
    a = torch.softmax(draw(3, N), 0)
    (g,), (r,) = factors.gradient(a), real.gradient(a)
    torch.testing.assert_close(g[0], -g[1], atol=1e-12, rtol=0)
    one_row = 1 - functional.cosine_similarity(r[0], g[0], dim=0)
    assert match([r], factors, a)[0] == pytest.approx(float(one_row), abs=1e-12)
