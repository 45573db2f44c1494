"""`bench export`: which sets it takes, and what their cards say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.cli.export import command
from bench.errors import UserError
from bench.store.results import ResultStore
from tests.leaderboard.records import GOLD, Record, plugin, record

LABEL = "bbc[test_rows=100,train_rows=300]"


def results() -> Iterator[Record]:
    """Two tasks (one with parameters) at two sizes, and all data on the first."""
    tasks = [plugin("bbc", LABEL, test_rows=100, train_rows=300), plugin("rt")]
    cells = [(task, method, dpc) for task in tasks for method in ("random", "herding") for dpc in (5, 20)]
    for task, method, dpc in [*cells, (tasks[0], "full", None)]:
        name = f"{task['name']}-{method}-{dpc}"
        yield record(0.5, dpc=dpc, set_key=name) | {
            "key": name,
            "task": {**task, "revision": "r1"},
            "method": plugin(method),
        }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    with ResultStore(tmp_path / "out", "w") as store:
        store.put_task(
            "r1", {"label_names": ["politics", "sport"], "metric": "accuracy", "test_labels": GOLD, "n_test": len(GOLD)}
        )
        for one in results():
            store.append(one)
            names = {"task": one["task"]["label"], "method": one["method"]["label"], "dpc": one["dpc"]}
            rows = [{"text": f"text {i}", "label": i, "row": 7 * i} for i in range(2)]
            head = {**names, "set": 0, "seed": 1, "n": 2, "fields": ["text"], "diagnostics": {}, "seconds": 0.1}
            store.put_set(one["set_key"], {**head, "rows": rows})
    return tmp_path / "out"


def export(out: Path, *words: str) -> Result:
    to = out.parent / "export"
    return CliRunner().invoke(command, [str(out), "--to", str(to), "--cache", str(out.parent / "cache"), *words])


def written(out: Path) -> set[str]:
    return {path.stem for path in (out.parent / "export").glob("*.jsonl")}


@pytest.mark.parametrize("name", ["bbc", LABEL, "bbc[train_rows=300,test_rows=100]"])
def test_a_task_is_named_as_for_the_board_or_the_run(out: Path, name: str) -> None:
    done = export(out, "--task", name, "--method", "random")
    assert done.exception is None, done.output
    assert written(out) == {f"bbc-test_rows=100-train_rows=300-random-dpc{dpc}-set0" for dpc in (5, 20)}


def test_dpc_takes_a_number_or_all(out: Path) -> None:
    assert export(out, "--task", "bbc", "--dpc", "all").exception is None
    assert written(out) == {"bbc-test_rows=100-train_rows=300-full-all-set0"}
    assert export(out, "--task", "rt", "--dpc", "20").exception is None
    assert written(out) > {"rt-random-dpc20-set0", "rt-herding-dpc20-set0"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task", "bcb"], "no task 'bcb' in {out}; did you mean 'bbc'?"),
        (["--method", "randm"], "no method 'randm' in {out}; did you mean 'random'?"),
        (["--dpc", "99"], "no dpc '99' in {out}; it has 5, 20, all"),
        (["--task", "rt", "--dpc", "all"], "no dpc 'all' in {out} for task rt; it has 5, 20"),
    ],
)
def test_an_unknown_name_is_one_line(out: Path, words: list[str], message: str) -> None:
    done = export(out, *words)
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == message.format(out=out)


def test_rows_and_card_agree_on_what_row_counts(out: Path) -> None:
    export(out, "--task", "rt", "--method", "random", "--dpc", "5")
    folder = out.parent / "export"
    lines = [json.loads(line) for line in (folder / "rt-random-dpc5-set0.jsonl").read_text().splitlines()]
    assert [(line["row"], line["label_name"]) for line in lines] == [(0, "politics"), (7, "sport")]
    card = (folder / "rt-random-dpc5-set0.md").read_text()
    assert "`row` is its index in the task's train split (from 0, after splitting and caps)" in card
    assert "not a line number" in card
