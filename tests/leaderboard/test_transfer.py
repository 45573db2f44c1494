"""One set under several students: only the same sets, ranks within a student, no mean where a box is white."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.store.record import Models, Record
from bench.store.results import ResultStore
from leaderboard.board import Board, build
from leaderboard.page import html_fragment, page
from leaderboard.ranks import rank_ranges
from leaderboard.scores import Scores
from leaderboard.tables import TRANSFER, transfer_tables
from leaderboard.text import csv_text, markdown
from leaderboard.transfer import Transfer, transfers
from tests.leaderboard.chromium import chromium
from tests.leaderboard.conftest import EVIL
from tests.leaderboard.records import cell, plugin
from tests.leaderboard.records import student as student_ref

METHODS = ("random", "kcenters", "herding")
MODELS = {"minilm": "a", "probe": "a", "bert": "b", "xlnet": "c"}  # student -> weights


def under(student: str, method: str, reads: str = "a", **fields: Any) -> list[Record]:
    """A cell of a student with scores of its own; `reads`: the weights that a method but random reads."""
    league = fields.pop("league", "A")
    found = cell(method, seed=sum(student.encode()), student=student, **fields)
    made = {} if method == "random" else {"m": (reads,)}
    models = Models(method=made, encoder={}, student={student: (MODELS[student.partition("[")[0]],)})
    return [replace(one, models=models, league=league) for one in found]


def table(*students: str, methods: Iterable[str] = METHODS, **fields: Any) -> list[Record]:
    return [one for student in students for method in methods for one in under(student, method, **fields)]


def one_transfer(records: Iterable[Record]) -> Transfer:
    (found,) = transfers(build(records))
    return found


def texts(board: Board) -> list[list[str]]:
    """Lines of the first transfer table, heads first."""
    found = transfer_tables(board)[0]
    return [[head for head, _ in found.heads], *([str(each.shown) for each in line] for line in found.lines)]


def test_scores_marks_and_ranks_are_those_of_the_students_own_tables() -> None:
    board = build(table("minilm", "bert"))
    found = one_transfer(table("minilm", "bert"))
    assert found.students == (("A", "bert"), ("A", "minilm"))
    rows = {(row.method, row.student): row for row in board.rows}
    heads, *lines = texts(board)
    assert heads == ["method", "bert (A)", "minilm (A)"]
    assert [line[0] for line in lines] == [row.method for row in board.rows if row.student == "bert"], (
        "by the first student's score"
    )
    for line in lines:
        for student, shown, sign in (("bert", line[1], ""), ("minilm", line[2], "" if line[0] == "random" else " w")):
            row = rows[line[0], student]
            assert row.summary is not None
            assert row.rank is not None
            low, high = row.rank
            rank = f"{low}" if low == high else f"{low}–{high}"
            one = "†" if line[0] == "herding" else ""
            assert shown == f"{100 * row.summary.mean:.1f}±{100 * row.summary.std:.1f}{one}{sign} ({rank})"
    assert transfer_tables(board)[0].note == (
        "No mean over black-box students: bert alone in its league has no white box among the ranked rows."
    )


def test_the_mean_is_over_students_that_are_a_black_box_to_every_row() -> None:
    records = table("minilm", "probe", "bert", "xlnet")
    found = one_transfer(records)
    assert [found.students[place][1] for place in found.outside] == ["bert", "xlnet"]
    means: dict[tuple[str, str], float] = {}
    for (method, student), mine in groupby(records, lambda one: (one.method.label, one.student.label)):
        means[method, student] = float(np.mean([one.score for one in mine if one.score is not None]))
    for line in found.lines:
        assert line.mean == pytest.approx((means[line.method, "bert"] + means[line.method, "xlnet"]) / 2)
    assert [line.mean for line in found.lines] == sorted((line.mean for line in found.lines if line.mean), reverse=True)
    assert texts(build(records))[0][-1] == "mean, black box"
    assert "The mean is over bert, xlnet" in transfer_tables(build(records))[0].note
    other = [one for s in ("bert", "xlnet", "probe", "minilm") for one in under(s, "kcenters", reads="b")]
    spoiled = one_transfer([*(one for one in records if one.method.label != "kcenters"), *other])
    assert [spoiled.students[place][1] for place in spoiled.outside] == ["xlnet"], "bert is a white box to kcenters now"


def test_a_row_whose_box_is_not_known_has_no_mean() -> None:
    records = [
        replace(one, models=None, method=plugin("mine", files=["a"])) if one.method.label == "herding" else one
        for one in table("bert", "xlnet", "minilm")
    ]
    found = one_transfer(records)
    assert {line.method for line in found.lines if line.mean is None} == {"mine"}
    assert "No mean, because its box is not known: mine." in transfer_tables(build(records))[0].note
    line = next(line for line in texts(build(records)) if line[0] == "mine")
    assert all("?" in shown for shown in line[1:4])


def test_holes_are_named_and_neither_ranked_nor_averaged() -> None:
    whole = table("bert", "xlnet", "minilm")
    holes = [one for one in whole if (one.method.label, one.student.label) != ("herding", "bert")]
    failed = [
        replace(one, status="failed", reason="r", score=None, metrics={}, metric=None, predictions=None, league=None)
        if (one.method.label, one.student.label, one.set) == ("kcenters", "xlnet", 0)
        else one
        for one in [*holes, *table("bert", "xlnet", "minilm", methods=("full",))]
    ]
    found = one_transfer(failed)
    lines = {line.method: line for line in found.lines}
    assert lines["herding"].defects == ("no score under bert",)
    assert lines["kcenters"].defects == ("8/10 under xlnet", "not the same sets")
    for method in ("herding", "kcenters"):
        assert (lines[method].mean, set(lines[method].ranks)) == (None, {None})
    board = build(failed)
    assert [line[0] for line in texts(board)[1:3]] == ["full", "random"]
    assert "*" in next(line for line in texts(board) if line[0].startswith("kcenters"))[3]
    note = transfer_tables(board)[0].note
    assert "(no score under bert: herding; 8/10 under xlnet: kcenters; not the same sets: kcenters)" in note
    scores = [
        [one for one in failed if (one.student.label, one.method.label) == ("bert", m)] for m in ("full", "random")
    ]
    rows = [
        Scores.of({(one.seed.base, one.set, one.run): (one.score or 0.0, one.set_key) for one in mine})
        for mine in scores
    ]
    place = [student for _, student in found.students].index("bert")
    assert [lines[m].ranks[place] for m in ("full", "random")] == rank_ranges(rows), "among the whole rows alone"


def test_other_sets_under_a_student_are_said() -> None:
    """One label, other parameters: the suites of two runs may give a method other defaults."""
    records = [
        replace(one, method=plugin("kcenters", steps=9), cell="c9", set_key=f"other {one.set_key}", key=f"9{one.key}")
        if (one.method.label, one.student.label) == ("kcenters", "bert")
        else one
        for one in table("minilm", "bert")
    ]
    found = one_transfer(records)
    (line,) = (line for line in found.lines if line.method == "kcenters")
    assert (line.same_sets, line.defects, line.mean) == (False, ("not the same sets",), None)
    assert texts(build(records))[-1][0] == "kcenters ≠"
    contents = {
        (row["student"], row["method"]): row["sets_content"]
        for row in csv.DictReader(io.StringIO(csv_text(build(records))))
    }
    assert contents["minilm", "herding"] == contents["bert", "herding"] != ""
    assert contents["minilm", "kcenters"] != contents["bert", "kcenters"]


def test_a_set_made_again_with_other_content_is_another_set() -> None:
    digests = [replace(one, set_digest=one.set_key) for one in table("minilm", "bert")]
    again = [
        replace(one, set_digest="new") if (one.student.label, one.method.label) == ("bert", "herding") else one
        for one in digests
    ]
    assert {line.defects for line in one_transfer(digests).lines} == {()}
    assert {line.method for line in one_transfer(again).lines if line.defects == ("not the same sets",)} == {"herding"}


def test_students_of_another_league_stand_beside_those_whose_texts_they_read() -> None:
    """B stands for any league of texts; vectors are no texts, and other sets no common ones."""
    both = [*table("minilm"), *table("bert", league="B")]
    found = one_transfer(both)
    assert (found.students, found.leagues) == ((("A", "minilm"), ("B", "bert")), ("A", "B"))
    assert texts(build(both))[0] == ["method", "minilm (A)", "bert (B)"]
    assert transfers(build([*table("minilm"), *table("bert", league="C")])) == []
    elsewhere = [replace(one, set_key=f"x{one.set_key}") for one in table("bert", league="B")]
    assert transfers(build([*table("minilm"), *elsewhere])) == []
    many = one_transfer([*table("minilm", "probe"), *table("bert", league="B")])
    assert [student for _, student in many.students] == ["minilm", "probe", "bert"]


def test_methods_of_one_student_are_named_below_and_students_without_company_left_out() -> None:
    alone = under("minilm", "herding")
    stranger = [replace(one, method=plugin("theirs"), key=f"t{one.key}", cell="t") for one in under("xlnet", "herding")]
    found = one_transfer([*table("minilm", "bert", methods=("random", "kcenters")), *alone, *stranger])
    assert [student for _, student in found.students] == ["bert", "minilm"]
    assert (found.alone, {line.method for line in found.lines}) == (("herding",), {"random", "kcenters"})


def test_scores_of_an_older_student_are_not_ranked() -> None:
    records = [
        replace(
            one,
            student=student_ref(one.student.label, key="old" if one.method.label == "herding" else "new"),
            time=replace(one.time, finished="2025" if one.method.label == "herding" else "2026"),
        )
        if one.student.label == "bert"
        else one
        for one in table("minilm", "bert")
    ]
    (line,) = (line for line in one_transfer(records).lines if line.defects)
    assert (line.method, line.defects) == ("herding", ("another version of bert",))


def test_tasks_and_dpc_have_tables_of_their_own_and_all_data_stands_below() -> None:
    records = [one for dpc in (20, 5) for task in ("rt", "bbc") for one in table("minilm", "bert", dpc=dpc, task=task)]
    records += [one for s in ("minilm", "bert") for one in under(s, "full", dpc=None, task="rt")]
    found = transfer_tables(build(records))
    assert [each.title for each in found] == ["bbc, dpc 5", "bbc, dpc 20", "rt, dpc 5", "rt, dpc 20"]
    assert [bool(each.feet) for each in found] == [False, False, True, True]


def test_every_view_has_it_and_only_with_a_second_student(results: Callable[[Iterable[Record]], ResultStore]) -> None:
    hostile = f"bert[x={EVIL}|y]"
    store = results(table("minilm", hostile))
    board = build(store.records())
    html, fragment, text = page(board, store), html_fragment(board), markdown(board)
    assert [each.count(TRANSFER) for each in (html, fragment, text)] == [1, 1, 1]
    assert [each.count("No mean over black-box students") for each in (html, fragment, text)] == [1, 1, 1]
    assert EVIL not in html + fragment + text
    block = next(block for block in text.split("\n\n") if block.startswith("|") and "minilm (A)" in block)
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    assert "no difference between students is tested" in html
    assert "no difference between students is tested" in text
    alone = build(store.records(), students=["minilm"])
    assert not [each for each in (page(alone, store), html_fragment(alone), markdown(alone)) if "ransfer" in each]


def test_it_fits_a_phone_and_scrolls_in_itself(
    results: Callable[[Iterable[Record]], ResultStore], tmp_path: Path
) -> None:
    students = [f"{name}[model=a/long/path/to/{name},steps=20]" for name in MODELS]
    store = results(table(*students))
    path = tmp_path / "page.html"
    path.write_text(page(build(store.records()), store), encoding="utf-8")
    with chromium(tmp_path / "profile") as browser:
        for width in (360, 1440):
            browser.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=780, deviceScaleFactor=1, mobile=width < 999
            )
            browser.open(path.as_uri())
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            box = "document.querySelector('.transfer .scroll')"
            scrolls = browser.evaluate(f"{box}.scrollWidth > {box}.clientWidth")
            assert scrolls == (width == 360)
