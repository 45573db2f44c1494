"""Sets made elsewhere: every format that others publish, labels as names or numbers, one line for a defect."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from bench.api import TaskInfo
from bench.errors import UserError
from bench.imported import Columns, common_dpc, read_sets

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
