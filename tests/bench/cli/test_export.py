"""`bench export`: which sets it takes, and what their cards say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bench.api import DistilledSet, Embeddings
from bench.cli.export import command
from bench.errors import UserError
from bench.store.artifacts import Artifacts
from bench.store.difference import difference
from bench.store.portable import read_portable
from bench.store.record import Record
from bench.store.results import ResultStore
from bench.store.sets import save_set, shown_rows
from tests.leaderboard.records import plugin, record, set_card, student, task, task_card

LABEL = "bbc[test_rows=100,train_rows=300]"


def results() -> Iterator[Record]:
    """Two tasks (one with parameters) at two sizes, and all data on the first."""
    tasks = [task("bbc", LABEL, test_rows=100, train_rows=300), task("rt")]
    cells = [(of, method, dpc) for of in tasks for method in ("random", "herding") for dpc in (5, 20)]
    for of, method, dpc in [*cells, (tasks[0], "full", None)]:
        name = f"{of.name}-{method}-{dpc}"
        yield replace(record(0.5, method=method, dpc=dpc, set_key=name), key=name, task=of)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    with ResultStore(tmp_path / "out", "w") as store:
        store.put_task("r1", task_card(label_names=("politics", "sport")))
        rows = tuple({"text": f"text {i}", "label": i, "row": 7 * i} for i in range(2))
        for one in results():
            store.append(one)
            store.put_set(one.set_key, set_card(one, n=2, rows=rows), {})
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


def test_the_folder_may_be_given_as_for_a_run(out: Path) -> None:
    to = ["--to", str(out.parent / "export"), "--cache", str(out.parent / "cache")]
    assert CliRunner().invoke(command, ["--out", str(out), *to, "--task", "rt"]).exception is None
    assert written(out)
    twice = CliRunner().invoke(command, [str(out), "--out", "b", *to]).exception
    assert str(twice) == f"the result folder is given twice: {out} and --out b"


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


def add(out: Path, one: Record, **shown: Any) -> None:
    """A finished replicate and its set of two rows."""
    with ResultStore(out, "w") as store:
        store.append(one)
        rows = tuple({"text": f"{one.key} {i}", "label": i} for i in range(2))
        store.put_set(one.set_key, set_card(one, n=2, rows=rows, **shown), {})


def test_of_two_base_seeds_the_one_on_the_board_is_exported(out: Path) -> None:
    """Their files have one name; before, one seed's texts stood under the other's identity."""
    one = record(0.5, base=7, dpc=5, finished="2026-02-01T00:00:00Z", set_key="later")
    add(out, replace(one, task=task("rt"), key="later", cell="later"))
    done = export(out, "--task", "rt", "--method", "random", "--dpc", "5")
    assert done.exception is None, done.output
    assert "1 set written" in done.output
    assert "left out, as on the board: 1 record of other versions or base seeds" in done.output
    folder = out.parent / "export"
    assert "later 0" in (folder / "rt-random-dpc5-set0.jsonl").read_text()
    assert "identity of the set: `later`" in (folder / "rt-random-dpc5-set0.md").read_text()


def test_names_that_a_file_cannot_tell_apart_get_a_piece_of_the_key(out: Path) -> None:
    labels = ["table:a b.csv", "table:a-b.csv", "table:A-b.csv", "table:" + "long" * 100]
    for number, label in enumerate(labels):
        one = record(0.5, set_key=f"{number}" * 64)
        add(out, replace(one, task=task("table", label), key=f"t{number}", cell=f"t{number}"))
    assert export(out, "--task", "table").exception is None
    names = written(out)
    assert {name[-12:] for name in names} == {f"{number}" * 12 for number in range(4)}
    assert len({name.casefold() for name in names}) == 4
    for number in range(4):
        (path,) = (out.parent / "export").glob(f"*{number}{number}.jsonl")
        assert json.loads(path.read_text().splitlines()[0])["text"] == f"t{number} 0"
    assert export(out, "--task", "table:a b.csv").exception is None
    assert written(out) == names, "a choice of fewer sets changes no name"


def test_files_of_another_export_are_kept_and_said(out: Path) -> None:
    assert "more JSONL files" not in export(out, "--task", "rt").output
    again = export(out, "--task", "bbc", "--dpc", "all")
    assert "holds 4 more JSONL files, from before" in again.output
    (out.parent / "export" / "rt-random-dpc5-set0.md").write_text("# another set of this name")
    before = (out.parent / "export" / "rt-random-dpc20-set0.md").stat().st_mtime_ns
    refused = export(out, "--task", "rt")
    assert isinstance(refused.exception, UserError)
    assert "rt-random-dpc5-set0.jsonl is there already and of another set: delete it" in str(refused.exception)
    assert (out.parent / "export" / "rt-random-dpc20-set0.md").stat().st_mtime_ns == before, "nothing was written"


def test_a_set_without_its_copy_is_said(out: Path) -> None:
    (out / "sets" / "rt-random-5.json").unlink()
    done = export(out, "--task", "rt", "--method", "random")
    assert "lacks 1 of these sets: they are left out" in done.output
    assert written(out) == {"rt-random-dpc20-set0"}


def test_cards_pass_on_no_markup(tmp_path: Path) -> None:
    evil = "`<img src=x onerror=alert(1)>`\n# heading"
    with ResultStore(tmp_path / "out", "w") as store:
        store.put_task("r1", task_card(label_names=(evil, "b")))
    one = record(0.5, method=plugin("y", evil, path=evil))
    one = replace(one, student=student("x", evil), task=task("table", f"table:{evil}"))
    add(tmp_path / "out", one, fields=("text", evil))
    assert export(tmp_path / "out").exception is None
    (card,) = (tmp_path / "export").glob("*.md")
    text = re.sub(r"`[^`\n]*`", "", card.read_text())  # code is shown as it is
    assert "<" not in text
    assert text.count("\n#") == 0


def test_a_set_of_the_embedding_level_needs_the_cache_and_says_what_it_fits(tmp_path: Path) -> None:
    embeddings = Embeddings(
        np.zeros((2, 3, 4), np.float32),
        np.ones((2, 3), np.int64),
        np.array([[0.3, 0.7], [3, -3]], np.float32),
        "minilm",
        np.array([0.25, 0.5], np.float32),
        layer=4,
        unrestricted=True,
        head_seed=7,
        trained_layers=2,
        nearest=["a goal", "<script>"],
    )
    distilled = DistilledSet(np.array([0, 1]), embeddings=embeddings)
    key = "ab" * 32
    one = record(0.5, method="tdd", set_key=key, league="C")
    with ResultStore(tmp_path / "out", "w") as store:
        store.put_task("r1", task_card(label_names=("politics", "sport")))
        store.append(one)
        chosen = {"chosen_on": {"step": "validation rows"}}
        shown = set_card(one, n=2, fields=(), rows=tuple(shown_rows(distilled)), n_bytes=1234, diagnostics=chosen)
        store.put_set(key, shown, {})
    gone = export(tmp_path / "out")
    assert isinstance(gone.exception, UserError)
    assert "another --cache, give it here too" in str(gone.exception)
    Artifacts(tmp_path / "cache").make("set", {}, lambda folder: save_set(folder, distilled), key)
    assert export(tmp_path / "out").exception is None
    name = tmp_path / "export" / "bbc-tdd-dpc5-set0"
    back = read_portable(Path(f"{name}.safetensors"))
    assert (difference(back.distilled, distilled), back.label_names) == ("", ("politics", "sport"))
    lines = [json.loads(line) for line in Path(f"{name}.jsonl").read_text().splitlines()]
    assert [(line["label_name"], line["nearest"]) for line in lines] == [("politics", "a goal"), ("sport", "<script>")]
    card = Path(f"{name}.md").read_text()
    for said in (
        "hidden states, the input of layer 4 of the encoder `minilm`; they fit this encoder alone",
        "2 examples of 3 positions of 4 numbers",
        "learners that train 2 layers",
        'bench score FOLDER --name tdd-again --tasks "bbc" --students "',
        "learned step sizes of 2 gradient steps: 0.25, 0.5",
        "unrestricted numbers",
        "the head of seed 7",
        "bytes that a student reads of it: 1,234",
        'chosen on: `{"step": "validation rows"}`',
        "only to look at",
        f"`{name.name}.safetensors`",
    ):
        assert said in card
    assert "fields:" not in card


def test_soft_labels_are_not_left_behind(out: Path) -> None:
    """The readable copy has none, so without the cache such a set is refused; before, hard labels stood for it."""
    add(out, replace(record(0.5, set_key="soft", method="soft", league="B"), task=task("rt")))
    done = export(out, "--method", "soft")
    assert "is not in the cache" in str(done.exception)
