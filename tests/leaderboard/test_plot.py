"""The drawing of accuracy against dpc: round ticks, and every mark inside and where its value belongs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.board import build
from leaderboard.plot import HEIGHT, MARKERS, WIDTH, plot, ticks
from tests.leaderboard.records import record

FRACTIONS = st.integers(0, 10_000).map(lambda n: n / 10_000)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.213, 0.861, [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        (0.5, 0.6, [0.5, 0.52, 0.54, 0.56, 0.58, 0.6]),
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    ],
)
def test_ticks_are_round_and_enclose(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_one_value_still_makes_an_axis() -> None:
    marks = ticks(0.4, 0.4)
    assert marks[0] <= 0.4 <= marks[-1]


@given(low=FRACTIONS, high=FRACTIONS)
def test_ticks_enclose_evenly_and_are_few(low: float, high: float) -> None:
    low, high = sorted((low, high))
    marks = ticks(low, high)
    assert marks[0] <= low + 1e-9
    assert marks[-1] >= high - 1e-9
    assert len(marks) <= 9
    steps = [b - a for a, b in pairwise(marks)]
    assert all(step == pytest.approx(steps[0]) for step in steps)


@given(
    scores=st.dictionaries(
        st.tuples(st.sampled_from(["random", "a", "b"]), st.sampled_from([1, 2, 50])),
        st.lists(FRACTIONS, min_size=1, max_size=3),
        min_size=1,
    ),
    levels=st.dictionaries(st.sampled_from(["full", "largest class"]), FRACTIONS),
)
def test_marks_stand_inside_and_higher_for_more(
    scores: dict[tuple[str, int], list[float]], levels: dict[str, float]
) -> None:
    records = [
        record(score, method=method, dpc=dpc, set_index=i)
        for (method, dpc), found in scores.items()
        for i, score in enumerate(found)
    ]
    board = build(records)
    drawn = plot(board.rows, board.methods, levels, "accuracy")
    assert drawn is not None
    heights = [(y, value) for y, value in zip(drawn.levels, levels.values(), strict=True)]
    for line in drawn.lines:
        rows = sorted((row for row in board.rows if row.method == line.method), key=lambda row: row.dpc or 0)
        assert [point.x for point in line.points] == sorted(point.x for point in line.points)
        for point, row in zip(line.points, rows, strict=True):
            assert row.summary is not None
            heights.append((point.y, row.summary.mean))
            assert 0 <= point.x <= WIDTH
            interval = row.summary.interval
            assert (point.low is None) == (interval is None)
            if interval is not None and point.low is not None and point.high is not None:
                heights += [(point.low, interval.low), (point.high, interval.high)]
    assert all(0 <= y <= HEIGHT for y, _ in heights)
    heights.sort(key=lambda item: item[1])
    assert all(a >= b - 1e-6 for (a, _), (b, _) in pairwise(heights)), "y grows downwards"
    assert len({(line.style, line.marker) for line in drawn.lines}) == len(drawn.lines) <= len(MARKERS)


def test_nothing_is_drawn_without_a_score() -> None:
    board = build([record(None, status="failed", reason="broke")])
    assert plot(board.rows, board.methods, {"full": 0.5}, "accuracy") is None
