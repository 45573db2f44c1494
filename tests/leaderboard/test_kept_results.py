"""The result folders of this project: their boards have the figures that stand beside them, digit for digit."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from bench.store.results import ResultStore
from leaderboard.board import board_of
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
    columns = published[0].keys()
    assert [{name: row[name] for name in columns} for row in found] == published
