"""Statistics against values worked out by hand, scipy.stats, brute force, and properties."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from leaderboard.scores import Scores, numbered
from leaderboard.statistics import (
    Difference,
    Interval,
    Summary,
    _connected,
    differences,
    gap_closed,
    holm,
    interval_of,
    paired,
    paired_difference,
    summarise,
)

BY_HAND = ([0.4, 0.6, 0.5, 0.9], ["a", "a", "b", "b"])  # set means 0.5 and 0.7

scores_lists = st.lists(st.floats(0, 1).map(lambda x: round(x, 4)), min_size=2, max_size=8)


def table(scores: list[list[float]], name: str = "s") -> Scores:
    """scores[set][run] as replicates, each set under a name of its own."""
    return Scores.of({(0, i, j): (x, f"{name}{i}") for i, runs in enumerate(scores) for j, x in enumerate(runs)})


def cell(scores: Sequence[float], sets: Sequence[str]) -> Scores:
    """Replicates in this order, as a whole."""
    return Scores.of({(0, place): pair for place, pair in enumerate(zip(scores, sets, strict=True))})


def over_sets(scores: Sequence[float], sets: Sequence[str]) -> Interval | None:
    """The interval of scores as a whole."""
    return interval_of(np.array(scores)[:, None], numbered(sets))


def test_summary_by_hand() -> None:
    summary = summarise(cell(*BY_HAND))
    assert summary.mean == pytest.approx(0.6)
    assert summary.std == pytest.approx(math.sqrt((0.04 + 0 + 0.01 + 0.09) / 4)), "ddof 0, over runs"
    assert (summary.n_runs, summary.n_sets) == (4, 2)
    # set means 0.5, 0.7: s = sqrt(0.02), standard error 0.1, t(0.975; 1) = 12.7062: cut at 0 and 1
    assert summary.interval == Interval(0.0, 1.0, "sets", False)
    uncut = over_sets(*BY_HAND)
    assert uncut is not None
    assert (uncut.low, uncut.high) == pytest.approx((0.6 - 1.27062, 0.6 + 1.27062), abs=1e-5)


@given(scores_lists)
def test_without_single_items_it_is_scipys_t_interval(values: list[float]) -> None:
    found = over_sets(values, [str(place) for place in range(len(values))])
    scale = stats.sem(values)
    if found is None:
        assert scale < 1e-12
        return
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), scale)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)


def test_one_set_gives_an_interval_over_runs_and_says_so() -> None:
    summary = summarise(cell([0.5, 0.6, 0.7], ["a", "a", "a"]))
    expected = stats.t.interval(0.95, 2, 0.6, stats.sem([0.5, 0.6, 0.7]))
    assert summary.interval is not None
    assert summary.interval.over == "runs"
    assert (summary.interval.low, summary.interval.high) == pytest.approx(expected)


def test_a_learner_without_chance_on_one_set_has_no_interval() -> None:
    assert summarise(cell([0.71] * 4, ["a"] * 4)).interval is None
    assert summarise(cell([0.71] * 4, list("abcd"))).interval is None, "an interval without width would claim certainty"


def test_one_run_has_no_interval() -> None:
    assert summarise(cell([0.5], ["a"])) == Summary(0.5, 0.0, 1, 1, None)


@given(scores_lists, st.integers(2, 5))
def test_copying_the_runs_of_each_set_does_not_shrink_the_interval(values: list[float], copies: int) -> None:
    sets = [f"s{i}" for i in range(len(values))]
    once = over_sets(values, sets)
    often = over_sets(values * copies, sets * copies)
    assert (once is None) == (often is None)
    if once is None:
        return
    assert once is not None
    assert often is not None
    assert (often.low, often.high) == pytest.approx((once.low, once.high), abs=1e-9)


def test_more_sets_do_shrink_it() -> None:
    values = [0.5, 0.6, 0.55, 0.62]
    few = over_sets(values, list("abcd"))
    many = over_sets(values * 3, list("abcdefghijkl"))
    assert few is not None
    assert many is not None
    assert many.high - many.low < 0.6 * (few.high - few.low)


def test_paired_difference_by_hand() -> None:
    a, b = table([[0.6, 0.8], [0.7, 0.7]], "a"), table([[0.5, 0.5], [0.4, 0.6]], "b")
    found = paired_difference(a, b)
    assert found is not None
    assert found.mean == pytest.approx(0.2), "set differences 0.2 and 0.2"
    assert (found.n_pairs, found.n_left_out, found.n_units, found.interval) == (4, 0, 2, None)
    a, b = table([[0.6, 0.8], [0.7, 0.7], [0.8, 0.8]], "a"), table([[0.5, 0.5], [0.4, 0.6], [0.4, 0.4]], "b")
    found = paired_difference(a, b)
    assert found is not None
    assert found.interval is not None
    half = 4.3026527 * statistics.stdev([0.2, 0.2, 0.4]) / 3**0.5
    assert (found.interval.low, found.interval.high) == pytest.approx((0.8 / 3 - half, 0.8 / 3 + half))
    assert (found.n_units, found.verdict) == (3, "tie")


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8))
def test_with_one_run_a_set_it_is_scipys_paired_test(pairs: list[tuple[float, float]]) -> None:
    a = [round(x, 3) for x, _ in pairs]
    b = [round(y, 3) for _, y in pairs]
    found = paired_difference(table([[x] for x in a], "a"), table([[y] for y in b], "b"))
    assert found is not None
    if found.interval is None:
        assert np.std(np.subtract(a, b)) < 1e-9
        return
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    if len(pairs) < 3:
        assert (found.verdict, found.undecided) == ("undecided", "2 sets")
    else:
        assert (found.verdict == "tie") == (expected.low <= 0 <= expected.high)


def test_shared_noise_cancels_in_pairs() -> None:
    rng = np.random.default_rng(0)
    noise, own = rng.normal(0, 0.1, (6, 2)), rng.normal(0, 0.005, (6, 2))
    a, b = table((0.62 + noise + own).tolist(), "a"), table((0.60 + noise).tolist(), "b")
    found = paired_difference(a, b)
    assert found is not None
    assert found.verdict == "above", "a tenth of the spread, and yet separated"
    back = paired_difference(b, a)
    assert back is not None
    assert (back.mean, back.verdict) == (pytest.approx(-found.mean), "below")


def test_replicates_without_partner_are_counted_and_left_out() -> None:
    a, b = table([[0.6], [0.7], [0.8]], "a"), table([[0.5], [0.5]], "b")
    found = paired_difference(a, b)
    assert found is not None
    assert found.mean == pytest.approx(0.15)
    assert (found.n_pairs, found.n_left_out) == (2, 1)
    assert paired_difference(a, Scores.of({(0, 9, 9): (0.5, "x")})) is None


def test_two_deterministic_rows_compare_over_runs_only() -> None:
    a = cell([0.6, 0.61, 0.62, 0.63], ["only-a"] * 4)
    b = cell([0.5] * 4, ["only-b"] * 4)
    found = paired_difference(a, b)
    assert found is not None
    assert found.interval is not None
    assert found.interval.over == "runs"
    assert found.interval.low > 0
    assert (found.verdict, found.undecided) == ("undecided", "1 set"), "learner noise says nothing of other sets"
    flat = cell([0.6] * 4, ["only-a"] * 4)
    unreplicated = paired_difference(flat, b)
    assert unreplicated is not None
    assert unreplicated.interval is None, "every run was the same: nothing was replicated"
    assert unreplicated.verdict == "undecided"


def test_few_or_equal_sets_leave_a_comparison_undecided() -> None:
    two = paired_difference(table([[0.56], [0.561]], "a"), table([[0.5], [0.5]], "b"))
    flat = paired_difference(table([[0.56], [0.66], [0.76]], "a"), table([[0.5], [0.6], [0.7]], "b"))
    three = paired_difference(
        table([[0.56], [0.561], [0.559]], "a"), Scores.of({(0, i, 0): (0.5, "only") for i in range(3)})
    )
    assert two is not None
    assert flat is not None
    assert three is not None
    assert two.interval is not None
    assert two.interval.low > 0, "separated, were it not for the number of sets"
    assert (two.verdict, two.undecided) == ("undecided", "2 sets")
    assert (flat.verdict, flat.undecided, flat.interval) == ("undecided", "no spread", None)
    assert (three.verdict, three.undecided) == ("above", None), "different sets on one side are enough"
    assert (flat.p, two.p < 0.05, three.p < 0.05) == (1.0, True, True)


def test_pairs_that_share_a_set_are_one_observation() -> None:
    a, b = cell([0.6, 0.61, 0.62, 0.63, 0.64], "AABBC"), cell([0.5] * 5, "XYYZW")
    found, back = paired_difference(a, b), paired_difference(b, a)
    assert found is not None
    assert back is not None
    # A-X, A-Y, B-Y and B-Z hang together, C-W stands alone
    assert found.mean == pytest.approx((0.115 + 0.14) / 2)
    assert found.interval is not None
    assert back.interval is not None
    expected = stats.t.interval(0.95, 1, 0.1275, stats.sem([0.115, 0.14]))
    assert (found.interval.low, found.interval.high) == pytest.approx(expected)
    assert (-back.interval.high, -back.interval.low) == pytest.approx(expected)
    assert (found.n_units, found.verdict, back.verdict) == (4, "tie", "tie")


def with_items(scored: dict[tuple[int, ...], tuple[float, str]], rng: np.random.Generator) -> Scores:
    """About these scores, on 40 test rows."""
    items = {one: rng.random(40) < score for one, (score, _) in sorted(scored.items())}
    whole = Scores.of({one: (float(items[one].mean()), name) for one, (_, name) in scored.items()})
    return replace(whole, items=np.array(list(items.values())).reshape(-1, 40))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_an_adjusted_p_decides_the_verdict() -> None:
    found = Difference(0.1, Interval(0.02, 0.18, "sets", True), 5, 0, 5, p=0.02)
    assert found.verdict == "above"
    assert replace(found, adjusted=0.04).verdict == "above"
    assert replace(found, adjusted=0.06).verdict == "tie"
    assert [replace(found, adjusted=p).overruled for p in (None, 0.04, 0.06)] == [False, False, True]
    assert replace(found, adjusted=0.04, n_units=2).verdict == "undecided"


@given(st.integers(0, 2**32), st.integers(1, 5), st.booleans())
def test_differences_of_many_rows_are_those_of_each_alone(seed: int, n_sets: int, plain: bool) -> None:
    """Rows of own sets, of one set, of other replicates: each in its place."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(7):
        kept = [(0, i, j) for i in range(n_sets) for j in range(2) if number % 3 < 2 or rng.random() < 0.7]
        name = rng.choice(["own", "one"])
        scored = {one: (float(0.5 + 0.1 * rng.random()), f"{number}-{name}-{one[1] * (name == 'own')}") for one in kept}
        rows.append(Scores.of(scored) if plain else with_items(scored, rng))
    found = differences(rows[1:], rows[0])
    for row, one in zip(rows[1:], found, strict=True):
        alone = paired_difference(row, rows[0])
        assert (alone is None) == (one is None)
        if one is None or alone is None:
            continue
        assert (one.n_pairs, one.n_left_out, one.n_units, one.verdict) == (
            *(alone.n_pairs, alone.n_left_out, alone.n_units),
            alone.verdict,
        )
        assert one.mean == pytest.approx(alone.mean, abs=1e-12)
        assert one.p == pytest.approx(alone.p, rel=1e-5)
        pair = paired(row, rows[0])
        assert pair is not None
        by_hand = interval_of(pair.values(), pair.groups)
        assert (one.interval is None) == (by_hand is None)
        if one.interval is not None and by_hand is not None:
            assert (one.interval.low, one.interval.high) == pytest.approx((by_hand.low, by_hand.high), abs=1e-9)
            assert one.interval.over == by_hand.over
        assert pair.groups == _connected([(row.sets[i], rows[0].sets[j]) for i, j in zip(*pair.places, strict=True)])


def test_gap_closed() -> None:
    assert gap_closed(0.725, 0.581, 0.927) == pytest.approx(0.144 / 0.346)
    assert gap_closed(0.5, 0.6, 0.6) is None


@given(st.randoms(use_true_random=False))
def test_order_of_runs_does_not_matter(shuffler: random.Random) -> None:
    scores = [0.5, 0.52, 0.6, 0.64, 0.7, 0.71]
    places = list(zip(scores, "aabbcc", strict=True))
    shuffler.shuffle(places)
    found = summarise(cell([x for x, _ in places], [name for _, name in places]))
    expected = summarise(cell(scores, list("aabbcc")))
    assert found.mean == pytest.approx(expected.mean)
    assert found.interval is not None
    assert expected.interval is not None
    assert found.interval.low == pytest.approx(expected.interval.low)
