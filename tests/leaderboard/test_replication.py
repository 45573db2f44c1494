"""Rows against published numbers: a store made to match agrees, one made to differ does, others say why not."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.store.predictions import encode
from bench.store.record import Record, TaskCard
from bench.store.results import ResultStore
from leaderboard.board import board_of
from leaderboard.figures import mark_text
from leaderboard.latex import latex
from leaderboard.ledger import load
from leaderboard.replication import Replication, marked, replications
from leaderboard.text import csv_text, markdown
from tests.leaderboard.records import plugin, record, student, task_card

N_TEST = 872
SST2 = task_card(label="sst2", n_train=66349, n_test=N_TEST, test_labels=tuple([0, 1] * (N_TEST // 2)))
RECIPE = {
    "model": "bert-base",
    "recipe": "standard",
    "trainable_layers": None,
    "steps": 200,
    "learning_rate": 1e-4,
    "weight_decay": 0.01,
    "warmup": 0.5,
    "batch": 64,
    "clip": 1.0,
    "dropout": None,
    "max_length": 512,
}
FEATURES = {"encoder": "bert-base", "pooling": "cls", "normalize": False, "max_length": 512}


def cell(
    method: str = "random",
    mean: float = 0.581,
    *,
    spread: float = 0.02,
    sets: int = 40,
    dpc: int | None = 5,
    task: str = "sst2",
    params: dict[str, Any] | None = None,
    recipe: dict[str, Any] | None = None,
    name: str = "bert-base",
) -> list[Record]:
    """A cell whose scores are spread evenly around a mean."""
    gold, found = np.array(SST2.test_labels), []
    for index, score in enumerate(mean + spread * np.linspace(-1.7, 1.7, sets)):
        labels = gold.copy()
        labels[round(score * N_TEST) :] ^= 1
        right = float((labels == gold).mean())
        one = record(
            right,
            task=task,
            method=plugin(method, **(FEATURES if method in {"kcenters", "herding"} else {}) | (params or {})),
            student=name,
            dpc=dpc,
            set_index=0 if method in {"herding", "full"} else index,
            run=index if method in {"herding", "full"} else 0,
            predictions=encode(labels),
        )
        found.append(replace(one, student=student(name, **RECIPE | (recipe or {}))))
    return found


Compare = Callable[..., list[Replication]]


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """A function (records, ...) that compares with dilm-2024."""

    def go(records: list[Record], card: TaskCard = SST2, margin: float = 0.02) -> list[Replication]:
        store = store_of(tmp_path / "out", records, card)
        return replications(board_of(store), load("dilm-2024"), store.task, margin)

    return go


def store_of(out: Path, records: list[Record], card: TaskCard = SST2) -> ResultStore:
    with ResultStore(out, "w") as store:
        for each in records:
            store.put_task(each.task.revision, card)
        store.append(*records)
    return ResultStore(out)


def test_a_store_that_is_made_to_match_agrees(compare: Compare) -> None:
    (found,) = compare(cell(), margin=0.03)
    assert (found.verdict, found.mismatches, found.reason) == ("agrees", (), "")
    assert found.number is not None
    assert (found.number.where, found.number.score) == ("dilm-2024 Table 1", 0.581)
    assert found.agreement is not None
    assert abs(found.agreement.difference) < 0.002


def test_one_that_is_made_to_differ_differs(compare: Compare) -> None:
    (found,) = compare(cell("kcenters", 0.60))
    assert found.verdict == "differs"
    assert found.agreement is not None
    assert found.agreement.high < -0.02


def test_few_sets_leave_it_undecided_and_say_how_many_more(compare: Compare) -> None:
    (found,) = compare(cell(mean=0.60, spread=0.05, sets=5), margin=0.045)
    assert found.verdict == "undecided"
    assert found.agreement is not None
    assert found.agreement.further is not None
    assert found.agreement.further > 3


def test_two_sets_decide_nothing(compare: Compare) -> None:
    (found,) = compare(cell(sets=2))
    assert (found.verdict, found.reason) == ("undecided", "2 sets of ours")


def test_deterministic_methods_compare_over_runs(compare: Compare) -> None:
    (found,) = compare(cell("herding", 0.702, spread=0.01))
    assert found.verdict == "agrees"


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (cell(recipe={"steps": 100}), ["student's steps 100, published 200"]),
        (cell(recipe={"dropout": 0.1}), []),
        (cell(recipe={"dropout": 0.2}), ["student's dropout 0.2, published null or 0.1"]),
        (cell("kcenters", params={"normalize": True}), ["method's normalize true, published false"]),
        (cell(name="minilm", recipe={"model": "minilm"}), ["student minilm, published bert-base"]),
        (cell(dpc=3), ["dpc 3, published 5, 10, 20"]),
        (cell(task="rt"), ["task rt, published sst2, qqp, mnli-m"]),
        (
            cell("full", 0.92, dpc=None),
            [
                "method's number of runs ours, published not stated",
                "student's steps 200, published not stated",
                "student's learning_rate 0.0001, published not stated",
                "student's batch 64, published not stated",
            ],
        ),
    ],
)
def test_what_is_not_comparable_says_in_which_fields(compare: Compare, records: list[Record], said: list[str]) -> None:
    (found,) = compare(records)
    assert (found.verdict == "not comparable") is bool(said)
    assert [str(mismatch) for mismatch in found.mismatches] == said


def test_other_rows_are_not_comparable(compare: Compare) -> None:
    (found,) = compare(cell(), replace(SST2, n_train=4000))
    assert [str(each) for each in found.mismatches] == ["train rows 4,000, published 67,349"]


def test_a_league_tells_levels_apart(compare: Compare) -> None:
    (found,) = compare([replace(one, league="B") for one in cell()])
    assert [str(each) for each in found.mismatches] == ["league B, published A"]


def test_an_ablation_is_compared_with_its_own_row(compare: Compare) -> None:
    params = {"generator": "gpt2", "learner": "minilm", **FEATURES, "start": "trained", "finetune": True}
    params |= {"teacher": "random", "batch": "plain", "lm_steps": 300, "outer_loops": 8, "inner_loop": 5, "top_p": 0.95}
    (found,) = compare(cell("gen-distill", params=params))
    assert found.number is not None
    assert (found.number.table, found.number.method) == ("Table 4", "gen-distill-ab")


def test_methods_of_nobody_are_not_published(compare: Compare) -> None:
    (found,) = compare(cell("el2n"))
    assert (found.verdict, found.number) == ("not published", None)


def test_what_is_not_noted_is_no_match(compare: Compare) -> None:
    """Records of before there was a parameter."""
    (found,) = compare(
        [replace(one, student=student("bert-base", model="bert-base", recipe="standard")) for one in cell()]
    )
    assert "student's steps not noted, published 200" in [str(each) for each in found.mismatches]
    (found,) = compare([replace(one, student=student("bert-base", model="bert-base", step=200)) for one in cell()])
    assert "student's steps not noted (did you mean 'step'?), published 200" in [str(each) for each in found.mismatches]


def test_a_board_shows_published_numbers_beside_its_rows_and_ranks_none(tmp_path: Path) -> None:
    """Those of the same task and dpc, comparable or not, with the verdict; nothing else on the board changes."""
    records = [
        *cell(),
        *cell("kcenters", 0.60),
        *cell(dpc=3),
        *cell("el2n"),
        *cell(name="minilm", recipe={"model": "minilm"}),
    ]
    store = store_of(tmp_path / "out", records)
    plain = board_of(store)
    found = marked(plain, load("dilm-2024"), store.task)
    assert [replace(row, mark=None) for row in found.rows] == list(plain.rows)
    marks = {row.names[1:]: row for row in found.rows}
    assert marks["bert-base", 3, "random"].mark is None
    assert marks["bert-base", 5, "el2n"].mark is None
    told = {f"{row.student} {row.method}": mark_text(row) for row in found.rows if row.mark is not None}
    assert told == {
        "bert-base random": "58.1±5.2 bert-base, undecided",
        "bert-base kcenters": "70.8±4.1 bert-base, differs",
        "minilm random": "58.1±5.2 bert-base, not comparable",
    }
    lines = {
        (line["student"], line["method"], line["dpc"]): line for line in csv.DictReader(io.StringIO(csv_text(found)))
    }
    line = lines["minilm", "random", "5"]
    assert (line["published"], line["published_std"], line["published_student"]) == ("0.581", "0.052", "bert-base")
    assert (line["published_where"], line["published_verdict"]) == ("dilm-2024 Table 1", "not comparable")
    assert lines["bert-base", "el2n", "5"]["published"] == ""
    assert "dilm-2024" in markdown(found)
    assert "Published (dilm-2024 Table 1): 58.1$\\pm$5.2 bert-base, not comparable." in latex(found)
    assert "dilm-2024" not in markdown(plain)


def test_a_published_variant_stands_under_its_own_name_beside_rows_of_that_variant(tmp_path: Path) -> None:
    """Ablations are published at dpc 5 alone: at 20 the nearest number is another variant's, which stands nowhere."""
    params = {"generator": "gpt2", "learner": "minilm", **FEATURES, "start": "trained", "finetune": True}
    params |= {"teacher": "random", "batch": "plain", "lm_steps": 300, "outer_loops": 8, "inner_loop": 5, "top_p": 0.95}
    store = store_of(tmp_path / "out", [*cell("gen-distill", params=params, dpc=5), *cell("random", dpc=5)])
    row = next(
        row for row in marked(board_of(store), load("dilm-2024"), store.task).rows if row.method_name == "gen-distill"
    )
    assert row.mark is not None
    assert row.mark.number.method == "gen-distill-ab"
    assert f" {row.mark.number.method}, bert-base, " in mark_text(row)
    larger = store_of(tmp_path / "larger", cell("gen-distill", params=params, dpc=20))
    (row,) = marked(board_of(larger), load("dilm-2024"), larger.task).rows
    assert row.mark is None
    plain = {**params, "teacher": "representative", "batch": "diverse"}
    whole = store_of(tmp_path / "whole", cell("gen-distill", params=plain, dpc=20))
    (row,) = marked(board_of(whole), load("dilm-2024"), whole.task).rows
    assert row.mark is not None
    assert row.mark.number.method == "gen-distill", "whatever its learner is"
