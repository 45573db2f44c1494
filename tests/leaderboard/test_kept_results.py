"""The result folders of this project: their boards have the figures that stand beside them, digit for digit."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest

from bench.store.results import ResultStore
from leaderboard.board import board_of
from leaderboard.frame import records_frame
from leaderboard.text import csv_text

ROOT = Path(__file__).parents[2] / "leaderboard" / "results"
RESULTS = sorted(path.parents[1] for path in ROOT.glob("*/results/records.jsonl"))


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_a_kept_folder_gives_the_figures_that_were_published(folder: Path) -> None:
    store = ResultStore(folder)
    published = table((folder / "leaderboard.csv").read_text(encoding="utf-8"))
    found = table(csv_text(board_of(store)))
    assert len(published) > 2
    assert list(found[0]) == list(published[0]), "write them anew: bench leaderboard FOLDER --format csv"
    assert found == published


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_the_frame_gives_the_means_of_the_board(folder: Path) -> None:
    """As docs/results.md has it; a record that stands under a newer label has that label here too."""
    store = ResultStore(folder)
    board = board_of(store)
    frame = records_frame(store)
    frame = frame[frame["current"] & (frame["status"] == "ok")]
    means = frame.groupby(["task", "dpc", "student", "method"], dropna=False)["score"].mean()
    found = {
        (task, None if pd.isna(dpc) else dpc, student, method): mean
        for (task, dpc, student, method), mean in means.items()
    }
    rows = {(row.task, row.dpc, row.student, row.method): row.summary.mean for row in board.rows if row.summary}
    assert found == pytest.approx(rows)
    assert not any("left out" in note and "newer ones" in note for note in board.notes)
