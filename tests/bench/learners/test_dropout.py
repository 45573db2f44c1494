"""Dropout: its rate, its own stream of random numbers, and one stream for each stacked run."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from bench.learners.dropout import Dropout, TorchDropout
from bench.learners.pretrained import own_rng


def seeded(*seeds: int) -> Dropout:
    return Dropout(*(torch.Generator().manual_seed(seed) for seed in seeds))


def test_it_keeps_the_mean_and_follows_its_generator() -> None:
    x = torch.ones(401, 499)  # no multiple of four: the last word is used in part
    for rate in (0.1, 0.5):
        dropped = seeded(1)(x, rate)
        zeros = float((dropped == 0).float().mean())
        assert zeros == pytest.approx(rate, abs=5 * (rate * (1 - rate) / x.numel()) ** 0.5)
        assert float(dropped.max()) == pytest.approx(1 / (1 - rate), rel=1e-4)
        again = seeded(1)
        torch.testing.assert_close(again(x, rate), dropped, atol=0, rtol=0)
        assert (again(x, rate) != dropped).any()
    assert Dropout()(x, 0.5) is x
    assert seeded(1)(x, 0.0) is x


def test_gradients_pass_where_values_do() -> None:
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = seeded(4)(x, 0.4)
    found.sum().backward()
    assert torch.equal(found == 0, x.grad == 0)
    torch.testing.assert_close(x.grad * x, found)
    assert 0 < int((x.grad == 0).sum()) < 35


@pytest.mark.parametrize("kind", [seeded, lambda *seeds: TorchDropout(*seeds, device="cpu")])
def test_global_generators_are_left_alone(kind: type) -> None:
    before = torch.get_rng_state()
    drop = kind(3)
    drop(torch.ones(9), 0.5)
    assert torch.equal(torch.get_rng_state(), before)


def test_stacked_runs_draw_as_single_ones() -> None:
    """Also in a second call, where each stream has gone on by itself."""
    x = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    both, single = seeded(8, 9), [seeded(8), seeded(9)]
    for _ in range(2):
        assert torch.equal(both(x, 0.3), torch.stack([drop(own, 0.3) for drop, own in zip(single, x, strict=True)]))


def test_modules_go_on_where_the_last_use_ended() -> None:
    x, drop, found = torch.ones(40), TorchDropout(5, 6, device="cpu"), []
    for run in (0, 1, 0):
        with drop.active(run):
            found.append(functional.dropout(x, 0.5))
    found.append(TorchDropout(5, device="cpu")(x, 0.5))
    for seed, places in ((5, (0, 2)), (6, (1,))):
        with own_rng(seed, "cpu"):
            for place in places:
                assert torch.equal(functional.dropout(x, 0.5), found[place])
    assert torch.equal(found[3], found[0])
    assert not torch.equal(found[2], found[0])


def test_without_a_seed_modules_are_left_to_themselves() -> None:
    drop, before = TorchDropout(device="cpu"), torch.get_rng_state()
    assert not drop.on
    with drop.active():
        torch.rand(1)
    assert not torch.equal(torch.get_rng_state(), before)
    assert drop(before, 0.5) is before
