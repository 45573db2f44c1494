"""The large board that is measured is one: tasks of 25 methods with a baseline, whole cells, sets to read."""

from __future__ import annotations

from pathlib import Path

from bench.store.results import ResultStore
from benchmarks.leaderboard import BLOCK, METHODS, html, opening, spread, statistics, write
from benchmarks.store import made
from leaderboard.board import board_of


def test_cells_are_spread_over_tasks_that_all_have_a_baseline() -> None:
    found = [spread(record, cell) for cell, record in enumerate(made(2 * BLOCK, 2 * BLOCK))]
    places = {(one.task.label, one.method.label, one.dpc, one.student.label) for one in found}
    assert len(places) == len({one.cell for one in found}) == 2 * BLOCK
    for task in ("task-0", "task-1"):
        methods = {one.method.label for one in found if one.task.label == task}
        assert "random" in methods
        assert len(methods) == METHODS


def test_a_small_one_is_written_and_measured(tmp_path: Path) -> None:
    write(tmp_path, 16, 4)
    store = ResultStore(tmp_path)
    board = board_of(store)
    assert len(board.rows) == 16
    assert all(row.complete and row.planned == 4 for row in board.rows)
    assert board.baseline == "random"
    assert all(store.set(row.set_keys[0]) for row in board.rows)
    found = statistics(tmp_path)
    assert (found["records"], found["rows"]) == (64, 16)
    assert html(tmp_path)["megabytes"] == (tmp_path / "leaderboard.html").stat().st_size / 1e6
    opened = opening(tmp_path)
    assert opened == {"browser": None} or opened["elements"] > 100
