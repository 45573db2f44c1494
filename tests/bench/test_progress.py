"""How much of a run is left."""

from __future__ import annotations

import re

import pytest

from bench.progress import RunReport, TimeLeft


def test_each_kind_counts_with_its_own_seconds() -> None:
    left = TimeLeft(["slow", "quick", "quick", "slow"], {})
    left.done("quick", 2)
    left.done("slow", 100)
    assert left.seconds() == 102


def test_what_nobody_knows_is_taken_to_be_as_long_as_the_others() -> None:
    left = TimeLeft(["new", "old", "old"], {})
    assert left.seconds() == 0
    left.done("old", 10)
    assert left.seconds() == 20


def test_a_rough_figure_holds_until_one_is_measured() -> None:
    left = TimeLeft(["mpnet"] * 3, {"mpnet": 300})
    assert left.seconds() == 900
    left.done("mpnet", 200)
    assert left.seconds() == 400


def test_jobs_that_nobody_worked_on_tell_nothing_of_the_others() -> None:
    left = TimeLeft(["minilm"] * 3, {})
    left.done("minilm", 0)  # refused before it began
    left.done("minilm", 8)
    assert left.seconds() == 8


def test_the_line_divides_by_the_workers(capsys: pytest.CaptureFixture[str]) -> None:
    report = RunReport()
    report.start(TimeLeft(["a"] * 5, {}), 5, 0, 2)
    report.step("first", 60, "a")
    assert re.search(r"\[1/5, 2:00 left\] first", capsys.readouterr().err)
