"""Records -> board: what counts, what is left out and named, and that order does not matter."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UserError
from bench.store.cards import Gold
from bench.store.predictions import encode
from bench.store.record import MadeOf, PlannedCell, Record, StudentRef
from leaderboard.board import Board, build
from leaderboard.dd_ranking import dd_ranking
from leaderboard.equivalent import equivalent_sizes
from leaderboard.latex import latex
from leaderboard.overview import overviews
from leaderboard.row import Row
from leaderboard.statistics import holm, paired_difference
from leaderboard.text import markdown
from leaderboard.transfer import transfers
from tests.leaderboard.records import GOLD, cell, gold_labels, plugin, pocket, record, student, task_card, times

PAIR = {"accuracy": 0.7, "f1": 0.5, "accuracy_f1": 0.6}


def row_of(board: Board, method: str, dpc: int | None = 5, task: str = "bbc") -> Row:
    (found,) = [row for row in board.rows if (row.method, row.dpc, row.task) == (method, dpc, task)]
    return found


def broken(one: Record, status: str = "failed", reason: str = "out of memory") -> Record:
    changes: dict[str, Any] = {"status": status, "reason": reason, "score": None, "metrics": {}, "metric": None}
    return replace(one, predictions=None, **changes)


def with_score(one: Record, score: float, **changes: Any) -> Record:
    """With another score, whatever its predictions are: a board does not look at these."""
    return replace(one, score=score, metrics={"accuracy": score}, **changes)


def plan_of(records: list[Record]) -> list[PlannedCell]:
    """The planned cells that a run of these records leaves."""
    keys: dict[str, list[str]] = {}
    for one in records:
        keys.setdefault(one.cell, []).append(one.key)
    first = {one.cell: one for one in reversed(records)}
    return [
        PlannedCell(
            suite=one.suite,
            key=cell,
            task=one.task.label,
            method=one.method.label,
            student=one.student.label,
            dpc=one.dpc,
            replicates=tuple(found),
        )
        for cell, found in keys.items()
        for one in [first[cell]]
    ]


def test_replicates_that_were_computed_under_another_label_stand_under_the_planned_one_too() -> None:
    records = cell("herding", n_sets=3)
    planned = [replace(one, method="again") for one in plan_of(records)]
    rows = {row.method: row for row in build(records, planned).rows}
    assert rows["again"].summary == rows["herding"].summary is not None
    assert not build(records, planned).holes


def test_rows_hold_mean_std_and_interval_of_their_records() -> None:
    records = pocket()
    board = build(records)
    assert len(board.rows) == 2 * 2 * 3 + 1
    mine = [one.score for one in records if one.task.label == "rt" and one.dpc == 20 and one.score][10:20]
    row = row_of(board, "kcenters", 20, "rt")
    assert row.summary is not None
    assert row.summary.mean == pytest.approx(statistics.fmean(mine))
    assert row.summary.std == pytest.approx(statistics.pstdev(mine))
    assert row.summary.interval is not None
    means = [statistics.fmean(mine[i : i + 2]) for i in range(0, 10, 2)]
    half = 2.7764451 * statistics.stdev(means) / 5**0.5
    assert row.summary.interval.high == pytest.approx(statistics.fmean(means) + half)
    assert (row.summary.n_sets, row.summary.n_runs, row.ok, row.planned) == (5, 10, 10, 10)
    assert row.summary.interval.over == "sets"
    herding = row_of(board, "herding").summary
    assert herding is not None
    assert herding.interval is not None
    assert (herding.n_sets, herding.interval.over) == (1, "runs")
    assert board.holes == ()
    assert board.notes == ()


def test_with_gold_labels_other_test_rows_are_in_the_intervals() -> None:
    """The same means; an interval of Student's quantiles over sets and over the predictions of single test rows."""
    plain, board = build(pocket()), build(pocket(), gold=gold_labels)
    for row, other in zip(board.rows, plain.rows, strict=True):
        assert row.summary is not None
        assert other.summary is not None
        assert row.summary.interval is not None
        assert other.summary.interval is not None
        assert (row.summary.mean, row.summary.std) == (other.summary.mean, other.summary.std)
        assert row.summary.interval.items
        assert row.summary.interval.over == other.summary.interval.over
        assert row.summary.interval.high > other.summary.interval.high
    mine = [one for one in pocket() if (one.task.label, one.dpc, one.method.name) == ("rt", 20, "kcenters")]
    right = np.array([one.predictions.labels() == GOLD for one in mine if one.predictions is not None], float)
    y = right.reshape(5, 2, -1).mean(1)
    of_sets, of_items = y.mean(1), y.mean(0)
    rest = (y - of_sets[:, None] - of_items + y.mean()).var() * y.size / (4 * (len(GOLD) - 1))
    added = (of_items.var(ddof=1) - rest / 5) / len(GOLD)
    half = np.hypot(2.7764451 * of_sets.std(ddof=1) / 5**0.5, 1.9602 * added**0.5)
    summary = row_of(board, "kcenters", 20, "rt").summary
    assert summary is not None
    assert summary.interval is not None
    assert summary.interval.high == pytest.approx(of_sets.mean() + half, abs=1e-6)


def test_test_rows_of_a_pair_may_undo_a_separation() -> None:
    """All sets agree that one method is better, by two or three rows of a small test: other rows may say otherwise."""
    gold = Gold(task_card(test_labels=(0, 1) * 20, n_test=40), Path("tasks"))
    records = []
    for method, wrong in (("random", 10), ("kcenters", 8)):
        for index in range(5):
            labels = gold.labels.copy()
            labels[: wrong - (method == "kcenters" and index % 2)] ^= 1
            score = float((labels == gold.labels).mean())
            records.append(record(score, method=method, set_index=index, predictions=encode(labels)))
    given, sampled = (row_of(build(records, gold=each), "kcenters") for each in (lambda _: None, lambda _: gold))
    assert given.difference is not None
    assert sampled.difference is not None
    assert given.difference.mean == sampled.difference.mean == pytest.approx(0.06)
    assert (given.difference.verdict, given.rank) == ("above", (1, 1))
    assert (sampled.difference.verdict, sampled.rank) == ("tie", (1, 2))


def test_a_correction_holds_within_a_task_student_and_dpc() -> None:
    plain, board = (build(pocket(), gold=gold_labels, correction=each) for each in ("none", "holm"))  # type: ignore[arg-type]
    assert (plain.correction, board.correction) == ("none", "holm")
    for task, dpc in (("bbc", 5), ("rt", 20)):
        rows = [row_of(board, method, dpc, task) for method in ("kcenters", "herding")]
        p = [row.difference.p for row in rows if row.difference is not None]
        assert p == [getattr(row_of(plain, row.method, dpc, task).difference, "p", None) for row in rows]
        assert [getattr(row.difference, "adjusted", None) for row in rows] == pytest.approx(holm(p))
    assert {getattr(row.difference, "adjusted", None) for row in plain.rows} == {None}
    assert "no correction for many" in markdown(plain)
    assert "Verdicts are corrected (Holm)" in markdown(board)


def test_rows_stand_best_first_within_dpc_and_all_data_last() -> None:
    rows = [row for row in build(pocket()).rows if row.task == "bbc"]
    assert [row.dpc for row in rows] == [5, 5, 5, 20, 20, 20, None]
    means = [row.summary.mean for row in rows[:3] if row.summary]
    assert means == sorted(means, reverse=True)
    assert rows[-1].is_full
    assert rows[-1].rank is None


@given(st.randoms(use_true_random=False))
def test_order_of_records_leaves_the_board_alone(shuffler: random.Random) -> None:
    records = [*pocket(("bbc",)), record(None, method="tdd", status="not_applicable", reason="no text")]
    records[2] = broken(records[2])
    expected = build(records, plan_of(records))
    shuffler.shuffle(records)
    assert build(records, plan_of(records)) == expected


@pytest.mark.parametrize("status", ["failed", "timeout", "oom", "not_run"])
def test_a_failed_replicate_lowers_coverage_and_is_named(status: str) -> None:
    records = pocket()
    assert records[0].method.name == "random"
    whole = row_of(build(records), "random").summary
    records[0] = broken(records[0], status)
    board = build(records)
    row = row_of(board, "random")
    assert (row.ok, row.planned, row.complete) == (9, 10, False)
    assert board.holes == (f"bbc dpc 5 random minilm: 1 of 10 replicates {status.replace('_', ' ')}: out of memory",)
    assert row.summary is not None
    assert whole is not None
    assert row.summary.n_runs == 9
    assert row.summary.mean > 0.4, "a failure is no zero"
    difference = row_of(board, "kcenters").difference
    assert difference is not None
    assert (difference.n_pairs, difference.n_left_out) == (9, 1)
    assert any(note.startswith("bbc dpc 5 kcenters minilm: 1 replicate without") for note in board.notes)


def test_what_was_planned_and_never_ran_is_a_hole() -> None:
    records = pocket()
    planned = plan_of(records)
    records = [one for one in records if one.dpc != 20 or one.method.name != "herding"][3:]
    board = build(records, planned)
    assert "bbc dpc 5 random minilm: 3 of 10 replicates not run yet" in board.holes
    assert "bbc dpc 20 herding minilm: 10 of 10 replicates not run yet" in board.holes
    empty = row_of(board, "herding", 20)
    assert (empty.summary, empty.ok, empty.planned, empty.metric) == (None, 0, 10, "accuracy")


def test_not_applicable_is_a_row_with_its_reason_and_no_hole() -> None:
    no = [
        record(None, method="tdd", set_index=i, status="not_applicable", reason="the set has no text level")
        for i in range(5)
    ]
    board = build([*pocket(), *no])
    row = row_of(board, "tdd")
    assert row.summary is None
    assert not row.applicable
    assert row.rank is None
    assert board.holes == ()
    assert board.not_applicable == ("bbc dpc 5 tdd minilm: not applicable: the set has no text level",)
    assert row_of(board, "random").rank == row_of(build(pocket()), "random").rank


def test_parameters_make_rows_of_their_own() -> None:
    mean = plugin("kcenters", "kcenters[pooling=mean]", pooling="mean")
    more = [replace(one, method=mean, cell="other", key=one.key + "m") for one in cell("kcenters", task="bbc")]
    board = build([*pocket(), *more])
    assert {"kcenters", "kcenters[pooling=mean]"} < set(board.methods)
    twin = row_of(board, "kcenters[pooling=mean]")
    assert twin.summary == row_of(board, "kcenters").summary


def test_versions_are_never_pooled() -> None:
    """Records under another cell key (new code, base seed, default) replace the older ones, and that is said."""
    old = pocket()
    fresh = [
        with_score(one, 0.9, cell="v2", key=one.key + "v2", time=times("2026-02-01T00:00:00Z"))
        for one in cell("kcenters", task="bbc")[:4]
    ]
    board = build([*old, *fresh])
    row = row_of(board, "kcenters")
    assert row.summary is not None
    assert (row.summary.mean, row.summary.n_runs) == (pytest.approx(0.9), 4)
    assert any("bbc: 10 records left out" in note for note in board.notes)
    planned = [replace(one, key="v3", replicates=("x", "y")) for one in plan_of(cell("kcenters", task="bbc"))]
    row = row_of(build([*old, *fresh], planned), "kcenters")
    assert (row.summary, row.ok, row.planned) == (None, 0, 2), "the plan says which version counts"


def test_another_revision_of_a_task_is_left_out() -> None:
    stale = cell("random", task="bbc", revision="r0", finished="2025-12-01T00:00:00Z", dpc=10)
    board = build([*pocket(), *stale])
    assert {row.revision for row in board.rows} == {"r1"}
    assert any("bbc: 10 records left out" in note for note in board.notes)


def test_the_baseline_can_be_chosen() -> None:
    board = build(pocket(), baseline="kcenters")
    assert board.baseline == "kcenters"
    difference = row_of(board, "random").difference
    assert difference is not None
    assert difference.verdict == "below"
    assert row_of(board, "kcenters").difference is None
    with pytest.raises(UserError, match="did you mean 'kcenters'"):
        build(pocket(), baseline="kcentres")


def test_without_random_no_difference_is_shown_and_that_is_said() -> None:
    board = build([*cell("kcenters"), *cell("herding")])
    assert board.baseline is None
    assert all(row.difference is None for row in board.rows)
    assert any("random" in note for note in board.notes)


def test_a_board_keeps_no_means_of_its_comparisons() -> None:
    """64 kB a row of 20 sets and 400 test rows: gigabytes on a large board."""
    records = [
        *pocket(("bbc",), (5, 20)),
        *(replace(one, student=student("bert"), key=f"{one.key}-b") for one in pocket(("bbc",))),
    ]
    board = build(records, gold=gold_labels)
    assert transfers(board)
    assert {len(row.scores._kept) for row in board.rows} == {0}


def test_where_the_baseline_has_no_row_that_is_said() -> None:
    records = [*pocket(("bbc",), (5,)), *cell("kcenters", task="rt"), *cell("herding", task="rt")]
    (note,) = [note for note in build(records).notes if "baseline" in note]
    assert note == "No row of the baseline random, so no differences to it: rt minilm (league A)."
    assert not any("baseline" in note for note in build(pocket()).notes)


def test_gap_closed_needs_all_data() -> None:
    board = build(pocket())
    full, base, row = row_of(board, "full", None), row_of(board, "random"), row_of(board, "kcenters")
    assert full.summary is not None
    assert base.summary is not None
    assert row.summary is not None
    expected = (row.summary.mean - base.summary.mean) / (full.summary.mean - base.summary.mean)
    assert row.gap == pytest.approx(expected)
    assert row_of(board, "kcenters", task="rt").gap is None


def test_letters_tell_what_ranks_cannot() -> None:
    """Each row's letters against the verdicts of each pair; "a" is the best row's."""
    for seed in range(6):
        rows = build([*cell("random", seed=seed), *cell("kcenters", seed=seed), *cell("herding", seed=seed)]).rows
        assert rows[0].group[0] == "a"
        for one, other in combinations(rows, 2):
            difference = paired_difference(one.scores, other.scores)
            assert difference is not None
            separated = difference.verdict in ("above", "below")
            assert set(one.group).isdisjoint(other.group) == separated
    (all_data,) = [row for row in build(pocket()).rows if row.is_full]
    assert (all_data.group, all_data.rank) == ("", None)


def test_sizes_are_read_from_random_of_the_same_student_task_and_league() -> None:
    curve = [one for dpc in (5, 20) for one in cell("random", dpc=dpc)]
    mine = cell("kcenters")
    row = row_of(build([*curve, *mine]), "kcenters")
    curves = {dpc: row_of(build(curve), "random", dpc).scores for dpc in (5, 20)}
    assert [row.equivalent] == equivalent_sizes([row.scores], curves)
    assert row.equivalent is not None
    foreign = {"student": {"student": "probe"}, "task": {"task": "rt"}, "league": {"league": "D"}}
    for changes in foreign.values():
        elsewhere = [*cell("random"), *cell("random", dpc=20, **changes), *mine]
        assert row_of(build(elsewhere), "kcenters").equivalent is None
    assert row_of(build([*curve, *mine]), "random").equivalent is None
    other_version = [replace(one, student=student("minilm", key="old")) for one in curve if one.dpc == 20]
    assert row_of(build([*cell("random"), *other_version, *mine]), "kcenters").equivalent is None


def test_dd_ranking_is_over_random_and_all_data_of_league_a_whatever_the_baseline() -> None:
    records = [*cell("random"), *cell("kcenters"), *cell("herding"), *cell("full", dpc=None)]
    means = {row.method: row.summary.mean for row in build(records).rows if row.summary}
    for baseline in (None, "herding"):
        row = row_of(build(records, baseline=baseline), "kcenters")
        assert row.dd == dd_ranking(means["kcenters"], means["random"], means["full"])
    for left_out in ("random", "full"):
        assert row_of(build([one for one in records if one.method.name != left_out]), "kcenters").dd is None
    soft = build([replace(one, league="B") for one in records])
    assert row_of(soft, "kcenters").dd is None, "no score with hard labels"
    assert row_of(soft, "random").dd is None


def test_sets_of_several_generators_are_as_many_observations() -> None:
    """Two decide nothing, however many sets; of three the interval is over their means, for differences too."""

    def made(n: int) -> list[Record]:
        records = [replace(one, preparation=one.set % n) for one in cell("kcenters", n_sets=6)]
        return [*records, *cell("random", n_sets=6)]

    two, three = (row_of(build(made(n)), "kcenters") for n in (2, 3))
    assert two.difference is not None
    assert (two.difference.verdict, two.difference.undecided) == ("undecided", "2 preparations")
    assert two.rank == (1, 2)
    assert three.summary is not None
    assert three.difference is not None
    assert (three.summary.n_sets, three.summary.n_preparations) == (6, 3)
    scores = {name: three_sets(made(3), name) for name in ("kcenters", "random")}
    assert three.summary.interval is not None
    assert three.difference.interval is not None
    for interval, means in (
        (three.summary.interval, scores["kcenters"]),
        (three.difference.interval, scores["kcenters"] - scores["random"]),
    ):
        assert interval.over == "preparations"
        half = 4.3026527 * means.std(ddof=1) / 3**0.5
        assert (interval.low, interval.high) == pytest.approx((means.mean() - half, means.mean() + half))
    assert three.difference.verdict == "above"
    note = "Its sets are of 3 prepared artifacts, each one observation for bold."
    assert note in latex(build(made(3)))
    own = row_of(build(made(6)), "kcenters")
    assert own.summary is not None
    assert (own.summary.n_preparations, own.summary.interval and own.summary.interval.over) == (None, "sets")
    common = times(made_of=(MadeOf(kind="converted", key="c", seconds=1.0),))
    assert not row_of(build([replace(one, time=common) for one in made(3)]), "kcenters").prepared_once
    alike = [replace(one, set_digest="same") if one.set < 3 else one for one in made(3)]
    row = row_of(build(alike), "kcenters")
    assert row.difference is not None
    assert row.difference.undecided == "1 preparation", "what three of them gave alike tells nothing of them"
    assert row.rank == (1, 2)


def test_of_preparations_those_that_are_compared_count() -> None:
    """The other row finished sets of the first one alone, so no two preparations are in the difference."""
    prepared = [replace(one, preparation=one.set % 3) for one in cell("kcenters", n_sets=12)]
    other = [one for one in cell("random", n_sets=12) if one.set % 3 == 0]
    found = row_of(build([*prepared, *other]), "kcenters").difference
    assert found is not None
    assert found.interval is not None
    assert (found.undecided, found.interval.over) == ("1 preparation", "sets")


def three_sets(records: list[Record], method: str) -> np.ndarray:
    """Mean scores of sets 0 and 3, 1 and 4, 2 and 5."""
    mine = [one for one in records if one.method.name == method]
    return np.array([statistics.fmean(one.score or 0.0 for one in mine if one.set % 3 == place) for place in range(3)])


def test_sets_of_one_generator_are_marked() -> None:
    """Not features and what else has no luck, not those of a generator each."""

    def made(*keys: str, kind: str = "generator", **changes: Any) -> Row:
        records = [
            replace(
                one, time=times(made_of=(MadeOf(kind=kind, key=keys[one.set % len(keys)], seconds=1.0),)), **changes
            )
            for one in cell("random")
        ]
        return row_of(build(records), "random")

    assert made("one").prepared_once
    assert not made("one", kind="features").prepared_once
    assert not made("one", "two").prepared_once
    assert made("one", set_digest="same").prepared_once, "as of a deterministic method"
    assert not made("one", kind="frozen-states").prepared_once
    unknown = build(cell("random"))
    assert row_of(unknown, "random").prepared_once is None, "nobody noted it"
    assert "(¶) was not noted (older records, imported sets) of: random." in markdown(unknown)
    records = [replace(one, time=times(made_of=(MadeOf(kind="g", key="1", seconds=1.0),))) for one in cell("random")]
    assert "¶ |" in markdown(build(records))
    assert "¶ all its sets come from one prepared artifact" in markdown(build(records))
    assert "All its sets come from one prepared artifact" in latex(build(records))
    assert "was not noted" not in markdown(build(records))


def test_leagues_are_ranked_apart() -> None:
    soft = [replace(one, league="B") for one in cell("kcenters", task="rt", student="minilm")]
    records = [one for one in pocket() if one.task.label != "rt" or one.method.name != "kcenters"]
    board = build([*records, *soft])
    row = row_of(board, "kcenters", task="rt")
    assert (row.league, row.rank, row.difference) == ("B", (1, 1), None)
    assert board.leagues == ("A", "B")
    assert [table.league for table in overviews(board)] == ["A", "B"]


def test_random_and_all_data_are_references_to_other_leagues_and_change_nothing() -> None:
    soft = [replace(one, league="B") for dpc in (5, 20) for one in cell("kcenters", dpc=dpc)]
    base = [*cell("random"), *cell("herding"), *cell("full", dpc=None), *cell("random", student="probe")]
    board = build([*base, *soft])
    assert {
        place: [(row.method, row.dpc, row.student, row.league) for row in rows]
        for place, rows in board.references.items()
    } == {
        ("B", "bbc", "minilm", 5): [("random", 5, "minilm", "A")],
        ("B", "bbc", "minilm", None): [("full", None, "minilm", "A")],
    }
    assert all(row in board.rows for rows in board.references.values() for row in rows), "the rows themselves"
    alone = {row.names: row for row in (*build(base).rows, *build(soft).rows)}
    assert {row.names: row for row in board.rows} == alone, "no rank, verdict or gap comes of a reference"


def test_a_league_with_rows_of_its_own_needs_no_reference() -> None:
    own = [replace(one, league="B", key=f"{one.key}-B", cell="b") for one in cell("random", dpc=20)]
    records = [*cell("random"), *cell("full", dpc=None), *own]
    assert list(build(records).references) == [("B", "bbc", "minilm", None)]
    lost = [broken(one) for one in cell("full", dpc=None)]
    assert build([*cell("random"), *lost, *own]).references == {}, "without a score"


def test_a_reference_has_the_same_version_of_the_student() -> None:
    base = [*cell("random"), *cell("full", dpc=None)]
    soft = [replace(one, league="C") for one in cell("kcenters")]
    old, new = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
    board = build([*with_student(base, "k1", old), *with_student(soft, "k2", new)])
    assert board.references == {}
    assert len(build([*with_student(base, "k2", old), *with_student(soft, "k2", new)]).references) == 2


def test_a_recipe_that_reads_no_texts_has_the_references_of_the_other() -> None:
    """`random` cannot be trained on by learned steps, so the standard recipe's score stands beside."""

    def by(records: list[Record], label: str, **params: Any) -> list[Record]:
        one = StudentRef(name="minilm", label=label, params=params, key=label)
        return [replace(each, student=one, key=f"{each.key}-{label}", cell=f"{each.cell}-{label}") for each in records]

    learned = by(cell("herding"), "minilm[recipe=learned-sgd]", recipe="learned-sgd", top=2)
    learned = [replace(one, league="C") for one in learned]
    random, full = cell("random"), cell("full", dpc=None)
    standard = by([*random, *cell("kcenters"), *cell("herding"), *full], "minilm", recipe="standard", top=2)
    board = build([*learned, *standard, *by(random, "minilm[top=4]", recipe="standard", top=4)])
    assert {place: [(row.method, row.student) for row in rows] for place, rows in board.references.items()} == {
        ("C", "bbc", "minilm[recipe=learned-sgd]", 5): [("kcenters", "minilm"), ("random", "minilm")],
        ("C", "bbc", "minilm[recipe=learned-sgd]", None): [("full", "minilm")],
    }
    assert "random (reference, league A, minilm)" in markdown(board)
    assert build([*learned, *by(random, "minilm", top=2)]).references == {}, "of a version without recipes"
    own = [replace(one, league="C") for one in by(random, "minilm[recipe=learned-sgd]", recipe="learned-sgd", top=2)]
    beside = build([*learned, *own, *standard]).references
    assert [row.method for rows in beside.values() for row in rows] == ["kcenters", "full"], "it has its own random"


@pytest.mark.parametrize("place", [0, 9])
def test_a_failure_says_nothing_of_the_league(place: int) -> None:
    """Neither a first failed replicate nor one of older records, which all said A, decides over its cell."""
    soft = [replace(one, league="C") for one in cell("kcenters", task="rt")]
    soft[place] = broken(replace(soft[place], league="A"))
    lost = [broken(replace(one, league="A")) for one in cell("herding", task="rt")]
    board = build([*cell("random", task="rt"), *soft, *lost])
    row = row_of(board, "kcenters", task="rt")
    assert (row.league, row.rank, row.difference) == ("C", (1, 1), None)
    failed = row_of(board, "herding", task="rt")
    assert (failed.league, failed.rank, failed.ok) == (None, None, 0)
    assert board.leagues == ("A", "C")
    assert [method for table in overviews(board) for method, _, _ in table.rows] == ["random", "kcenters"]
    assert board.holes[-1] == "rt dpc 5 herding minilm: 10 of 10 replicates failed: out of memory"


def test_a_method_that_mixes_levels_is_named_and_not_ranked() -> None:
    mixed = [replace(one, league="C" if one.set % 2 else "A") for one in cell("kcenters")]
    board = build([*cell("random"), *cell("herding"), *mixed])
    row = row_of(board, "kcenters")
    assert (row.league, row.rank, row.difference, row.mixed) == (None, None, None, ("A", "C"))
    assert row_of(board, "herding").rank == (1, 1), "ranked among the two that are left"
    assert board.holes == (
        "bbc dpc 5 kcenters minilm: its replicates are of leagues A and C: the method mixes levels, not ranked",
    )


def test_sets_with_equal_content_count_once() -> None:
    """A method that ignores its seed makes sets under keys of their own with the same examples."""
    same = [replace(one, set_digest="same") for one in cell("kcenters")]
    same[3] = replace(same[3], set_digest=None)  # written before there were digests: its set is known from the others
    board = build([*cell("random"), *same, *cell("herding")])
    row = row_of(board, "kcenters")
    assert row.summary is not None
    assert row.summary.interval is not None
    assert (row.summary.n_sets, row.summary.n_runs, row.summary.interval.over) == (1, 10, "runs")
    assert (len(row.set_keys), row.n_keys, row.parts) == (1, 5, None)
    (note,) = board.notes
    assert note.startswith("bbc dpc 5 kcenters minilm: 5 sets made, 1 different: equal ones count as one in its")
    apart = build([*cell("random"), *cell("kcenters")])
    assert row.summary.mean == getattr(row_of(apart, "kcenters").summary, "mean", None)
    assert row.difference is not None
    assert row.difference.n_units == 5, "random's"
    against = build([*same, *cell("herding")], baseline="herding")
    alone = row_of(against, "kcenters").difference
    assert alone is not None
    assert (alone.verdict, alone.undecided) == ("undecided", "1 set")
    assert {row.rank for row in against.rows} == {(1, 2)}


def test_two_sets_decide_nothing() -> None:
    few = [
        record(0.5 + 0.06 * (m == "kcenters"), method=m, set_index=i) for m in ("random", "kcenters") for i in (0, 1)
    ]
    row = row_of(build(few), "kcenters")
    assert row.difference is not None
    assert (row.difference.verdict, row.difference.interval, row.rank) == ("undecided", None, (1, 2))


def with_student(records: list[Record], key: str | None, finished: str) -> list[Record]:
    return [replace(one, student=replace(one.student, key=key), time=times(finished)) for one in records]


@pytest.mark.parametrize("old", [None, "k1"])
def test_rows_of_another_student_are_marked_and_not_compared(old: str | None) -> None:
    fresh = [*cell("random"), *cell("herding"), *cell("full", dpc=None)]
    board = build(
        [
            *with_student(fresh, "k2", "2026-02-01T00:00:00Z"),
            *with_student(cell("kcenters"), old, "2026-01-01T00:00:00Z"),
            *with_student(cell("kcenters", dpc=20), old, "2026-01-01T00:00:00Z"),
            *with_student(cell("random", dpc=20), old, "2026-01-01T00:00:00Z"),
        ]
    )
    stale = row_of(board, "kcenters")
    assert (stale.outdated, stale.rank, stale.difference, stale.gap) == (True, None, None, None)
    apart = row_of(build(fresh), "herding")
    beside = row_of(board, "herding")
    assert (beside.rank, beside.difference, beside.gap) == (apart.rank, apart.difference, apart.gap)
    alike = row_of(board, "kcenters", 20)
    assert not alike.outdated
    assert alike.difference is not None
    assert alike.gap is None, "all data were scored by the newer student"
    (note,) = board.notes
    assert note.startswith("bbc minilm: another version of the student made the scores of kcenters dpc 5; the newer")
    (table,) = overviews(board)
    assert "kcenters" in table.left_out


def test_the_cost_of_a_set_holds_its_share_of_what_several_use() -> None:
    lm, tuned, features = (
        MadeOf(kind=kind, key=kind, seconds=each) for kind, each in (("lm", 60.0), ("tuned", 100.0), ("features", 30.0))
    )

    def made(method: str, parts: list[MadeOf] | None, distil: float, **fields: Any) -> list[Record]:
        time = times(distil_s=distil, student_s=1.0, made_of=None if parts is None else tuple(parts))
        return [replace(one, time=time) for one in cell(method, **fields)]

    records = [
        *made("random", [], 0.5),
        *made("kcenters", [features, lm, tuned], 2.0),  # 5 sets
        *made("kcenters", [features, lm, tuned], 4.0, dpc=20),  # 5 more
        *made("herding", [features, lm], 1.0),  # 1 set
        *made("kcenters", [features], 0.0, student="probe"),  # the same sets as minilm's
    ]
    board = build(records)
    costs = {(row.method, row.dpc, row.student): row.cost for row in board.rows}
    used = {"features": 11, "lm": 11, "tuned": 10}
    first = costs["kcenters", 5, "minilm"]
    assert first is not None
    assert (first.distil, first.prepare) == (2.0, pytest.approx(60 / used["lm"] + 100 / used["tuned"]))
    assert first.features == pytest.approx(30 / used["features"])
    assert first.total == pytest.approx(first.distil + first.prepare + first.features)
    plain = costs["random", 5, "minilm"]
    assert plain is not None
    assert (plain.distil, plain.total) == (0.5, 0.5)
    (only,) = [row for row in build(records, students=["probe"]).rows if row.dpc == 5]
    assert only.cost == costs["kcenters", 5, "probe"], "a filter changes no share"
    assert row_of(build(made("random", None, 0.0)), "random").cost is None, "not known of older records"
    unknown = [MadeOf(kind="lm", key="lm", seconds=None)]
    assert row_of(build(made("random", unknown, 0.0)), "random").cost is None


def test_sets_that_repeat_test_texts_are_named_once_for_all_students() -> None:
    leaky = [replace(one, near_test=2 * (one.set < 2)) for one in cell("kcenters")]
    clean = [replace(one, near_test=0) for one in cell("random")]
    board = build([*leaky, *clean, *[replace(one, student=student("probe")) for one in leaky], *cell("herding")])
    assert board.overlaps == (
        "bbc dpc 5 kcenters: 4 examples in 2 of 5 sets repeat test texts, nearly or word for word: "
        "the scores may be too high",
    )
    counted = {(row.method, row.student): row.near_test for row in board.rows}
    assert counted["kcenters", "minilm"] == counted["kcenters", "probe"] == 4
    assert (counted["random", "minilm"], counted["herding", "minilm"]) == (0, None)


def test_filters() -> None:
    board = build(pocket(), tasks=["rt"], students=["minilm"])
    assert board.tasks == ("rt",)
    with pytest.raises(UserError, match=r"no task 'bcb'.*did you mean 'bbc'"):
        build(pocket(), tasks=["bcb"])
    with pytest.raises(UserError, match="no student 'bert'"):
        build(pocket(), students=["bert"])


def test_means_over_columns_are_for_dense_rows_only() -> None:
    records = pocket()
    (table,) = overviews(build(records))
    assert table.columns == (("bbc", 5), ("bbc", 20), ("rt", 5), ("rt", 20))
    assert [method for method, _, _ in table.rows] == ["kcenters", "herding", "random"]
    kcenters = table.rows[0]
    assert kcenters[2] == pytest.approx(
        statistics.fmean(row.summary.mean for row in kcenters[1] if row and row.summary)
    )
    assert table.left_out == ()
    records = [one for one in records if one.task.label != "rt" or one.method.name != "herding"]
    records[0] = broken(records[0])
    (table,) = overviews(build(records))
    assert table.left_out == ("herding", "random")
    assert [mean is None for _, _, mean in table.rows] == [False, True, True]


def test_pair_metric_is_the_score_of_the_record() -> None:
    qqp = [record(0.6, task="qqp", set_index=i, metric="accuracy_f1", metrics=PAIR) for i in range(3)]
    row = row_of(build(qqp), "random", task="qqp")
    assert row.metric == "accuracy_f1"
    assert row.summary is not None
    assert row.summary.mean == pytest.approx(0.6)
    assert row.metrics == pytest.approx(PAIR)


def test_no_records() -> None:
    board = build([])
    assert (board.rows, board.holes, board.baseline) == ((), (), None)
