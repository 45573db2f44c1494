"""Statistics against values worked out by hand, scipy.stats, brute force, and properties."""

from __future__ import annotations

import itertools
import math
import random
import statistics
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from leaderboard.statistics import (
    LEVEL,
    Interval,
    Summary,
    _many_intervals,
    clustered_interval,
    gap_closed,
    hierarchical_bootstrap,
    paired_difference,
    rank_ranges,
    summarise,
    t_interval,
    variance_components,
)

BY_HAND = ([0.4, 0.6, 0.5, 0.9], ["a", "a", "b", "b"])  # set means 0.5 and 0.7

scores_lists = st.lists(st.floats(0, 1).map(lambda x: round(x, 4)), min_size=2, max_size=8)


def table(scores: list[list[float]], name: str = "s") -> dict[tuple[int, ...], tuple[float, str]]:
    """scores[set][run] as replicates, each set under a name of its own."""
    return {(0, i, j): (x, f"{name}{i}") for i, runs in enumerate(scores) for j, x in enumerate(runs)}


def test_summary_by_hand() -> None:
    summary = summarise(*BY_HAND)
    assert summary.mean == pytest.approx(0.6)
    assert summary.std == pytest.approx(math.sqrt((0.04 + 0 + 0.01 + 0.09) / 4)), "ddof 0, over runs"
    assert (summary.n_runs, summary.n_sets) == (4, 2)
    # set means 0.5, 0.7: s = sqrt(0.02), standard error 0.1, t(0.975; 1) = 12.7062: cut at 0 and 1
    assert summary.interval == Interval(0.0, 1.0, "sets")
    uncut = clustered_interval(*BY_HAND)
    assert uncut is not None
    assert (uncut.low, uncut.high) == pytest.approx((0.6 - 1.27062, 0.6 + 1.27062), abs=1e-5)


@given(scores_lists)
def test_t_interval_is_scipys(values: list[float]) -> None:
    found = t_interval(values)
    scale = stats.sem(values)
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), scale) if scale > 0 else (values[0], values[0])
    assert found == pytest.approx(expected, abs=1e-9)


def test_one_set_gives_an_interval_over_runs_and_says_so() -> None:
    summary = summarise([0.5, 0.6, 0.7], ["a", "a", "a"])
    expected = stats.t.interval(0.95, 2, 0.6, stats.sem([0.5, 0.6, 0.7]))
    assert summary.interval is not None
    assert summary.interval.over == "runs"
    assert (summary.interval.low, summary.interval.high) == pytest.approx(expected)


def test_a_learner_without_chance_on_one_set_has_no_interval() -> None:
    assert summarise([0.71] * 4, ["a"] * 4).interval is None
    assert summarise([0.71] * 4, list("abcd")).interval is None, "an interval without width would claim certainty"


def test_one_run_has_no_interval() -> None:
    assert summarise([0.5], ["a"]) == Summary(0.5, 0.0, 1, 1, None)
    assert t_interval([0.5]) is None
    assert hierarchical_bootstrap([0.5, 0.6], ["a", "a"]) is None
    assert variance_components([0.5, 0.6], ["a", "a"]) is None
    assert variance_components([0.5, 0.6], ["a", "b"]) is None, "no run was repeated in a set"


@given(scores_lists, st.integers(2, 5))
def test_copying_the_runs_of_each_set_does_not_shrink_the_interval(values: list[float], copies: int) -> None:
    sets = [f"s{i}" for i in range(len(values))]
    once = clustered_interval(values, sets)
    often = clustered_interval(values * copies, sets * copies)
    assert (once is None) == (often is None)
    if once is None:
        return
    assert once is not None
    assert often is not None
    assert (often.low, often.high) == pytest.approx((once.low, once.high), abs=1e-9)


def test_more_sets_do_shrink_it() -> None:
    values = [0.5, 0.6, 0.55, 0.62]
    few = clustered_interval(values, list("abcd"))
    many = clustered_interval(values * 3, list("abcdefghijkl"))
    assert few is not None
    assert many is not None
    assert many.high - many.low < 0.6 * (few.high - few.low)


def test_interval_covers_as_often_as_it_claims() -> None:
    """5 sets x 3 runs with a set effect: the t interval over sets covers about 95 %, one over runs far less."""
    rng = np.random.default_rng(5)
    names = [f"s{i}" for i in range(5) for _ in range(3)]
    trials, hits, naive = 600, 0, 0
    for _ in range(trials):
        scores = (rng.normal(0, 1, (5, 1)) + rng.normal(0, 0.5, (5, 3))).ravel()
        found, flat = clustered_interval(list(scores), names), t_interval(scores)
        assert found is not None
        assert flat is not None
        hits += found.low <= 0 <= found.high
        naive += flat[0] <= 0 <= flat[1]
    assert 0.92 < hits / trials < 0.98
    assert naive / trials < 0.85


def test_bootstrap_is_seeded_and_agrees_with_enumeration() -> None:
    """Three sets of two runs have 27 x 64 equally likely resamples: all of them, against the drawn ones."""
    scores, sets = [0.3, 0.5, 0.6, 0.6, 0.7, 0.95], list("aabbcc")
    groups = [scores[0:2], scores[2:4], scores[4:6]]
    means = [
        np.mean([np.mean([groups[g][i] for i in pick]) for g, pick in zip(drawn, picks, strict=True)])
        for drawn in itertools.product(range(3), repeat=3)
        for picks in itertools.product(itertools.product(range(2), repeat=2), repeat=3)
    ]
    found = hierarchical_bootstrap(scores, sets, seed=1, resamples=20_000)
    assert found == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.01)
    assert found == hierarchical_bootstrap(scores, sets, seed=1, resamples=20_000)
    assert hierarchical_bootstrap(scores, sets, 1, 50) != hierarchical_bootstrap(scores, sets, 2, 50)


def test_bootstrap_of_sets_of_unequal_size_weighs_sets_equally() -> None:
    low, high = hierarchical_bootstrap([0.0] * 9 + [1.0], ["a"] * 9 + ["b"], seed=0, resamples=4000) or (0, 0)
    assert (low, high) == (0.0, 1.0)


def test_variance_components_by_hand() -> None:
    # BY_HAND: MS between 2 x 2 x 0.1^2 / 1 = 0.04, MS within (0.02 + 0.08) / 2 = 0.05: set variance cut at 0
    found = variance_components(*BY_HAND)
    assert found is not None
    assert (found.set_std, found.run_std) == pytest.approx((0.0, math.sqrt(0.05)))
    # set means 0.2, 0.8; within +-0.1: MS between 2 x 0.18 / 1 = 0.36, within 0.04 / 2 = 0.02, (0.36 - 0.02) / 2
    found = variance_components([0.1, 0.3, 0.7, 0.9], list("aabb"))
    assert found is not None
    assert (found.set_std, found.run_std) == pytest.approx((math.sqrt(0.17), math.sqrt(0.02)))


def test_variance_components_are_found_again() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(2, 6, 400)
    scores = np.concatenate([rng.normal(rng.normal(0.5, 0.06), 0.03, n) for n in sizes])
    found = variance_components(list(scores), [str(i) for i, n in enumerate(sizes) for _ in range(n)])
    assert found is not None
    assert (found.set_std, found.run_std) == pytest.approx((0.06, 0.03), rel=0.08)


def test_paired_difference_by_hand() -> None:
    a, b = table([[0.6, 0.8], [0.7, 0.7]], "a"), table([[0.5, 0.5], [0.4, 0.6]], "b")
    found = paired_difference(a, b)
    assert found is not None
    assert found.mean == pytest.approx(0.2), "set differences 0.2 and 0.2"
    assert (found.n_pairs, found.n_left_out, found.n_sets, found.interval) == (4, 0, 2, None)
    a, b = table([[0.6, 0.8], [0.7, 0.7], [0.8, 0.8]], "a"), table([[0.5, 0.5], [0.4, 0.6], [0.4, 0.4]], "b")
    found = paired_difference(a, b)
    assert found is not None
    assert found.interval is not None
    half = 4.3026527 * statistics.stdev([0.2, 0.2, 0.4]) / 3**0.5
    assert (found.interval.low, found.interval.high) == pytest.approx((0.8 / 3 - half, 0.8 / 3 + half))
    assert (found.n_sets, found.verdict) == (3, "tie")


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
    assert paired_difference(a, {(0, 9, 9): (0.5, "x")}) is None


def test_two_deterministic_rows_compare_over_runs_only() -> None:
    a = {(0, i, 0): (0.6 + 0.01 * i, "only-a") for i in range(4)}
    b = {(0, i, 0): (0.5, "only-b") for i in range(4)}
    found = paired_difference(a, b)
    assert found is not None
    assert found.interval is not None
    assert found.interval.over == "runs"
    assert found.interval.low > 0
    assert (found.verdict, found.undecided) == ("undecided", "1 set"), "learner noise says nothing of other sets"
    flat = dict.fromkeys(a, (0.6, "only-a"))
    unreplicated = paired_difference(flat, b)
    assert unreplicated is not None
    assert unreplicated.interval is None, "every run was the same: nothing was replicated"
    assert unreplicated.verdict == "undecided"


def test_few_or_equal_sets_leave_a_comparison_undecided() -> None:
    two = paired_difference(table([[0.56], [0.561]], "a"), table([[0.5], [0.5]], "b"))
    flat = paired_difference(table([[0.56], [0.66], [0.76]], "a"), table([[0.5], [0.6], [0.7]], "b"))
    three = paired_difference(table([[0.56], [0.561], [0.559]], "a"), {(0, i, 0): (0.5, "only") for i in range(3)})
    assert two is not None
    assert flat is not None
    assert three is not None
    assert two.interval is not None
    assert two.interval.low > 0, "separated, were it not for the number of sets"
    assert (two.verdict, two.undecided) == ("undecided", "2 sets")
    assert (flat.verdict, flat.undecided, flat.interval) == ("undecided", "no spread", None)
    assert (three.verdict, three.undecided) == ("above", None), "different sets on one side are enough"


def test_pairs_that_share_a_set_are_one_observation() -> None:
    a = {(0, i, 0): (0.6 + 0.01 * i, name) for i, name in enumerate("AABBC")}
    b = {(0, i, 0): (0.5, name) for i, name in enumerate("XYYZW")}
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
    assert (found.n_sets, found.verdict, back.verdict) == (4, "tie", "tie")


def test_rank_ranges() -> None:
    best, middle, equal, worst = [0.9, 0.91, 0.92], [0.7, 0.71, 0.7], [0.71, 0.70, 0.7], [0.5, 0.52, 0.51]
    rows = [table([[x] for x in scores], str(i)) for i, scores in enumerate((best, middle, equal, worst))]
    assert rank_ranges(rows) == [(1, 1), (2, 3), (2, 3), (4, 4)]
    assert rank_ranges(rows[:1]) == [(1, 1)]
    single = [{(0, i, 0): (score, str(n)) for i, (score, _) in enumerate(row.values())} for n, row in enumerate(rows)]
    assert rank_ranges(single) == [(1, 4)] * 4, "one set each: no place is closed"


@given(st.integers(0, 2**32), st.sampled_from(["own", "one", "mixed", "drawn"]), st.booleans())
def test_rank_ranges_are_those_of_each_pair_alone(seed: int, sets: str, same_replicates: bool) -> None:
    """Rows compared many at once, and those that cannot be: other replicates, sets that are grouped otherwise."""
    rng = np.random.default_rng(seed)
    everyone = [(0, i, j) for i in range(5) for j in range(2)]
    rows = []
    for number in range(6):
        kept = everyone if same_replicates else [one for one in everyone if rng.random() < 0.8]
        of = {"own": lambda i: i, "one": lambda i: 0, "mixed": lambda i, n=number: i * (n % 2)}
        name = of.get(sets, lambda i: rng.integers(4))
        level = rng.choice([0.2, 0.5, 0.6])
        rows.append({one: (float(level + 0.1 * rng.random()), f"{number}-{name(one[1])}") for one in kept})
    expected = []
    for row in rows:
        found = [paired_difference(row, other) for other in rows if other is not row]
        verdicts = [difference.verdict for difference in found if difference is not None]
        expected.append((1 + verdicts.count("below"), len(rows) - verdicts.count("above")))
    assert rank_ranges(rows) == expected


def test_rows_of_one_layout_are_not_compared_two_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two by two, a board of 2,000 cells takes most of a minute."""

    def refuse(*rows: object) -> None:
        raise AssertionError("two rows alone")

    monkeypatch.setattr("leaderboard.statistics.paired_difference", refuse)
    rng = np.random.default_rng(0)
    drawn = [table((0.1 * n + 0.01 * rng.random((5, 2))).tolist(), str(n)) for n in range(4)]
    fixed = [{replicate: (score, "one") for replicate, (score, _) in row.items()} for row in drawn[:2]]
    assert rank_ranges([*drawn, *fixed])[3] == (1, 1)


@given(st.integers(0, 2**32), st.integers(3, 12), st.integers(1, 9), st.booleans())
def test_many_verdicts_have_the_digits_of_one(seed: int, n_sets: int, n_runs: int, interleaved: bool) -> None:
    rng = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(n_sets), n_runs)
    if interleaved:
        numbers = np.tile(np.arange(n_sets), n_runs)
    differences = rng.normal(0.01, 0.02, (7, len(numbers))).round(4)
    low, high = _many_intervals(differences, numbers)
    for row, ends in zip(differences, zip(low, high, strict=True), strict=True):
        found = clustered_interval(row.tolist(), numbers.tolist())
        assert found is not None
        assert (found.low, found.high) == ends


def whole_bootstrap(groups: list[np.ndarray], seed: int, resamples: int) -> tuple[float, float]:
    """All at once: resamples x sets x runs."""
    sizes = np.array([len(group) for group in groups])
    padded = np.zeros((len(groups), sizes.max()))
    for row, group in zip(padded, groups, strict=True):
        row[: len(group)] = group
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(groups), size=(resamples, len(groups)))
    runs = (rng.random((*drawn.shape, sizes.max())) * sizes[drawn][..., None]).astype(np.int64)
    counted = np.arange(sizes.max()) < sizes[drawn][..., None]
    means = (padded[drawn[..., None], runs] * counted).sum(axis=-1) / sizes[drawn]
    low, high = np.quantile(means.mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=10), min_size=2, max_size=30),
    st.integers(0, 3),
    st.integers(1, 500),
    st.integers(1, 200),
)
def test_the_bootstrap_in_blocks_has_the_draws_and_digits_of_one_at_once(
    groups: list[list[float]], seed: int, block: int, resamples: int
) -> None:
    scores = [score for group in groups for score in group]
    names = [name for name, group in enumerate(groups) for _ in group]
    expected = whole_bootstrap([np.array(group) for group in groups], seed, resamples)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("leaderboard.statistics.BLOCK", block)
        assert hierarchical_bootstrap(scores, names, seed, resamples) == expected


def test_the_bootstrap_of_many_sets_holds_little_at_once() -> None:
    tracemalloc.start()
    try:
        assert hierarchical_bootstrap([0.25, 0.5] * 2000, [n // 2 for n in range(4000)], resamples=400) is not None
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32e6, "of 2000 sets x 2 runs x 400 resamples x 8 bytes, 5 such arrays at once are 64 MB and more"


def test_gap_closed() -> None:
    assert gap_closed(0.725, 0.581, 0.927) == pytest.approx(0.144 / 0.346)
    assert gap_closed(0.5, 0.6, 0.6) is None


@given(st.randoms(use_true_random=False))
def test_order_of_runs_does_not_matter(shuffler: random.Random) -> None:
    scores = [0.5, 0.52, 0.6, 0.64, 0.7, 0.71]
    places = list(zip(scores, "aabbcc", strict=True))
    shuffler.shuffle(places)
    found = summarise([x for x, _ in places], [name for _, name in places])
    expected = summarise(scores, list("aabbcc"))
    assert found.mean == pytest.approx(expected.mean)
    assert found.interval is not None
    assert expected.interval is not None
    assert found.interval.low == pytest.approx(expected.interval.low)
