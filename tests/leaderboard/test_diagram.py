"""The drawing of mean ranks: dots at their ranks, bars over what is not separated and over nothing else."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.diagram import LEFT, MOST, RIGHT, WIDTH, diagram, together
from leaderboard.mean_ranks import MeanRanks, mean_ranks


def found(ranks: list[float], critical: float, p: float = 0.01) -> MeanRanks:
    names = tuple(f"method-{number}" for number in range(len(ranks)))
    return MeanRanks(names, tuple(ranks), 9, 20.0, 5.0, p, critical)


RANKS = st.lists(st.integers(10, 90).map(lambda n: n / 10), min_size=2, max_size=9).map(sorted)


@given(RANKS, st.integers(1, 40).map(lambda n: n / 10), st.sampled_from([0.01, 0.2]))
def test_bars_are_the_largest_groups_of_which_no_two_are_separated(
    ranks: list[float], critical: float, p: float
) -> None:
    case = found(ranks, critical, p)
    k, apart = len(ranks), set(case.apart)
    alike = [
        set(group)
        for size in range(2, k + 1)
        for group in combinations(range(k), size)
        if not any(pair in apart for pair in combinations(group, 2))
    ]
    largest = [group for group in alike if not any(group < other for other in alike)]
    bars = [set(range(first, last + 1)) for first, last in together(case)]
    assert sorted(map(sorted, bars)) == sorted(map(sorted, largest))


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(8, 20))
def test_all_stands_inside_and_at_its_rank(seed: int, k: int, n: int) -> None:
    scores = np.random.default_rng(seed).random((n, k)) + np.linspace(0, 1, k)
    case = mean_ranks(tuple(f"a-method-with-a-long-name[parameter={number}]" for number in range(k)), scores)
    drawn = diagram(case)
    assert drawn is not None
    places = {int(text): x for x, text in drawn.ticks}
    unit = (places[2] - places[1]) if k > 1 else 0
    for dot, rank, method in zip(drawn.dots, case.ranks, case.methods, strict=True):
        assert dot.x == pytest.approx(LEFT + unit * (rank - 1))
        assert method in dot.title
        assert len(dot.name) <= 28
    assert [dot.y for dot in drawn.dots] == sorted(dot.y for dot in drawn.dots)
    assert drawn.critical[1] - drawn.critical[0] == pytest.approx(unit * case.critical)
    assert LEFT <= drawn.critical[1] <= WIDTH - RIGHT
    for bar, (first, last) in zip(drawn.bars, together(case), strict=True):
        assert WIDTH - RIGHT < bar.x < WIDTH
        inside = [place for place, dot in enumerate(drawn.dots) if bar.top < dot.y < bar.bottom]
        assert inside == list(range(first, last + 1))
    for x in {bar.x for bar in drawn.bars}:
        column = sorted((bar.top, bar.bottom) for bar in drawn.bars if bar.x == x)
        assert all(one[1] < other[0] for one, other in pairwise(column))


def test_what_says_nothing_is_not_drawn() -> None:
    assert diagram(found([1.0, 2.0], 1.4)) is None, "no outcome would separate two methods"
    assert diagram(found([float(rank) for rank in range(1, MOST + 2)], 2.0)) is None
