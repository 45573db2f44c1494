"""Per-class tables on the page: the kept predictions in the right places, escaped, and what is not there is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.store.predictions import encode
from bench.store.record import Record
from bench.store.results import ResultStore
from leaderboard.board import board_of, build
from leaderboard.classes import ClassTable, class_table, class_tables
from leaderboard.confusion import confusion
from leaderboard.page import page
from tests.leaderboard.chromium import chromium
from tests.leaderboard.records import record, task_card

NAMES = ("sport & <b>art</b>", "tech", "</noscript><script>alert(1)</script>")
GOLD = (0,) * 5 + (1,) * 3 + (2,) * 2


def answers(labels: Sequence[int], run: int = 0, method: str = "random", **changes: object) -> Record:
    """A finished record that predicted these labels on GOLD."""
    right = round(float(np.mean(np.array(labels) == GOLD)), 10)
    made = record(right, method=method, run=run)
    return replace(made, predictions=encode(np.array(labels)), **changes)  # type: ignore[arg-type]


def stored(out: Path, *records: Record, names: tuple[str, ...] = NAMES) -> ResultStore:
    with ResultStore(out, "w") as store:
        store.put_task("r1", task_card(label_names=names, test_labels=GOLD, n_test=len(GOLD)))
        store.append(*records)
    return ResultStore(out)


def tables(store: ResultStore) -> list[ClassTable]:
    return class_tables(board_of(store).rows)


TWO_RUNS = (
    answers([0, 0, 0, 0, 1, 1, 1, 1, 2, 0]),
    answers([0, 0, 0, 1, 1, 1, 1, 2, 2, 0], run=1),
)
LINES = (
    (NAMES[0], 0, ("70.0", "30.0", "0.0", "70.0", "77.8", "73.7", "5")),
    (NAMES[1], 1, ("0.0", "83.3", "16.7", "83.3", "62.5", "71.4", "3")),
    (NAMES[2], 2, ("50.0", "0.0", "50.0", "50.0", "66.7", "57.1", "2")),
)


def test_a_line_a_gold_class_by_hand(tmp_path: Path) -> None:
    (found,) = tables(stored(tmp_path, *TWO_RUNS))
    assert found.title == "dpc 5, random"
    assert found.heads == (*NAMES, "recall", "precision", "F1", "test rows")
    assert found.lines == LINES
    assert (found.note, found.collapsed) == ("", "")


def test_rows_keep_to_their_own_records_and_failed_replicates_are_said(tmp_path: Path) -> None:
    store = stored(
        tmp_path,
        *TWO_RUNS,
        record(None, run=2, status="failed", reason="broke"),
        answers([1] * 10, method="herding"),
        record(None, method="tdd", status="failed", reason="broke"),
    )
    found = {one.title: one for one in tables(store)}
    assert set(found) == {"dpc 5, random", "dpc 5, herding"}, "a row without a score has no table"
    assert found["dpc 5, random"].lines == LINES
    assert found["dpc 5, random"].note == "2 of 3 replicates counted: the others have no predictions"
    constant = found["dpc 5, herding"]
    assert [line[2][:3] for line in constant.lines] == [("0.0", "100.0", "0.0")] * 3
    assert [line[2][4] for line in constant.lines] == ["–", "30.0", "–"], "never predicted: no precision"
    assert constant.collapsed == "collapsed: its replicate gives over 95 % of the test rows one label (1 tech)"


def test_another_revision_of_the_task_has_no_part_in_it(tmp_path: Path) -> None:
    old = answers([2] * 10, run=5)
    old = replace(old, task=replace(old.task, revision="r0"), cell="old", time=replace(old.time, finished="2025"))
    with ResultStore(tmp_path, "w") as store:
        store.put_task("r0", task_card(label_names=("x", "y", "z"), test_labels=GOLD[::-1], n_test=len(GOLD)))
    store = stored(tmp_path, *TWO_RUNS, old)
    assert [one.lines for one in tables(store)] == [LINES]


def test_of_many_classes_some_are_shown_and_it_is_said(tmp_path: Path) -> None:
    store = stored(tmp_path, *TWO_RUNS)
    gold = store.gold("r1")
    assert gold is not None
    answers = np.stack([one.predictions.labels() for one in TWO_RUNS if one.predictions is not None])
    found = class_table(board_of(store).rows[0], confusion(answers, gold, most=1))
    assert found.note == "the 1 of 3 classes with most errors"
    assert found.heads[:2] == (NAMES[0], "2 others")
    assert [(name, hit, texts[:2], texts[-1]) for name, hit, texts in found.lines] == [
        (NAMES[0], 0, ("70.0", "30.0"), "5"),
        ("2 others", None, ("20.0", "80.0"), "5"),
    ]


def test_no_task_card_no_table() -> None:
    assert class_tables(build(TWO_RUNS).rows) == []


def test_in_a_browser_by_keyboard_with_every_name_escaped(tmp_path: Path) -> None:
    store = stored(tmp_path / "out", *TWO_RUNS, answers([1] * 10, method="herding"))
    path = tmp_path / "page.html"
    path.write_text(page(build(store.records(), gold=store.gold), store), encoding="utf-8")
    with chromium(tmp_path / "profile") as browser:
        browser.open(path.as_uri())
        assert "1 of 2 rows with collapsed replicates" in browser.evaluate(
            "document.querySelector('.classes > summary').textContent"
        )
        for selector in (".classes > summary", ".classes details:nth-of-type(1) > summary"):
            browser.evaluate(f"document.querySelector('{selector}').focus()")
            for kind in ("keyDown", "keyUp"):
                browser.call("Input.dispatchKeyEvent", type=kind, key="Enter", windowsVirtualKeyCode=13, text="\r")
        seen = """[...document.querySelectorAll('.matrix')].filter(table => table.checkVisibility())
            .map(table => [...table.rows].map(row => [...row.cells].map(cell => cell.textContent)))"""
        (shown,) = browser.evaluate(seen)
        assert shown[0] == ["gold \\ predicted", *NAMES, "recall", "precision", "F1", "test rows"]
        assert [tuple(line) for line in shown[1:]] == [(name, *texts) for name, _, texts in LINES]
        bold = "[...document.querySelectorAll('.matrix')[0].querySelectorAll('b')].map(each => each.textContent)"
        assert browser.evaluate(bold) == ["70.0", "83.3", "50.0"]
        assert browser.evaluate("document.querySelectorAll('script').length") == 1
        assert browser.named("Runtime.exceptionThrown") == []
