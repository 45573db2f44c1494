"""Rows that are chosen keep their figures, and what is left out is said."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cli.leaderboard import command
from bench.errors import UserError
from bench.store.record import Record
from bench.store.results import ResultStore
from leaderboard.board import Board, build
from leaderboard.tables import transfer_tables
from leaderboard.text import csv_text, markdown
from tests.leaderboard.records import cell, gold_labels, plugin, pocket, record
from tests.leaderboard.test_board import plan_of

METHODS = ("random", "kcenters", "herding", "full")


def lines(board: Board) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_text(board))))


@cache
def everything(holm: bool, other: bool) -> list[dict[str, str]]:
    return lines(build(pocket(("bbc",)), **choices(holm, other)))


def choices(holm: bool, other: bool) -> dict[str, Any]:
    return {"correction": "holm" if holm else "none", "baseline": "herding" if other else None}


@settings(max_examples=20)
@given(st.sets(st.sampled_from(METHODS), min_size=1), st.sets(st.sampled_from([5, 20])), st.booleans(), st.booleans())
def test_a_chosen_row_has_the_figures_that_it_has_among_all(
    methods: set[str], dpcs: set[int], holm: bool, other: bool
) -> None:
    """Above all ranks and p-values: they cannot be made better by leaving methods out."""
    if methods == {"full"}:
        dpcs = set()
    chosen = build(pocket(("bbc",)), methods=sorted(methods), dpcs=sorted(dpcs), **choices(holm, other))
    kept = {str(dpc) for dpc in dpcs or (5, 20)} | {""}
    assert lines(chosen) == [
        line for line in everything(holm, other) if line["method"] in methods and line["dpc"] in kept
    ]
    assert len(chosen.rows) + len(chosen.hidden) == len(everything(holm, other))


def test_with_gold_labels_too_and_with_a_baseline_that_is_not_shown() -> None:
    records = pocket(("bbc",), (5,))
    whole, chosen = (build(records, gold=gold_labels, methods=methods) for methods in (None, ["kcenters"]))
    mine = [line for line in lines(whole) if line["method"] == "kcenters"]
    assert lines(chosen) == mine
    assert {line["baseline"] for line in mine} == {"random"}
    assert all(float(line["difference"]) > 0 for line in mine)
    assert "vs random" in markdown(chosen)
    assert "| random" not in markdown(chosen)


def test_a_row_without_a_record_keeps_the_metric_of_its_task() -> None:
    done = [replace(one, metric="accuracy_f1", metrics={"accuracy_f1": one.score}) for one in cell("random")]
    planned = [*plan_of(done), replace(plan_of(done)[0], method="tdd", key="k", replicates=("a",))]
    (row,) = build(done, planned, methods=["tdd"]).rows
    assert (row.metric, row.revision, row.planned) == ("accuracy_f1", "r1", 1)


def test_what_is_not_shown_is_said() -> None:
    text = markdown(build(pocket(), tasks=["rt"], methods=["kcenters", "random"], dpcs=[20]))
    notes = text.partition("## Notes")[2]
    assert "by choice (task rt; method kcenters, random; dpc 20): 11 rows not shown." in notes, "of 13"
    assert "among all methods of these results, also those that are not shown: herding." in notes
    assert "herding" not in text.partition("## Notes")[0]
    assert "full" not in notes, "not ranked, so compared with nothing"


@pytest.mark.parametrize(
    "choice",
    [{}, {"tasks": ["bbc", "rt"]}, {"methods": list(METHODS)}, {"dpcs": [20, 5]}, {"methods": [], "dpcs": ()}],
    ids=repr,
)
def test_a_choice_of_everything_is_the_whole_board(choice: dict[str, Any]) -> None:
    assert markdown(build(pocket(), **choice)) == markdown(build(pocket()))


def test_a_note_names_no_method_that_has_no_row_beside_those_shown() -> None:
    records = [*pocket(("bbc",), (5,)), *cell("herding", dpc=10)]
    text = markdown(build(records, methods=["random", "kcenters"], dpcs=[5]))
    assert "not shown: herding" in text
    text = markdown(build([one for one in records if one.method.name != "herding" or one.dpc == 10], dpcs=[5]))
    assert "1 row not shown" in text
    assert "not shown: " not in text


def test_rows_of_all_data_have_no_dpc_and_stay() -> None:
    rows = build(pocket(), dpcs=[5]).rows
    assert {(row.method, row.dpc) for row in rows if row.is_full} == {("full", None)}
    assert {row.dpc for row in rows} == {5, None}
    assert not [row for row in build(pocket(), methods=["random"]).rows if row.is_full]


def test_a_plugin_name_selects_every_label_and_parameters_may_stand_in_any_order() -> None:
    labelled = [
        replace(one, method=plugin("k", label), key=f"{one.key}{label}", cell=label)
        for label in ("k[a=1,b=2]", "k[a=2]")
        for one in cell("kcenters")
    ]
    records = [*labelled, *cell("random")]
    assert set(build(records, methods=["k"]).methods) == {"k[a=1,b=2]", "k[a=2]"}
    assert build(records, methods=["k[b=2, a=1]"]).methods == ("k[a=1,b=2]",)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"methods": ["kcentres"]}, "no method 'kcentres' in these results; did you mean 'kcenters'?"),
        (
            {"methods": ["full"], "tasks": ["rt"]},
            "no method 'full' in these results; known: herding, kcenters, random",
        ),
        ({"dpcs": [5, 7]}, "no dpc 7 among these rows; they have 5, 20"),
        ({"dpcs": [5], "methods": ["full"]}, "no dpc 5 among these rows; they have none"),
    ],
    ids=repr,
)
def test_what_is_not_there_is_one_line(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        build(pocket(), **choice)
    assert str(error.value) == message


def test_a_choice_changes_no_rank_and_no_mean_of_the_transfer_tables() -> None:
    records = [*pocket(("bbc",)), *(one for m in METHODS[:3] for one in cell(m, dpc=5, student="bert", seed=1))]
    (whole,), (found,) = (transfer_tables(build(records, methods=methods)) for methods in (None, ["kcenters"]))
    (line,) = found.lines
    assert line in whole.lines
    assert len(whole.lines) == 3
    assert str(line[1].shown).endswith(")"), "it has a rank"
    alone = [*records, *cell("random", dpc=20, student="bert")]
    assert [table.title for table in transfer_tables(build(alone))] == ["bbc, dpc 5", "bbc, dpc 20"]
    assert [table.title for table in transfer_tables(build(alone, dpcs=[20]))] == ["bbc, dpc 20"]
    (table,) = transfer_tables(build(alone, methods=["random"], dpcs=[20]))
    assert "alone" not in table.note, "herding and kcenters have one student, and are not shown"


def test_references_are_chosen_like_rows() -> None:
    learned = [replace(one, league="C") for one in cell("kcenters")]
    other = [replace(one, method=plugin("tdd"), cell="tdd", key=f"tdd{one.key}") for one in learned]
    records = [*other, *cell("random"), *cell("full", dpc=None)]
    text = markdown(build(records, methods=["tdd", "full"]))
    assert "| full (reference" in text
    assert "| random" not in text
    assert "| random (reference" in markdown(build(records))
    assert "reference: a row" not in markdown(build(records, methods=["random"])), "nothing that it could stand beside"


def test_command(results: Callable[[Iterable[Record]], ResultStore], tmp_path: Path) -> None:
    out = str(results(pocket()).out)
    chosen = ["--method", "kcenters", "--method", "herding", "--dpc", "20", "--output", str(tmp_path)]
    done = CliRunner().invoke(command, [out, *chosen])
    assert done.exception is None
    for name in ("leaderboard.md", "leaderboard.html"):
        assert "not shown: random." in (tmp_path / name).read_text(encoding="utf-8"), name
    shown = list(csv.DictReader((tmp_path / "leaderboard.csv").read_text(encoding="utf-8").splitlines()))
    assert {(line["method"], line["dpc"], line["baseline"]) for line in shown} == {
        ("kcenters", "20", "random"),
        ("herding", "20", "random"),
    }
    several = CliRunner().invoke(command, [out, "--method", "random,kcenters", "--dpc", "5,20", "--format", "csv"])
    apart = ["--method", "random", "--method", "kcenters", "--dpc", "5", "--dpc", "20"]
    assert several.output == CliRunner().invoke(command, [out, *apart, "--format", "csv"]).output
    assert {line.split(",")[4] for line in several.output.splitlines()[1:]} == {"5", "20"}
    for option in ("--method", "--task", "--dpc"):
        assert CliRunner().invoke(command, [out, option, ""]).exit_code == 2, "not: all of them"
    done = CliRunner().invoke(command, [out, "--method", "kcentres"])
    assert isinstance(done.exception, UserError)
    assert CliRunner().invoke(command, [out, "--dpc", "0"]).exit_code == 2


def test_rows_that_never_ran_are_hidden_by_choice_as_well() -> None:
    no = record(None, method="tdd", status="not_applicable", reason="why")
    board = build([*pocket(), no], methods=["random"])
    assert board.not_applicable == ()
    assert "10 rows not shown" in markdown(board)
