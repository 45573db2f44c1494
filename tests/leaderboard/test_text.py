"""Markdown, CSV and the command that writes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli.leaderboard import FORMATS, command
from bench.errors import UserError
from bench.store.record import MadeOf, Record
from bench.store.results import ResultStore
from leaderboard.board import build
from leaderboard.figures import difference_text, percent, score_text
from leaderboard.files import FILES, write_boards
from leaderboard.statistics import Difference, Interval, Summary
from leaderboard.text import csv_text, markdown
from tests.leaderboard.records import cell, gold_labels, plugin, pocket, record, student, times
from tests.leaderboard.test_board import plan_of, with_score


def cells(line: str) -> list[str]:
    return [part.strip() for part in line.strip("|").split(" | ")]


def test_figures_look_like_the_papers() -> None:
    assert score_text(Summary(0.581, 0.0519, 100, 20, Interval(0.55, 0.612, "sets", True))) == "58.1±5.2 [55.0, 61.2]"
    assert score_text(Summary(0.5, 0.0, 5, 1, Interval(0.49, 0.51, "runs", True))) == "50.0±0.0 [49.0, 51.0]†"
    assert score_text(Summary(0.5, 0.0, 1, 1, Interval(0.45, 0.55, "items", True))) == "50.0±0.0 [45.0, 55.0]°"
    assert score_text(Summary(1.0, 0.0, 1, 1, None)) == "100.0±0.0"
    assert (
        difference_text(Difference(0.075, Interval(0.02, 0.13, "sets", True), 10, 0, 5)) == "+7.5 [+2.0, +13.0] above"
    )
    assert difference_text(Difference(-0.075, None, 1, 0, 1)) == "-7.5 undecided: 1 set"
    assert (
        difference_text(Difference(0.06, Interval(0.06, 0.06, "sets", True), 2, 0, 2))
        == "+6.0 [+6.0, +6.0] undecided: 2 sets"
    )
    assert percent(-0.0001) == "0.0"
    assert percent(-0.0001, signed=True) == "+0.0"


def test_markdown_tables_are_rectangular_and_hold_the_board() -> None:
    board = build(pocket())
    text = markdown(board)
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 3, "an overview and two tasks"
    for block in blocks:
        assert len({line.count("|") for line in block}) == 1
    bbc = [cells(line) for line in blocks[1]]
    assert bbc[0] == [
        "dpc",
        "method",
        "accuracy, % [95 %]",
        "vs random",
        "rank",
        "gap closed",
        "as random dpc",
        "sets",
        "ok",
    ]
    for line, row in zip(bbc[2:], board.rows, strict=False):
        assert row.summary is not None
        assert line[:3] == ["all" if row.dpc is None else str(row.dpc), row.method, score_text(row.summary)]
    assert bbc[2][-2:] == ["5", "10/10"]
    assert "## Holes" not in text


def test_foreign_text_cannot_break_a_table() -> None:
    no = record(None, method="tdd", status="not_applicable", reason="a | b\n<script>alert(1)</script>")
    text = markdown(build([*pocket(), no]))
    assert "<script>" not in text
    block = next(block for block in text.split("\n\n") if "not applicable: a" in block and block.startswith("|"))
    assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1


def test_csv_holds_every_cell_in_full_precision() -> None:
    no = record(None, method="tdd", status="not_applicable", reason='no, "text"\nlevel')
    board = build([*pocket(), no])
    lines = list(csv.DictReader(io.StringIO(csv_text(board))))
    assert len(lines) == len(board.rows)
    for line, row in zip(lines, board.rows, strict=True):
        assert (line["task"], line["student"], line["method"]) == (row.task, row.student, row.method)
        assert line["dpc"] == ("" if row.dpc is None else str(row.dpc))
        if row.summary is None:
            assert (line["mean"], line["state"], line["reason"]) == ("", "not_applicable", 'no, "text"\nlevel')
            continue
        assert float(line["mean"]) == row.summary.mean
        assert row.summary.interval is not None
        assert float(line["ci_low"]) == row.summary.interval.low
        assert line["ci_over"] == row.summary.interval.over
        assert (line["ok"], line["planned"], line["state"]) == ("10", "10", "ok")
        if row.difference is not None:
            assert float(line["difference"]) == row.difference.mean
            assert line["verdict"] == row.difference.verdict


def test_all_formats_are_written_and_the_markdown_returned(
    results: Callable[[Iterable[Record]], ResultStore], tmp_path: Path
) -> None:
    store = results(pocket())
    text = write_boards(store, tmp_path / "boards")
    names = {"leaderboard.md", "leaderboard.csv", "leaderboard.html", "leaderboard.tex"}
    assert {path.name for path in (tmp_path / "boards").iterdir()} == names == set(FILES.values())
    assert tuple(FILES) == FORMATS
    assert (tmp_path / "boards" / "leaderboard.md").read_text(encoding="utf-8") == text
    first = {name: (tmp_path / "boards" / name).read_bytes() for name in names}
    write_boards(store, tmp_path / "boards")
    assert {name: (tmp_path / "boards" / name).read_bytes() for name in names} == first, "the same bytes again"


def test_command(results: Callable[[Iterable[Record]], ResultStore], tmp_path: Path) -> None:
    out = results(pocket()).out
    done = CliRunner().invoke(command, [str(out), "--task", "rt", "--format", "csv", "--output", str(tmp_path / "b")])
    assert done.exception is None
    assert done.output == (tmp_path / "b" / "leaderboard.csv").read_text(encoding="utf-8"), (
        "the format that is asked for"
    )
    assert "bbc" not in done.output
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["leaderboard.csv"]
    done = CliRunner().invoke(command, [str(out), "--baseline", "herding"])
    assert "vs herding" in done.output
    assert (out / "leaderboard.html").exists()


def marked_records() -> list[Record]:
    """Sets that repeat test texts, a row of an older student, and the seconds that the sets took."""
    features = MadeOf(kind="features", key="f", seconds=30.0)
    time = times("2026-01-02T00:00:00Z", distil_s=2.0, made_of=(features,), student_s=1.0)
    fresh = [
        replace(one, time=time, near_test=3 * (one.method.name == "kcenters"), student=student("minilm", key="new"))
        for one in pocket(("bbc",), (5,))
    ]
    old = times(distil_s=0.0, student_s=1.0)
    stale = [
        replace(one, method=plugin("older"), cell="o", time=old, key=f"o{i}") for i, one in enumerate(cell("random"))
    ]
    return [*fresh, *stale]


def test_every_board_flags_repeated_test_texts_older_students_and_costs(
    results: Callable[[Iterable[Record]], ResultStore], tmp_path: Path
) -> None:
    text = write_boards(results(marked_records()), tmp_path / "boards")
    line = "bbc dpc 5 kcenters: 15 examples in 5 of 5 sets repeat test texts, nearly or word for word"
    lines = text.splitlines()
    assert "## Sets that repeat test texts" in lines
    assert any(each.startswith(f"- {line}") for each in lines)
    kcenters, older, full = ([each for each in lines if f" {name} " in each] for name in ("kcenters", "older", "full"))
    assert [each.count("‡") for each in kcenters if each.startswith("|")] == [1, 1], "in the overview and the details"
    assert [each.count("§") for each in older if each.startswith("|")] == [1, 1]
    assert cells(next(each for each in full if "10/10" in each))[-3:] == ["4.5", "1", "10/10"], "2 + 30 / 12 sets"
    assert cells(next(each for each in older if "10/10" in each))[-4:-2] == ["–", "–"], "without rank and cost"
    assert "- ‡ some examples" in text
    assert "- § scored by another version" in text
    assert "- s a set: seconds" in text
    page = (tmp_path / "boards" / "leaderboard.html").read_text(encoding="utf-8")
    assert f"<li>{line}" in page
    assert page.count("‡") == 3, "beside the score twice, and what it means"
    assert '<span title="distilling 2.0, prepared 0.0, features 2.5">4.5</span>' in page
    table = csv.DictReader((tmp_path / "boards" / "leaderboard.csv").read_text(encoding="utf-8").splitlines())
    by_method = {each["method"]: each for each in table}
    assert {name: each["near_test"] for name, each in by_method.items()} == {
        "kcenters": "15",
        "herding": "0",
        "random": "0",
        "full": "0",
        "older": "",
    }
    spent = [by_method["full"][name] for name in ("set_s", "distil_s", "prepare_s", "features_s")]
    assert spent == ["4.5", "2.0", "0.0", "2.5"]
    assert (by_method["older"]["student_outdated"], by_method["older"]["set_s"], by_method["older"]["rank_best"]) == (
        "1",
        "",
        "",
    )
    assert (by_method["kcenters"]["student_key"], by_method["kcenters"]["student_outdated"]) == ("new", "0")


def test_a_board_says_what_its_intervals_leave_out() -> None:
    assert "Intervals, verdicts and ranks hold for these test rows:" in markdown(build(pocket()))
    text = markdown(build(pocket(), gold=gold_labels))
    assert "what other sets and what other test rows would change is in it" in text
    assert "hold for these test rows" not in text
    assert "°" not in text
    once = [one for one in pocket() if one.run == one.set == 0]
    assert "- ° a single run" in markdown(build(once, gold=gold_labels))
    two = [
        record(0.5 + 0.06 * (m == "herding") + i / 999, method=m, run=i) for m in ("random", "herding") for i in (0, 1)
    ]
    text = markdown(build(two))
    assert "undecided: 1 set" in text
    assert "undecided: neither side has 3 different sets (or preparations)" in text


def test_what_has_not_run_says_so() -> None:
    records = pocket(("bbc",), (5,))
    kept = [one for one in records if one.method.name != "herding"]
    text = markdown(build(kept, plan_of(records)))
    (line,) = [line for line in text.splitlines() if "| herding" in line and "0/10" in line]
    assert cells(line) == ["bbc", "minilm", "5", "herding", "not run yet", "0/10"]
    assert line in text.partition("## No league yet")[2].partition("## Holes")[0], "not among the rows of league A"
    assert "()" not in text


def test_a_missing_interval_is_explained_where_there_is_one() -> None:
    assert "No interval: nothing was repeated" not in markdown(build(pocket()))
    same = [with_score(one, 0.5) if one.method.name == "herding" else one for one in pocket()]
    text = markdown(build(same))
    assert "50.0±0.0 |" in text
    assert "No interval: nothing was repeated at random" in text


@pytest.mark.parametrize("prepare", ["missing", "empty"])
def test_no_results_are_one_line(prepare: str, tmp_path: Path) -> None:
    out = tmp_path / "nothing"
    if prepare == "empty":
        out.mkdir()
    done = CliRunner().invoke(command, [str(out)])
    assert isinstance(done.exception, UserError)
    assert "no results in" in str(done.exception)
    assert "bench run" in str(done.exception)
    assert "\n" not in str(done.exception)
    assert list(tmp_path.rglob("leaderboard.*")) == []
