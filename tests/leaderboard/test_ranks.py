"""Ranks that comparisons leave open: many rows at once against each pair alone, and corrected ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.ranks import compare, rank_ranges, to_best
from leaderboard.scores import Scores
from leaderboard.statistics import holm, paired_difference
from tests.leaderboard.test_statistics import cell, table, with_items


def test_rank_ranges() -> None:
    best, middle, equal, worst = [0.9, 0.91, 0.92], [0.7, 0.71, 0.7], [0.71, 0.70, 0.7], [0.5, 0.52, 0.51]
    rows = [table([[x] for x in scores], str(i)) for i, scores in enumerate((best, middle, equal, worst))]
    assert rank_ranges(rows) == [(1, 1), (2, 3), (2, 3), (4, 4)]
    assert rank_ranges(rows[:1]) == [(1, 1)]
    single = [cell(row.scores.tolist(), [str(n)] * len(row)) for n, row in enumerate(rows)]
    assert rank_ranges(single) == [(1, 4)] * 4, "one set each: no place is closed"


@given(st.integers(0, 2**32), st.sampled_from(["own", "one", "mixed", "drawn"]), st.booleans(), st.booleans())
def test_rank_ranges_are_those_of_each_pair_alone(seed: int, sets: str, same_replicates: bool, plain: bool) -> None:
    """Rows compared many at once, and those that cannot be: other replicates, sets that are grouped otherwise."""
    rng = np.random.default_rng(seed)
    everyone = [(0, i, j) for i in range(5) for j in range(2)]
    rows = []
    for number in range(6):
        kept = everyone if same_replicates else [one for one in everyone if rng.random() < 0.8]
        of = {"own": lambda i: i, "one": lambda i: 0, "mixed": lambda i, n=number: i * (n % 2)}
        name = of.get(sets, lambda i: rng.integers(4))
        level = rng.choice([0.2, 0.5, 0.6])
        scored = {one: (float(level + 0.1 * rng.random()), f"{number}-{name(one[1])}") for one in kept}
        rows.append(Scores.of(scored) if plain else with_items(scored, rng))
    expected = []
    for row in rows:
        found = [paired_difference(row, other) for other in rows if other is not row]
        verdicts = [difference.verdict for difference in found if difference is not None]
        expected.append((1 + verdicts.count("below"), len(rows) - verdicts.count("above")))
    assert rank_ranges(rows) == expected
    best = int(rng.integers(len(rows)))
    pairs = [paired_difference(row, rows[best]) for row in rows]
    verdicts = [pair.verdict if pair is not None else "undecided" for pair in pairs]
    others = {verdict for place, verdict in enumerate(verdicts) if place != best}
    verdicts[best] = "undecided" if others == {"undecided"} else "tie"
    assert to_best(len(rows), compare(rows), best) == verdicts
    corrected = to_best(len(rows), compare(rows, "holm"), best)
    assert all(one == other or (one, other) in UNDONE for one, other in zip(verdicts, corrected, strict=True))


UNDONE = {("above", "tie"), ("below", "tie")}  # what a correction may do to a verdict


def test_rows_of_one_layout_are_not_compared_two_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two by two, a board of 2,000 cells takes most of a minute."""

    def refuse(*rows: object) -> None:
        raise AssertionError("two rows alone")

    monkeypatch.setattr("leaderboard.ranks.paired_difference", refuse)
    rng = np.random.default_rng(0)
    drawn = [table((0.1 * n + 0.01 * rng.random((5, 2))).tolist(), str(n)) for n in range(4)]
    fixed = [replace(row, sets=("one",) * len(row)) for row in drawn[:2]]
    assert rank_ranges([*drawn, *fixed])[3] == (1, 1)


def test_a_correction_closes_no_place_that_was_open() -> None:
    rng = np.random.default_rng(1)
    changed = 0
    for _ in range(20):
        rows = [table((0.015 * n + 0.07 * rng.random((5, 2))).tolist(), str(n)) for n in range(6)]
        plain, corrected = rank_ranges(rows), rank_ranges(rows, "holm")
        changed += plain != corrected
        assert all(a[0] >= b[0] and a[1] <= b[1] for a, b in zip(plain, corrected, strict=True))
    assert changed > 5
    pairs = [paired_difference(a, b) for i, a in enumerate(rows) for b in rows[i + 1 :]]
    separated = sum(value < 0.05 for value in holm([each.p for each in pairs if each is not None]))
    assert sum(best - 1 + len(rows) - worst for best, worst in corrected) == 2 * separated
