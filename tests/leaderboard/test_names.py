"""Names as typed: parameters in any order, plugin names, paths."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.errors import UserError
from leaderboard.board import build
from leaderboard.names import labels, normal
from tests.leaderboard.records import plugin, record, task

CAPPED = "bbc[test_rows=100,train_rows=300,validation_rows=50]"
KNOWN = [(CAPPED, "bbc"), ("bbc", "bbc"), ("table:reviews.csv[text=a]", "table"), ("a[x=[1,2],y=2]", "a")]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("bbc[train_rows=300, validation_rows=50,test_rows=100]", {CAPPED}),
        ("bbc", {"bbc"}),
        ("a", {"a[x=[1,2],y=2]"}),
        ("table", {"table:reviews.csv[text=a]"}),
        ("a[y=2,x=[1, 2]]", {"a[x=[1,2],y=2]"}),
        ("table:/data/reviews.csv[text=a]", {"table:reviews.csv[text=a]"}),
        ('table:reviews.csv[text="a"]', {"table:reviews.csv[text=a]"}),
    ],
)
def test_any_spelling_selects_the_label(typed: str, found: set[str]) -> None:
    assert labels("task", [typed], KNOWN, "here") == found


def test_what_cannot_be_read_stays_as_it_is() -> None:
    assert normal("odd[name") == "odd[name"
    assert normal("odd[a=]]") == "odd[a=]]"


def test_unknown_names_are_one_line_with_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"^no task 'bcb' in OUT; did you mean 'bbc'\?$"):
        labels("task", ["bbc", "bcb"], KNOWN, "in OUT")


def test_the_board_takes_them_for_tasks_and_the_baseline() -> None:
    records = [
        replace(record(0.5, method=method), task=task("bbc", CAPPED), key=label)
        for label in ("random", "k[a=1,b=2]")
        for method in [plugin(label.partition("[")[0], label)]
    ]
    board = build(records, tasks=["bbc[train_rows=300,validation_rows=50,test_rows=100]"], baseline="k[b=2,a=1]")
    assert board.tasks == (CAPPED,)
    assert board.baseline == "k[a=1,b=2]"
