"""Crossed rows and items against values worked out by hand, statistics by brute force, and simulated data."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtr

from leaderboard.crossed import Pairs, bootstrap, errors, half_widths, mean_squares, p_values, parts
from leaderboard.scores import group_means

BY_HAND = np.array([[1.0, 0.0, 2.0], [3.0, 2.0, 4.0]])


def p_of(values: np.ndarray) -> np.ndarray:
    """Of layouts [..., S, I]."""
    return p_values(values.mean(axis=(-2, -1)), *errors(values), values.shape[-2:])


def test_mean_squares_by_hand() -> None:
    """Rows 1 and 3, items 2, 1 and 3 in the mean, no rest."""
    assert [float(each) for each in mean_squares(BY_HAND)] == pytest.approx([2.0, 6.0, 2.0, 0.0])
    changed = BY_HAND + np.array([[0.5, -0.5, 0.0], [-0.5, 0.5, 0.0]])
    assert [float(each) for each in mean_squares(changed)] == pytest.approx([2.0, 6.0, 2.0, 0.5])


@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(2, 7))
def test_mean_squares_are_those_of_the_definition(seed: int, rows: int, items: int) -> None:
    y = np.random.default_rng(seed).normal(size=(3, rows, items))
    found = mean_squares(y)
    for k, layout in enumerate(y):
        mean, of_row, of_item = layout.mean(), layout.mean(1, keepdims=True), layout.mean(0, keepdims=True)
        rest = ((layout - of_row - of_item + mean) ** 2).sum() / ((rows - 1) * (items - 1))
        assert [float(part[k]) for part in found] == pytest.approx(
            [mean, items * of_row.var(ddof=1), rows * of_item.var(ddof=1), rest]
        )


def test_one_item_gives_students_interval_over_rows() -> None:
    y = np.array([[0.5], [0.7], [0.6], [0.9]])
    found = half_widths(y, 0.95)
    low, high = stats.t.interval(0.95, 3, y.mean(), stats.sem(y[:, 0]))
    assert float(found.both) == pytest.approx((high - low) / 2)
    assert float(found.item) == 0.0


def test_one_row_gives_students_interval_over_items() -> None:
    y = np.array([[0.0, 1.0, 1.0, 1.0, 0.0]])
    found = half_widths(y, 0.95)
    low, high = stats.t.interval(0.95, 4, 0.6, stats.sem(y[0]))
    assert float(found.both) == pytest.approx((high - low) / 2)
    assert float(found.row) == 0.0


@given(st.integers(0, 2**32))
def test_items_never_make_an_interval_narrower(seed: int) -> None:
    y = (np.random.default_rng(seed).random((4, 6, 30)) < 0.6).astype(float)
    found, over_rows = half_widths(y, 0.95), half_widths(y.mean(-1, keepdims=True), 0.95)
    np.testing.assert_allclose(found.row, over_rows.both, atol=1e-12)
    assert (found.both >= over_rows.both - 1e-12).all()


class World(NamedTuple):
    """Right or wrong answers by a probit model: standard deviations of set, run, item, set x item."""

    set: float
    run: float
    item: float
    set_item: float
    level: float = 0.5

    @property
    def accuracy(self) -> float:
        """Over all sets, runs and items."""
        return float(ndtr(self.level / math.sqrt(1 + self.set**2 + self.run**2 + self.item**2 + self.set_item**2)))

    def draw(self, rng: np.random.Generator, sets: int, runs: int, items: int) -> np.ndarray:
        """Answers [sets, runs, items]."""
        z = self.level + rng.normal(0, self.set, (sets, 1, 1)) + rng.normal(0, self.run, (sets, runs, 1))
        z = z + rng.normal(0, self.item, items) + rng.normal(0, self.set_item, (sets, 1, items))
        return (z + rng.normal(size=z.shape) > 0).astype(float)


DESIGNS = [
    (World(0.3, 0.1, 1.0, 0.5), 5, 2, 400),
    (World(0.05, 0.05, 1.0, 0.3), 5, 1, 400),
    (World(0.05, 0.05, 1.5, 0.3), 20, 5, 300),
    (World(0.3, 0.1, 1.0, 0.5), 10, 1, 60),
]


@pytest.mark.parametrize(("world", "sets", "runs", "items"), DESIGNS)
def test_intervals_cover_as_often_as_they_claim(world: World, sets: int, runs: int, items: int) -> None:
    """95 % ± 2 of 4,000 draws hold the accuracy over all sets, runs and items; those over sets alone fewer."""
    rng = np.random.default_rng(7)
    hits = np.zeros(2)
    for _ in range(4000):
        y = world.draw(rng, sets, runs, items).mean(axis=1)
        found = half_widths(y, 0.95)
        hits += abs(float(y.mean()) - world.accuracy) <= np.array([found.both, found.row])
    crossed, sets_alone = hits / 4000
    assert 0.93 <= crossed <= 0.97
    assert sets_alone < crossed - 0.01


def test_intervals_of_paired_differences_cover_as_often_as_they_claim() -> None:
    """Two methods on the same items: what makes an item hard for both cancels, what remains counts."""
    rng = np.random.default_rng(2)
    items, sets, hits = 300, 10, np.zeros(2)
    own, item = 0.4, 1.0
    gap = 0.3
    scale = math.sqrt(1 + 0.05**2 + item**2 + own**2)
    truth = float(ndtr((0.5 + gap) / scale) - ndtr(0.5 / scale))
    for _ in range(1000):
        hard = rng.normal(0, item, items)
        a, b = (
            level + hard + rng.normal(0, own, items) + rng.normal(0, 0.05, (sets, 1)) + rng.normal(size=(sets, items))
            > 0
            for level in (0.5 + gap, 0.5)
        )
        y = a.astype(float) - b
        found = half_widths(y, 0.95)
        hits += abs(float(y.mean()) - truth) <= np.array([found.both, found.row])
    assert 0.93 <= hits[0] / 1000 <= 0.97
    assert hits[1] / 1000 < 0.9


def test_intervals_over_preparations_cover_what_those_over_their_sets_do_not() -> None:
    """Four generators of five sets each: the luck of a generator is in all its sets."""
    rng = np.random.default_rng(3)
    world, hits = World(0.15, 0.0, 1.0, 0.3), np.zeros(2)
    luck = 0.25
    truth = World(math.hypot(world.set, luck), 0.0, world.item, world.set_item).accuracy
    for _ in range(2000):
        z = world.level + rng.normal(0, luck, (4, 1, 1)) + rng.normal(0, world.set, (4, 5, 1))
        z = z + rng.normal(0, world.item, 300) + rng.normal(0, world.set_item, (4, 5, 300))
        y = (z + rng.normal(size=z.shape) > 0).astype(float)
        off = abs(float(y.mean()) - truth)
        hits += [off <= float(half_widths(rows, 0.95).both) for rows in (y.mean(axis=1), y.reshape(20, 300))]
    assert 0.93 <= hits[0] / 2000 <= 0.975
    assert hits[1] / 2000 < 0.87


@given(st.integers(0, 2**32), st.integers(2, 9), st.sampled_from([1, 25]))
def test_p_is_small_where_the_interval_leaves_out_zero(seed: int, rows: int, items: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(0.02, 0.05, (6, rows, items)) + rng.choice([0.0, 0.05, 0.2], (6, 1, 1))
    for level in (0.8, 0.95, 0.999):
        left_out = np.abs(y.mean(axis=(1, 2))) > half_widths(y, level).both
        np.testing.assert_array_equal(p_of(y) < 1 - level, left_out)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9))
@example([0.6875] * 3)
def test_with_one_item_p_is_that_of_the_t_test(values: list[float]) -> None:
    y = np.round(values, 3)
    if np.ptp(y) < 1e-9:
        assert float(p_of(y[:, None])) == 1.0, "equal up to rounding"
        return
    expected = float(stats.ttest_1samp(y, 0.0).pvalue)
    assert float(p_of(y[:, None])) == pytest.approx(expected, rel=1e-5, abs=1e-11)


@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(2, 7), st.sampled_from([1, 2, 25]))
def test_errors_of_pairs_are_those_of_their_differences(seed: int, k: int, rows: int, items: int) -> None:
    """Shares of right labels, some layouts equal, some equal but for a constant."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 6, (k, rows, items)) / 5
    y[-1] = y[0] + rng.choice([0.0, 0.2])
    found = Pairs(y)
    for i in range(k):
        centre, of_rows, of_items = found.behind(i)
        direct = y[i] - y[i + 1 :]
        expected = errors(direct) if len(direct) else (np.zeros(0), np.zeros(0))
        np.testing.assert_allclose(centre, direct.mean(axis=(1, 2)), atol=1e-12)
        np.testing.assert_allclose(of_rows, expected[0], atol=1e-12)
        np.testing.assert_allclose(of_items, expected[1], atol=1e-7)


def test_without_a_difference_p_is_as_often_small_as_it_says() -> None:
    rng = np.random.default_rng(8)
    world, small = World(0.1, 0.05, 1.0, 0.3), 0
    for _ in range(2000):
        one, other = (world.draw(rng, 6, 1, 200).mean(axis=1) for _ in range(2))
        small += float(p_of(one - other)) < 0.05
    assert 0.02 < small / 2000 < 0.06


def test_the_bootstrap_agrees_with_enumeration() -> None:
    """Two rows of three items have 4 x 27 equally likely resamples."""
    y = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    means = [
        y[np.ix_(rows, columns)].mean()
        for rows in itertools.product(range(2), repeat=2)
        for columns in itertools.product(range(3), repeat=3)
    ]
    for level in (0.5, 0.8):
        found = bootstrap(y, level, seed=3, resamples=20_000)
        assert found == pytest.approx(np.quantile(means, [(1 - level) / 2, (1 + level) / 2]), abs=1e-6)
    assert bootstrap(y, 0.95, 1, 50) == bootstrap(y, 0.95, 1, 50)
    assert bootstrap(y, 0.5, 1, 51) != bootstrap(y, 0.5, 2, 51)


def test_the_bootstrap_agrees_with_the_closed_form() -> None:
    rng = np.random.default_rng(4)
    y = World(0.2, 0.1, 1.0, 0.2).draw(rng, 40, 3, 500).mean(axis=1)
    low, high = bootstrap(y, 0.95)
    half = float(half_widths(y, 0.95).both)
    assert (low, high) == pytest.approx((y.mean() - half, y.mean() + half), abs=0.12 * half)


@pytest.mark.parametrize("equal", [True, False])
def test_parts_are_found_again(equal: bool) -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(8):
        counts = np.full(40, 3) if equal else rng.integers(2, 5, 40)
        sets = np.repeat(np.arange(40), counts)
        y = rng.normal(0, 0.3, 40)[sets, None] + rng.normal(0, 0.2, (len(sets), 1)) + rng.normal(0, 0.5, 400)
        y = y + rng.normal(0, 0.4, (40, 400))[sets] + rng.normal(0, 0.7, (len(sets), 400))
        part = parts(y, sets)
        assert part is not None
        assert (part.preparation, part.preparation_item) == (None, None)
        found.append(part[:5])
    assert np.mean(found, axis=0) == pytest.approx([0.3, 0.2, 0.5, 0.4, 0.7], rel=0.06)


def test_parts_give_the_variance_of_the_mean_back() -> None:
    """(set^2 + run^2 / R + (set_item^2 + rest^2 / R) / I) / S + item^2 / I is the estimate of the crossed layout."""
    rng = np.random.default_rng(6)
    sets, runs, items = 8, 3, 50
    y = World(0.5, 0.4, 1.0, 0.5).draw(rng, sets, runs, items)
    found = parts(y.reshape(-1, items), np.repeat(np.arange(sets), runs))
    assert found is not None
    assert found.run is not None
    assert found.rest is not None
    of_set = found.set**2 + found.run**2 / runs + (found.set_item**2 + found.rest**2 / runs) / items
    squares = mean_squares(y.mean(axis=1))
    expected = (squares.row + squares.item - squares.rest) / (sets * items)
    assert of_set / sets + found.item**2 / items == pytest.approx(float(expected))
    alone = parts(y[:, 0], np.arange(sets))
    assert alone is not None
    assert (alone.run, alone.rest) == (None, None)
    squares = mean_squares(y[:, 0])
    expected = (squares.row + squares.item - squares.rest) / (sets * items)
    found_again = (alone.set**2 + alone.set_item**2 / items) / sets + alone.item**2 / items
    assert found_again == pytest.approx(float(expected))


@pytest.mark.parametrize("runs", [1, 2])
def test_parts_of_preparations_are_found_again(runs: int) -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(8):
        counts = rng.integers(2, 5, 50)  # sets of each preparation
        preparations = np.repeat(np.repeat(np.arange(50), counts), runs)
        sets = np.repeat(np.arange(counts.sum()), runs)
        y = rng.normal(0, 0.5, 50)[preparations, None] + rng.normal(0, 0.3, counts.sum())[sets, None]
        y = y + rng.normal(0, 0.3, (50, 200))[preparations] + rng.normal(0, 0.4, (counts.sum(), 200))[sets]
        y = y + rng.normal(0, 0.2, (len(sets), 1)) + rng.normal(0, 0.6, 200) + rng.normal(0, 0.7, (len(sets), 200))
        part = parts(y, sets, preparations)
        assert part is not None
        found.append([0.0 if each is None else each for each in part])
    expected = [0.3, 0.2, 0.6, 0.4, 0.7, 0.5, 0.3]
    if runs == 1:
        expected = [math.hypot(0.3, 0.2), 0, 0.6, math.hypot(0.4, 0.7), 0, 0.5, 0.3]
    assert np.mean(found, axis=0) == pytest.approx(expected, rel=0.08)


def test_parts_of_preparations_give_the_variance_of_the_mean_back() -> None:
    rng = np.random.default_rng(9)
    n, sets, runs, items = 4, 3, 2, 40
    y = rng.normal(0, 1, (n, 1, 1, 1)) + rng.normal(0, 1, (n, sets, 1, 1)) + rng.normal(0, 0.5, items)
    y = y + rng.normal(0, 1, (n, 1, 1, items)) + rng.normal(0, 1, (n, sets, runs, items))
    place = np.arange(n * sets * runs)
    found = parts(y.reshape(-1, items), place // runs, place // (runs * sets))
    assert found is not None
    assert found.run is not None
    assert found.rest is not None
    assert found.preparation is not None
    assert found.preparation_item is not None
    of_set = found.set**2 + found.run**2 / runs + (found.set_item**2 + found.rest**2 / runs) / items
    of_one = found.preparation**2 + found.preparation_item**2 / items + of_set / sets
    squares = mean_squares(y.mean(axis=(1, 2)))
    expected = (squares.row + squares.item - squares.rest) / (n * items)
    assert of_one / n + found.item**2 / items == pytest.approx(float(expected), rel=0.02)


def test_parts_need_two_sets_and_two_items() -> None:
    y = np.random.default_rng(0).random((4, 5))
    assert parts(y, np.zeros(4, int)) is None
    assert parts(y[:, :1], np.arange(4)) is None


def test_group_means() -> None:
    values = np.array([[True, False], [True, True], [False, False]])
    np.testing.assert_array_equal(group_means(values, [0, 1, 0]), [[0.5, 0.0], [1.0, 1.0]])
