"""The records as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from bench.store.record import Record
from bench.store.results import ResultStore
from leaderboard.frame import records_frame
from tests.leaderboard.records import cell, record


def test_one_row_a_replicate_with_scores_and_seeds(results: Callable[[Iterable[Record]], ResultStore]) -> None:
    made = [*cell("random"), *cell("herding"), record(None, method="full", dpc=None, status="failed", reason="why")]
    frame = records_frame(results(made))
    assert len(frame) == 21
    means = frame.groupby("method")["score"].mean()
    assert means["random"] == pytest.approx(sum(each.score or 0 for each in cell("random")) / 10)
    failed = frame[frame["method"] == "full"].iloc[0]
    assert (failed["status"], failed["reason"]) == ("failed", "why")
    assert frame["dpc"].isna().sum() == 1
    assert set(frame["seed.run"]) == {each.seed.run for each in made}


def test_an_empty_folder_gives_an_empty_table(tmp_path: Path) -> None:
    assert records_frame(ResultStore(tmp_path)).empty
