"""The drawing of accuracy against dpc: round ticks, and every mark inside and where its value belongs."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.board import Board, build
from leaderboard.ledger import Mark, load
from leaderboard.plot import HEIGHT, LINES, MARKERS, WIDTH, cost_plot, plot, ticks
from tests.leaderboard.records import record, times

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


def priced(seconds: dict[tuple[str, int], float | None]) -> Board:
    """A board with a row a method and dpc, whose sets took so long; None: nobody knows."""
    return build(
        [
            record(
                0.5 + 0.001 * i + 0.01 * j,
                method=method,
                dpc=dpc,
                set_index=j,
                time=times(distil_s=spent, made_of=None if spent is None else ()),
            )
            for i, ((method, dpc), spent) in enumerate(seconds.items())
            for j in range(3)
        ]
    )


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["random", "a", "b"]), st.sampled_from([1, 2, 50])),
        st.one_of(st.none(), st.just(0.0), st.floats(1e-6, 1e7)),
        min_size=1,
    )
)
def test_costs_stand_in_their_order_on_a_logarithmic_axis(seconds: dict[tuple[str, int], float | None]) -> None:
    board = priced(seconds)
    drawn = cost_plot(board.rows, board.methods, "accuracy")
    known = {place: max(0.01, spent) for place, spent in seconds.items() if spent is not None}
    assert (drawn is None) == (len(known) < 2), "no drawing of one row"
    if drawn is None:
        return
    rows = {(row.method, row.dpc): row for row in board.rows}
    points = {}
    for line in drawn.lines:
        mine = sorted(dpc for method, dpc in known if method == line.method)
        points |= {(line.method, dpc): point for dpc, point in zip(mine, line.points, strict=True)}
    assert points.keys() == known.keys()
    scale = [(mark.x, math.log10(float(mark.text.removeprefix("≤ ")))) for mark in drawn.xs]
    (x0, first), (x1, last) = scale[0], scale[-1]
    for place, point in points.items():
        assert point.x == pytest.approx(x0 + (math.log10(known[place]) - first) / (last - first) * (x1 - x0))
        assert drawn.left <= point.x <= drawn.right
        assert point.title.startswith(f"{place[0]}, dpc {place[1]}: ")
        assert rows[place].summary is not None
    heights = sorted((rows[place].summary.mean, -point.y) for place, point in points.items())  # type: ignore[union-attr]
    assert [y for _, y in heights] == sorted(y for _, y in heights)
    assert ("≤" in drawn.xs[0].text) == any(spent is not None and spent < 0.01 for spent in seconds.values())


def test_of_many_methods_the_best_and_the_baseline_are_drawn_and_it_is_said() -> None:
    methods = [f"m{i:02}" for i in range(20)]
    records = [record(0.5 + 0.01 * i, method=method, set_index=j) for i, method in enumerate(methods) for j in range(2)]
    board = build([*records, *(record(0.1, set_index=j) for j in range(2))])
    drawn = plot(board.rows, board.methods, {}, "accuracy", board.baseline)
    assert drawn is not None
    assert {line.method for line in drawn.lines} == {"random", *methods[-LINES + 1 :]}
    assert drawn.note == "12 of 21 methods are drawn: those with the highest score beside random."
    few = plot(board.rows, board.methods, {}, "accuracy")
    assert few is not None
    assert {line.method for line in few.lines} == set(methods[-LINES:])
    assert "random" not in few.note


def test_a_published_number_stands_beside_its_method_where_the_metric_is_the_same() -> None:
    board = build([record(score, method="kcenters", set_index=i) for i, score in enumerate((0.8, 0.82, 0.84))])
    number = replace(load("dilm-2024").numbers[0], score=0.6, deviation=0.05)
    shown, other = (
        plot([replace(board.rows[0], mark=Mark(each, "differs"))], board.methods, {}, "accuracy")
        for each in (number, replace(number, facts=replace(number.facts, metric="accuracy_f1")))
    )
    assert shown is not None
    assert other is not None
    assert (other.published, other.lines[0].published) == ("", ())
    assert shown.published == "dilm-2024"
    ((mark,), (point,)) = shown.lines[0].published, shown.lines[0].points
    assert mark.x > point.x
    scale = {float(tick.text) / 100: tick.y for tick in shown.grid}
    (low, bottom), (high, top) = min(scale.items()), max(scale.items())
    for y, value in ((mark.y, 0.6), (mark.low, 0.55), (mark.high, 0.65), (point.y, 0.82)):
        assert y == pytest.approx(bottom + (value - low) / (high - low) * (top - bottom))
    assert mark.title.startswith("published, dilm-2024 ")
    assert mark.title.endswith(", differs")
