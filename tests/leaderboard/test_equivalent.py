"""Random-equivalent size: known curves, open ends, and what must not be claimed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.equivalent import Equivalent, equivalent_sizes
from leaderboard.scores import Scores
from leaderboard.statistics import paired_difference

DPCS = (1, 10, 100)


def at(mean: float, name: str, noise: float = 0.01, n_sets: int = 6, seed: int = 0) -> Scores:
    """Sets around a mean that they have exactly."""
    drawn = np.random.default_rng([seed, *name.encode()]).normal(0, noise, n_sets)
    values = mean + drawn - drawn.mean()
    return Scores.of({(0, place, 0): (float(value), f"{name}{place}") for place, value in enumerate(values)})


def random_curve(means: tuple[float, ...] = (0.5, 0.6, 0.7), **changes: float) -> dict[int, Scores]:
    return {dpc: at(mean, f"random{dpc}", **changes) for dpc, mean in zip(DPCS, means, strict=True)}


def equivalent_size(scores: Scores, curve: dict[int, Scores]) -> Equivalent | None:
    """Of one row."""
    (found,) = equivalent_sizes([scores], curve)
    return found


def test_on_a_curve_that_is_straight_in_the_logarithm_it_is_the_size_itself() -> None:
    for exponent in (0.25, 1.0, 1.7):
        found = equivalent_size(at(0.5 + 0.1 * exponent, "mine"), random_curve())
        assert found is not None
        assert found.size == pytest.approx(10**exponent)
        assert found.low < found.size < found.high
        assert found.measured == (1, 100)


def test_ends_are_where_the_paired_interval_reaches_zero() -> None:
    """An own inversion: on a fine grid, a curve whose sets have the straight line's mean between measured sizes."""
    mine, curve = at(0.6, "mine"), random_curve()
    found = equivalent_size(mine, curve)
    assert found is not None
    at_ten = paired_difference(mine, curve[10])
    at_one = paired_difference(mine, curve[1])
    assert at_ten is not None
    assert at_one is not None
    assert at_ten.interval is not None
    assert at_one.interval is not None
    before, after = at_one.interval.low, at_ten.interval.low
    assert before > 0 > after
    grid = np.linspace(0, 1, 100_001)
    expected = 10 ** grid[np.argmax(before + grid * (after - before) <= 0)]
    assert found.low == pytest.approx(expected, rel=1e-4)


def test_outside_the_measured_sizes_the_ends_are_open() -> None:
    worse, better = equivalent_size(at(0.3, "mine"), random_curve()), equivalent_size(at(0.9, "mine"), random_curve())
    assert worse is not None
    assert better is not None
    assert (worse.size, worse.low, worse.high) == (0.0, 0.0, 0.0)
    assert (better.size, better.low, better.high) == (math.inf, math.inf, math.inf)
    close = equivalent_size(at(0.699, "mine"), random_curve())
    assert close is not None
    assert 90 < close.size < 100
    assert close.high == math.inf, "more could train as well: nobody measured it"


def test_noise_makes_it_wider_and_a_dip_in_the_curve_does_not_hide_a_size() -> None:
    quiet, loud = (equivalent_size(at(0.6, "mine"), random_curve(noise=noise)) for noise in (0.01, 0.05))
    assert quiet is not None
    assert loud is not None
    assert loud.low < quiet.low < quiet.high < loud.high
    dip = equivalent_size(at(0.6, "mine"), random_curve((0.6, 0.5, 0.7)))
    assert dip is not None
    assert dip.low == 0.0, "size 1 is not rejected"
    assert dip.high > 10
    assert dip.low <= dip.size <= dip.high


def test_nothing_is_claimed_without_a_curve_or_enough_sets() -> None:
    curve = random_curve()
    assert equivalent_size(at(0.6, "mine"), {10: curve[10]}) is None
    assert equivalent_size(at(0.6, "mine"), {}) is None
    assert equivalent_size(at(0.6, "mine", n_sets=2), random_curve(n_sets=2)) is None
    elsewhere = Scores.of({(7, place, 0): (0.6, f"x{place}") for place in range(6)})
    assert equivalent_size(elsewhere, curve) is None, "no replicate in common"


@given(st.integers(0, 200), st.floats(0.4, 0.8))
def test_the_size_is_inside_its_interval_for_ascending_curves(seed: int, mean: float) -> None:
    found = equivalent_size(at(mean, "mine", seed=seed), random_curve(seed=seed))
    assert found is not None
    assert found.low <= found.size <= found.high
