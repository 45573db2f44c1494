"""Shares that docs/suites.md quotes: each kind of overlap on texts where it can be counted by hand."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "overlap.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_each_kind_of_overlap_is_counted(script: dict[str, Any]) -> None:
    train = ["a film", "the best film of the year so far", "one two three four five", "nothing else"]
    texts = [
        "a film",  # equal, so within as well
        "best film of",  # within
        "est film",  # no whole words of any
        "now one two three four five six",  # holds one of five words
        "here is a film",  # holds one of two words only
    ]
    found = script["overlap"](texts, train)
    equal, near, within, holding = found.values()
    assert (equal, within, holding) == (1 / 5, 2 / 5, 1 / 5)
    assert near == 1 / 5
    assert list(found)[-1] == "holding a train text of 5 words"


def test_texts_of_a_pair_count_one_by_one(script: dict[str, Any]) -> None:
    from bench.api import Split

    split = Split({"first": ["A  b", "c"], "second": ["D", "e"]}, [0, 1])  # type: ignore[arg-type]
    assert script["texts_of"](split) == ["a b", "c", "d", "e"]
    assert script["joined"](split) == ["A  b\nD", "c\ne"]
