"""Sets made elsewhere: every format that others publish, labels as names or numbers, one line for a defect."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from bench.api import DistilledSet, Embeddings, TaskInfo
from bench.errors import UserError
from bench.imported import Columns, common_dpc, content_key, read_sets
from bench.store.difference import difference
from bench.store.portable import write_portable
from bench.store.sets import shown_rows

INFO = TaskInfo("words", ("text",), ("sport", "money"))
ROWS = [{"text": ["a goal", "a bank", "the coach", "é, and\n“profit”"][i], "label": i % 2} for i in range(4)]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows as a file of the kind that its extension says; a `.lines.json` has one object a line."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix in {".csv", ".tsv"}:
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerows([list(rows[0]), *(list(row.values()) for row in rows)])
    elif path.suffixes == [".json"]:
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def labels(path: Path, rows: list[dict[str, Any]], info: TaskInfo = INFO) -> list[int]:
    write(path, rows)
    ((_, found),) = read_sets(path.parent, info, Columns())
    return found.labels.tolist()


def refused(folder: Path, info: TaskInfo = INFO, named: Columns | None = None) -> str:
    with pytest.raises(UserError) as caught:
        common_dpc(read_sets(folder, info, named or Columns()), info, None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.lines.json", "a.csv", "a.tsv", "a.parquet", "A.JSONL"])
@pytest.mark.parametrize("named", [False, True])
def test_every_format_gives_the_same_set(tmp_path: Path, name: str, named: bool) -> None:
    rows = [row | {"label": INFO.label_names[row["label"]]} for row in ROWS] if named else ROWS
    write(tmp_path / "sets" / name, [row | {"source": i} for i, row in enumerate(rows)])
    ((path, found),) = read_sets(tmp_path / "sets", INFO, Columns())
    assert path.name == name
    assert found.labels.tolist() == [0, 1, 0, 1]
    assert found.texts == {"text": [row["text"] for row in ROWS]}


def test_columns_by_name(tmp_path: Path) -> None:
    pair = TaskInfo("pairs", ("premise", "hypothesis"), ("no", "yes"))
    write(tmp_path / "sets" / "a.csv", [{"y": i % 2, "s2": f"second {i}", "s1": f"first {i}"} for i in range(4)])
    ((_, found),) = read_sets(tmp_path / "sets", pair, Columns(("s1", "s2"), ("stars", "y")))
    assert found.texts == {
        "premise": [f"first {i}" for i in range(4)],
        "hypothesis": [f"second {i}" for i in range(4)],
    }
    assert found.labels.tolist() == [0, 1, 0, 1]
    assert "no column 'premise'; known: s1, s2, y; or give --text-columns" in refused(tmp_path / "sets", pair)
    message = refused(tmp_path / "sets", pair, Columns(("s1", "s2"), ("yy",)))
    assert message.endswith("no column 'yy'; did you mean 'y'?; or give --label-column")
    message = refused(tmp_path / "sets", pair, Columns(("s1",)))
    assert message == "--text-columns s1: the task has the fields premise, hypothesis"


def test_one_folder_of_several_formats_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "sets"
    for name in ("c.csv", "a.parquet", "b.jsonl", "a-1.json", ".hidden.csv", "card.md"):
        write(folder / name, ROWS)
    assert [path.name for path, _ in read_sets(folder, INFO, Columns())] == [
        "a-1.json",
        "a.parquet",
        "b.jsonl",
        "c.csv",
    ]
    write(folder / "a.jsonl", ROWS)
    assert "has a.jsonl and a.parquet: keep one of them, a set is one file" in refused(folder)
    assert refused(tmp_path / "none") == f"{tmp_path / 'none'} is no folder"
    assert "is a file: put it into a folder" in refused(folder / "c.csv")
    (tmp_path / "empty").mkdir()
    assert "has no .jsonl, .json, .csv, .tsv, .parquet or .safetensors file" in refused(tmp_path / "empty")


def with_arrays(**changes: Any) -> DistilledSet:
    """A set of both classes at the embedding level."""
    embeddings = Embeddings(
        np.arange(48, dtype=np.float32).reshape(4, 3, 4),
        np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]]),
        np.array([[0.5, 0.5], [1, 0], [0.25, 0.75], [0, 1]], np.float32),
        "minilm",
        np.array([0.1, 0.2], np.float32),
        layer=4,
        nearest=["a goal", "é <b>", "", "x"],
    )
    embeddings = replace(embeddings, **changes)
    return DistilledSet(np.array([0, 0, 0, 1]), embeddings=embeddings, diagnostics={"chosen_on": "validation"})


def with_soft_labels() -> DistilledSet:
    soft = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0, 1]], np.float32)
    return DistilledSet(np.array([0, 1, 0, 1]), {"text": [row["text"] for row in ROWS]}, soft)


@pytest.mark.parametrize("make", [with_arrays, with_soft_labels])
def test_sets_with_arrays_come_back_bit_by_bit(tmp_path: Path, make: Callable[[], DistilledSet]) -> None:
    """Also when no class has its share of the learned labels; a copy to read beside it says the same."""
    write_portable(tmp_path / "a.safetensors", make(), INFO.label_names)
    write(tmp_path / "a.jsonl", shown_rows(make()))
    write_portable(tmp_path / "again", make(), INFO.label_names)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "a.safetensors").read_bytes()
    found = read_sets(tmp_path, INFO, Columns())
    ((path, distilled),) = found
    assert path.name == "a.safetensors"
    assert difference(distilled, make()) == ""
    assert distilled.diagnostics == make().diagnostics
    assert common_dpc(found, INFO, None) == 2


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        (lambda rows: rows[::-1], "'label'"),
        (lambda rows: rows[:3], "'label'"),
        (lambda rows: [row | {"nearest": "other"} for row in rows], "'nearest'"),
    ],
)
def test_a_copy_that_says_something_else_is_not_passed_over(tmp_path: Path, rows: Any, place: str) -> None:
    write_portable(tmp_path / "a.safetensors", with_arrays(), INFO.label_names)
    write(tmp_path / "a.jsonl", rows(shown_rows(with_arrays())))
    assert f"a.jsonl differs from a.safetensors in {place}: that table is a copy to read" in refused(tmp_path)


def test_what_tells_sets_with_arrays_apart() -> None:
    """Equal contents are one artifact of the cache, so all that a set keeps is in their key."""
    one = with_arrays()
    assert content_key(with_arrays()) == content_key(one)
    others = [
        with_arrays(layer=3),
        with_arrays(nearest=["b"] * 4),
        with_arrays(step_sizes=None),
        with_arrays(inputs_embeds=one.embeddings.inputs_embeds + 1),  # type: ignore[union-attr]
        replace(one, diagnostics={}),
        replace(one, labels=np.array([0, 0, 1, 1])),
        with_soft_labels(),
        replace(with_soft_labels(), soft_labels=None),
    ]
    assert len({content_key(each) for each in (one, *others)}) == 9


def damaged(path: Path, how: str) -> None:
    """A set of `bench export`, spoilt."""
    write_portable(path, with_arrays(), INFO.label_names)
    match how:
        case "foreign":
            save_file({"labels": np.zeros(2, np.int64)}, path)
        case "cut":
            path.write_bytes(path.read_bytes()[:-7])
        case "text":
            path.write_text('{"text": "a"}')
        case "empty":
            path.write_bytes(b"")
        case "no labels":
            metadata = safe_open(path, "numpy").metadata()
            save_file({"inputs_embeds": np.zeros((4, 3, 4), np.float32)}, path, metadata)
        case "no mask":
            metadata, arrays = safe_open(path, "numpy").metadata(), load_file(path)
            save_file({name: array for name, array in arrays.items() if name != "attention_mask"}, path, metadata)
        case "format":
            save_file({"labels": np.zeros(2, np.int64)}, path, {"bench": '{"format": 9}'})
        case "no JSON":
            save_file({"labels": np.zeros(2, np.int64)}, path, {"bench": "{"})
        case "mask":
            write_portable(path, with_arrays(attention_mask=np.zeros((4, 3), np.int64)), INFO.label_names)
        case "classes":
            write_portable(path, with_arrays(), ("money", "sport"))


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("foreign", "is no set of `bench export`: its header lacks the entry 'bench'"),
        ("cut", "is no readable safetensors file"),
        ("text", "is no readable safetensors file"),
        ("empty", "is no readable safetensors file"),
        ("no labels", "lacks the array 'labels': export it again"),
        ("no mask", "lacks the array 'attention_mask': export it again"),
        ("format", "format 9, this bench reads 1"),
        ("no JSON", "is damaged (JSONDecodeError"),
        ("mask", "returned a text of length zero: attention_mask, example 0"),
        ("classes", "has the classes money, sport; the task has sport, money"),
    ],
)
def test_a_bad_file_of_arrays_is_one_line(tmp_path: Path, how: str, line: str) -> None:
    damaged(tmp_path / "a.safetensors", how)
    message = refused(tmp_path)
    assert message.startswith(f"{tmp_path / 'a.safetensors'} ")
    assert line in message


STARS = TaskInfo("stars", ("text",), ("1", "2", "3"))


def starred(*values: Any) -> list[dict[str, Any]]:
    return [{"text": f"text {i}", "label": value} for i, value in enumerate(values)]


def test_numbers_that_are_names_of_other_classes(tmp_path: Path) -> None:
    """Stars 1 to 3 are the classes 0 to 2: what cannot be told apart is refused, not scored under a wrong label."""
    sets = iter(tmp_path / str(i) for i in range(20))
    assert labels(next(sets) / "a.jsonl", starred(0, 1, 2), STARS) == [0, 1, 2]  # as `bench export` writes them
    assert labels(next(sets) / "a.csv", starred(0, 1, 2), STARS) == [0, 1, 2]
    assert labels(next(sets) / "a.jsonl", starred(1, 2, 3), STARS) == [0, 1, 2]
    assert labels(next(sets) / "a.csv", starred(3, 2, 1), STARS) == [2, 1, 0]
    assert labels(next(sets) / "a.jsonl", starred("1", "2"), STARS) == [0, 1]
    assert labels(next(sets) / "a.parquet", starred("1", "2"), STARS) == [0, 1]
    assert labels(next(sets) / "a.jsonl", starred(0, 1), STARS) == [0, 1]
    for name, values in (("a.jsonl", (1, 2)), ("a.csv", (1, 2)), ("a.parquet", (1, 2)), ("a.csv", (0, 1))):
        folder = next(sets)
        write(folder / name, starred(*values))
        message = refused(folder, STARS)
        assert "the labels may be names of classes (1, 2, 3) or their numbers from 0" in message
        assert message.endswith('write the names as texts into a .jsonl file, such as {"label": "1"}')
    folder = next(sets)
    write(folder / "a.csv", starred(0, 1, 3))
    message = refused(folder, STARS)
    assert "names of classes in some rows (line 4: '3') and numbers in others (line 2: '0')" in message


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('{"text": "a", "label": 0}\n{"text": "b"}', "line 2 has no 'label'; known: text"),
        ('{"text": "a", "label": 0}\n{"txt": "b", "label": 1}', "line 2 has no 'text'; did you mean 'txt'"),
        (
            '{"text": "a", "label": 2}',
            "line 1: label 2 is not an integer in 0..1 .sport, money. or one of these names$",
        ),
        ('{"text": "a", "label": "Sport"}', "label 'Sport' is not an .* did you mean 'sport'"),
        ('{"text": "a", "label": -1}', "label -1 is not an integer"),
        ('{"text": "a", "label": true}', "label True is not an integer"),
        ('{"text": "a", "label": "01"}', "label '01' is not an integer"),
        ('{"text": "a", "label": NaN}', "label nan"),
        ('{"text": "a", "label": [0]}', r"label \[0\]"),
        ('{"text": "a", "label": 0}\n{"text": "b", "label": "money"}', "line 2: 'money'. and numbers .* .line 1: '0'."),
        ('{"text": " ", "label": 1}', "line 1: 'text' is empty"),
        ('{"text": 5, "label": 1}', "line 1: column 'text' holds 5, which is no text"),
        ('{"text": "\\ud800", "label": 1}', "line 1: column 'text' holds half of a surrogate pair"),
        ('{"text": "a", "lab', "line 1 is not JSON"),
        ("[" * 100_000, "line 1 is not JSON"),
        ('["a"]', "line 1: an object with one value per column"),
        ('{"nearest": "a", "label": 0}', "copy to read of a set at embedding level: put the .safetensors file"),
        ("", "holds no rows"),
        ('{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n{"text": "c", "label": 1}', ".sport: 1, money: 2."),
    ],
)
def test_bad_sets_are_one_line(tmp_path: Path, content: str, line: str) -> None:
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "a.jsonl").write_text(content)
    message = refused(tmp_path / "sets")
    assert str(tmp_path / "sets" / "a.jsonl") in message
    assert re.search(line, message), message
