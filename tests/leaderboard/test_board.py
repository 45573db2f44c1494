"""Records -> board: what counts, what is left out and named, and that order does not matter."""

from __future__ import annotations

import random
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UserError
from leaderboard.board import Board, Row, build, overviews
from tests.leaderboard.records import Record, cell, plugin, pocket, record


def row_of(board: Board, method: str, dpc: int | None = 5, task: str = "bbc") -> Row:
    (found,) = [row for row in board.rows if (row.method, row.dpc, row.task) == (method, dpc, task)]
    return found


def broken(one: Record, status: str = "failed", reason: str = "out of memory") -> Record:
    return {**one, "status": status, "reason": reason, "score": None, "metrics": {}, "metric": None}


def plan_of(records: list[Record]) -> list[dict[str, Any]]:
    """The planned cells that a run of these records leaves."""
    cells: dict[str, dict[str, Any]] = {}
    for one in records:
        names = {kind: one[kind]["label"] for kind in ("task", "method", "student")}
        empty = {"key": one["cell"], "suite": one["suite"], **names, "dpc": one["dpc"], "replicates": []}
        cells.setdefault(one["cell"], empty)["replicates"].append(one["key"])
    return list(cells.values())


def test_rows_hold_mean_std_and_interval_of_their_records() -> None:
    records = pocket()
    board = build(records)
    assert len(board.rows) == 2 * 2 * 3 + 1
    mine = [one["score"] for one in records if one["task"]["label"] == "rt" and one["dpc"] == 20][10:20]
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
    assert records[0]["method"]["name"] == "random"
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
    records = [one for one in records if one["dpc"] != 20 or one["method"]["name"] != "herding"][3:]
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
    more = [{**one, "method": mean, "cell": "other", "key": one["key"] + "m"} for one in cell("kcenters", task="bbc")]
    board = build([*pocket(), *more])
    assert {"kcenters", "kcenters[pooling=mean]"} < set(board.methods)
    twin = row_of(board, "kcenters[pooling=mean]")
    assert twin.summary == row_of(board, "kcenters").summary


def test_versions_are_never_pooled() -> None:
    """Records under another cell key (new code, base seed, default) replace the older ones, and that is said."""
    old = pocket()
    fresh = [
        {**one, "cell": "v2", "key": one["key"] + "v2", "score": 0.9, "time": {"finished": "2026-02-01T00:00:00Z"}}
        for one in cell("kcenters", task="bbc")[:4]
    ]
    board = build([*old, *fresh])
    row = row_of(board, "kcenters")
    assert row.summary is not None
    assert (row.summary.mean, row.summary.n_runs) == (pytest.approx(0.9), 4)
    assert any("bbc: 10 records left out" in note for note in board.notes)
    planned = [{**one, "key": "v3", "replicates": ["x", "y"]} for one in plan_of(cell("kcenters", task="bbc"))]
    row = row_of(build([*old, *fresh], planned), "kcenters")
    assert (row.summary, row.ok, row.planned) == (None, 0, 2), "the plan says which version counts"


def test_another_revision_of_a_task_is_left_out() -> None:
    stale = cell("random", task="bbc", revision="r0", finished="2025-12-01T00:00:00Z", dpc=50)
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


def test_gap_closed_needs_all_data() -> None:
    board = build(pocket())
    full, base, row = row_of(board, "full", None), row_of(board, "random"), row_of(board, "kcenters")
    assert full.summary is not None
    assert base.summary is not None
    assert row.summary is not None
    expected = (row.summary.mean - base.summary.mean) / (full.summary.mean - base.summary.mean)
    assert row.gap == pytest.approx(expected)
    assert row_of(board, "kcenters", task="rt").gap is None


def test_leagues_are_ranked_apart() -> None:
    soft = [{**one, "league": "B"} for one in cell("kcenters", task="rt", student="minilm")]
    records = [one for one in pocket() if one["task"]["label"] != "rt" or one["method"]["name"] != "kcenters"]
    board = build([*records, *soft])
    row = row_of(board, "kcenters", task="rt")
    assert (row.league, row.rank, row.difference) == ("B", (1, 1), None)
    assert board.leagues == ("A", "B")
    assert [table.league for table in overviews(board)] == ["A", "B"]


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
    records = [one for one in records if one["task"]["label"] != "rt" or one["method"]["name"] != "herding"]
    records[0] = broken(records[0])
    (table,) = overviews(build(records))
    assert table.left_out == ("herding", "random")
    assert [mean is None for _, _, mean in table.rows] == [False, True, True]


def test_pair_metric_is_the_score_of_the_record() -> None:
    qqp = [
        record(0.6, task="qqp", set_index=i, metric="accuracy_f1", metrics={"accuracy": 0.7, "f1": 0.5})
        for i in range(3)
    ]
    row = row_of(build(qqp), "random", task="qqp")
    assert row.metric == "accuracy_f1"
    assert row.summary is not None
    assert row.summary.mean == pytest.approx(0.6)
    assert row.metrics == pytest.approx({"accuracy": 0.7, "f1": 0.5})


def test_no_records() -> None:
    board = build([])
    assert (board.rows, board.holes, board.baseline) == ((), (), None)
