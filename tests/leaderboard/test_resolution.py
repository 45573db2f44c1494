"""What a design separates: against simulated data, and the numbers that would separate two methods."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bench.store.results import ResultStore
from leaderboard.board import board_of, build
from leaderboard.crossed import Parts, half_widths
from leaderboard.resolution import (
    ASSUMED,
    POWER,
    Design,
    Dimension,
    detectable,
    half_width,
    needed,
    spread_of,
    spread_of_pair,
)
from tests.leaderboard.records import cell, gold_labels, pocket

SPREAD = Parts(set=0.04, run=0.03, item=0.3, set_item=0.3, rest=0.5)
DESIGNS = [Design(5, 1, 400), Design(20, 5, 872), Design(10, 2, 100)]


def drawn(rng: np.random.Generator, spread: Parts, design: Design, mean: float) -> np.ndarray:
    """Differences [sets, items], runs averaged."""
    assert spread.run is not None
    assert spread.rest is not None
    sets, runs, items = design.sets, design.runs, design.items
    y = mean + rng.normal(0, spread.set, (sets, 1)) + rng.normal(0, spread.item, items)
    y = y + rng.normal(0, spread.set_item, (sets, items)) + rng.normal(0, spread.run / runs**0.5, (sets, 1))
    return y + rng.normal(0, spread.rest / runs**0.5, (sets, items))


@pytest.mark.parametrize("design", DESIGNS)
def test_the_smallest_difference_is_separated_as_often_as_it_says(design: Design) -> None:
    rng, hits = np.random.default_rng(0), 0
    size = detectable(SPREAD, design)
    widths = []
    for _ in range(600):
        y = drawn(rng, SPREAD, design, size)
        half = float(half_widths(y, 0.95).both)
        widths.append(half)
        hits += float(y.mean()) - half > 0
    assert hits / 600 == pytest.approx(POWER, abs=0.06)
    assert np.mean(widths) == pytest.approx(half_width(SPREAD, design), rel=0.1)


@pytest.mark.parametrize("dimension", ["sets", "runs", "items"])
def test_what_is_needed_is_enough_and_one_fewer_is_not(dimension: Dimension) -> None:
    design = Design(5, 1, 400)
    target = {"sets": 0.05, "runs": 0.085, "items": 0.085}[dimension]
    n = needed(SPREAD, design, -target, dimension)
    assert n is not None
    assert n > getattr(design, dimension)
    for number, enough in ((n, True), (n - 1, False)):
        changed = Design(**{**vars(design), dimension: number})
        assert (detectable(SPREAD, changed) <= target) is enough
    assert needed(SPREAD, design, 0.5, dimension) == getattr(design, dimension)


def test_some_differences_need_more_than_one_dimension() -> None:
    assert needed(SPREAD, Design(5, 1, 400), 0.02, "runs") is None
    assert needed(SPREAD, Design(5, 1, 400), 0.02, "items") is None
    assert needed(SPREAD, Design(20, 1, 50), 0.05, "sets") is None, "the test rows alone are too few"
    assert needed(ASSUMED, Design(5, 1, 400), 0.08, "runs") is None, "who does not know the runs' part promises nothing"


def test_two_sets_separate_nothing() -> None:
    assert detectable(SPREAD, Design(2, 50, 10_000)) == math.inf


def test_the_spread_of_earlier_rows() -> None:
    board = build(pocket(("rt",), (5,)), gold=gold_labels)
    found = spread_of(board.rows)
    assert found is not None
    spread, pairs = found
    assert pairs == 3
    assert spread.run is not None
    each = [spread_of_pair(a, b) for a, b in ((0, 1), (0, 2), (1, 2)) for a, b in [(board.rows[a], board.rows[b])]]
    assert spread.set == pytest.approx(np.median([one.set for one in each if one is not None]))
    assert 0.01 < spread.set < 0.08


def test_rows_that_tell_nothing_give_no_spread() -> None:
    assert spread_of([]) is None
    assert spread_of(build(pocket(("rt",), (5,))).rows) is None, "without single test rows"
    assert spread_of(build(cell("random") + cell("full", dpc=None), gold=gold_labels).rows) is None
    two = [one for one in pocket(("rt",), (5,)) if one.set < 2]
    assert spread_of(build(two, gold=gold_labels).rows) is None


def test_the_assumed_spread_is_one_that_was_measured() -> None:
    """Of the folders that are kept: pairs of methods on texts, MiniLM the student."""
    found = []
    for folder in sorted((Path(__file__).parents[2] / "leaderboard" / "results").glob("*/results")):
        rows = board_of(ResultStore(folder.parent)).rows
        known = spread_of([row for row in rows if (row.league, row.student) == ("A", "minilm")])
        found += [known[0]] if known is not None else []
    assert len(found) >= 6
    for name in ("set", "item", "set_item"):
        values = [getattr(each, name) for each in found]
        assert min(values) <= getattr(ASSUMED, name) <= max(values), name
