"""`table:PATH`: columns, labels, splits, and one clear line for every defect."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from bench.api import TaskData, UserError
from bench.data.assets import Assets
from bench.settings import Settings
from tests.tasks.conftest import check_sound, load_task, rows, splits
from tests.tasks.test_glue import write

REVIEWS = [{"id": i, "Review": f"review number {i}, of a film", "label": ["bad", "good"][i % 2]} for i in range(50)]


def load(path: Path, **params: Any) -> TaskData:
    return load_task("table", Assets({}, Settings.make(cache=path.parent / "cache")), path=str(path), **params)


def refused(path: Path, **params: Any) -> str:
    """The one line that loading ends with."""
    with pytest.raises(UserError) as caught:
        load(path, **params)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "array.json", "lines.json"])
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"reviews.{suffix}"
    if suffix == "tsv":
        with open(path, "w", newline="") as file:
            csv.writer(file, delimiter="\t").writerows([list(REVIEWS[0]), *(row.values() for row in REVIEWS)])
    elif suffix == "array.json":
        path.write_text(json.dumps(REVIEWS, indent=1))
    elif suffix == "lines.json":
        path.write_text("".join(json.dumps(row) + "\n" for row in REVIEWS))
    else:
        write(path, REVIEWS)
    data = load(path)
    assert data.info.label == f"table:reviews.{suffix}"
    assert data.info.fields == ("Review",)
    assert data.info.label_names == ("bad", "good")
    assert (len(data.train), len(data.validation), len(data.test)) == (36, 4, 10)
    check_sound(data)
    write(tmp_path / "same.jsonl", REVIEWS)
    assert [rows(s) for s in splits(data).values()] == [rows(s) for s in splits(load(tmp_path / "same.jsonl")).values()]
    assert {label for _, label in rows(data.test)} == {0, 1}
    assert all(REVIEWS[int(text.split()[2].rstrip(","))]["label"] == ["bad", "good"][y] for text, y in rows(data.train))


def test_quoted_line_breaks_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    lines = "".join(f'"line {i},\r\nwith ""quotes""",{i % 2}\r\n' for i in range(30))
    (tmp_path / "odd.csv").write_bytes(b"\xef\xbb\xbf" + f"text,label\r\n{lines}\r\n".encode())
    data = load(tmp_path / "odd.csv")
    assert data.info.label_names == ("0", "1")
    assert sorted(text for split in splits(data).values() for text, _ in rows(split))[0] == 'line 0,\r\nwith "quotes"'


def test_pairs_and_integer_labels_in_their_order(tmp_path: Path) -> None:
    found = [{"premise": f"one {i}", "hypothesis": f"other {i}", "label": [2, 10, -1][i % 3]} for i in range(60)]
    write(tmp_path / "pairs.jsonl", found)
    data = load(tmp_path / "pairs.jsonl")
    assert data.info.fields == ("premise", "hypothesis")
    assert data.info.label_names == ("-1", "2", "10")
    check_sound(data)


def test_columns_by_name(tmp_path: Path) -> None:
    found = [{"a": f"text {i}", "b": f"more {i}", "stars": [1.0, 2.0][i % 2]} for i in range(40)]
    write(tmp_path / "x.parquet", found)
    data = load(tmp_path / "x.parquet", text=["b", "a"], label="stars")
    assert data.info.fields == ("b", "a")
    assert data.info.label_names == ("1", "2")
    assert load(tmp_path / "x.parquet", text="a", label="stars").info.fields == ("a",)
    message = refused(tmp_path / "x.parquet")
    assert "'a', 'b', 'stars'" in message
    assert "--label-column" in message
    assert "no column 'c'; it has: 'a', 'b', 'stars'" in refused(tmp_path / "x.parquet", text=["c"], label="stars")
    assert "different columns" in refused(tmp_path / "x.parquet", text=["a"], label="a")


def test_two_columns_that_may_be_meant_are_not_guessed(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", [{"text": "a", "comment": "b", "label": 0, "topic": 1}])
    assert "several may be the label (label, topic)" in refused(tmp_path / "x.jsonl")
    assert "several may be the text (text or comment)" in refused(tmp_path / "x.jsonl", label="topic")


def test_splits_are_stratified_and_do_not_depend_on_the_order(tmp_path: Path) -> None:
    found = [{"text": f"text {i}", "label": "rare" if i % 10 == 0 else "common"} for i in range(200)]
    write(tmp_path / "x.jsonl", found)
    write(tmp_path / "y.jsonl", found[::-1])
    data = load(tmp_path / "x.jsonl", test_fraction=0.3, validation_fraction=0.2)
    counts = {name: [rows(split).count(row) and row[1] for row in rows(split)] for name, split in splits(data).items()}
    assert {name: (labels.count(0), labels.count(1)) for name, labels in counts.items()} == {
        "train": (90, 10),
        "validation": (36, 4),
        "test": (54, 6),
    }
    other = load(tmp_path / "y.jsonl", test_fraction=0.3, validation_fraction=0.2)
    assert [set(rows(s)) for s in splits(other).values()] == [set(rows(s)) for s in splits(data).values()]
    capped = load(tmp_path / "x.jsonl", train_rows=60, test_rows=40, test_fraction=0.3, validation_fraction=0.2)
    assert set(rows(capped.train)) < set(rows(data.train))
    assert len(capped.test) == 40


def test_test_file(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", REVIEWS)
    write(tmp_path / "test.csv", [*REVIEWS[:2], *({**row, "Review": row["Review"] + "!"} for row in REVIEWS[:6])])
    data = load(tmp_path / "train.csv", test=str(tmp_path / "test.csv"))
    assert len(data.test) == 8
    assert len(data.train) + len(data.validation) == 48  # two were in the test file
    check_sound(data)
    write(tmp_path / "test.csv", [{"Review": "what", "label": "Good"}])
    assert "line 2: class 'Good' does not occur in" in (
        message := refused(tmp_path / "train.csv", test=str(tmp_path / "test.csv"))
    )
    assert message.endswith("did you mean 'good'?")


def test_rows_dropped_for_being_in_the_test_file_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "dups.csv", [*REVIEWS[:20], REVIEWS[0]])
    write(tmp_path / "reviews.csv", REVIEWS)
    message = refused(tmp_path / "dups.csv", test=str(tmp_path / "reviews.csv"))
    assert (
        "class 'bad' has 0 different texts, too few for a row in each split (of its 11 rows were dropped: " in message
    )
    assert f"10 because their texts are in the test file {tmp_path / 'reviews.csv'}; 1 as repeats" in message
    assert message.endswith("; add rows with other texts")


def test_mends_of_too_few_rows_can_help(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", REVIEWS[:4])
    assert refused(tmp_path / "x.csv").endswith("in each split; add rows, or give --test-table")
    write(tmp_path / "x.csv", REVIEWS[:8])
    lower = refused(tmp_path / "x.csv", test_fraction=0.5, validation_fraction=0.49)
    assert lower.endswith("add rows, or give --test-table, or lower test_fraction and validation_fraction")


@pytest.mark.parametrize("classes", [25, 50])
def test_a_label_column_that_is_an_id(tmp_path: Path, classes: int) -> None:
    write(tmp_path / "x.csv", [{**row, "id": row["id"] % classes} for row in REVIEWS])
    message = refused(tmp_path / "x.csv", text=["Review"], label="id")
    assert f"column 'id' has {classes} classes in 50 rows and looks like text or an id" in message
    assert message.count("--label-column") == 1
    assert "--text-columns" not in message


def test_did_you_mean_for_a_column(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", [{"text": "a", "stars": 1}])
    assert refused(tmp_path / "x.jsonl", label="star").endswith("no column 'star'; did you mean 'stars'?")


HEAD = "text,label\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "", "is empty"),
        ("x.csv", HEAD, "holds no rows"),
        ("x.csv", HEAD + "a,0\nb\n", "line 3: 1 values for 2 columns"),
        ("x.csv", HEAD + 'a,0\n"b,1\n', "line 3: .*cut off or a quote not closed"),
        ("x.csv", HEAD + "a,0\n ,1\n", "line 3: the text .column 'text'. is empty"),
        ("x.csv", HEAD + "a,0\nb,\n", "line 3: the label .column 'label'. is missing"),
        ("x.csv", HEAD + "a,0\nb,NaN\n", "line 3: the label .*'NaN', which is no class"),
        ("x.csv", HEAD + "a,0\nb,0\n", "one class '0'; two are needed"),
        ("x.csv", HEAD + "a,0.5\nb,0.25\nc,0.1\n", "3 classes in 3 rows"),
        ("x.csv", "text,text,label\na,b,0\n", "two columns named 'text'"),
        ("x.csv", "words,kind\na,0\n", "of the columns 'words', 'kind' none is a usual label"),
        ("x.csv", b"\xffab", r"is not UTF-8 text \(line 1, byte 0xff\); save it as UTF-8"),
        ("x.csv", (HEAD + "a,0\n").encode("utf-16"), "is UTF-16 text, not UTF-8; save it as UTF-8: iconv"),
        ("x.tsv", (HEAD + "a,0\n").encode("utf-16-be"), "is UTF-16 text, not UTF-8; save it as UTF-8: iconv"),
        ("x.jsonl", '{"text": "a", "label": 0}'.encode("utf-16-le"), "is UTF-16 text"),
        ("x.csv", HEAD.encode() + b"a,0\r\ncaf\xe9,1\r\n", r"is not UTF-8 text \(line 3, byte 0xe9\)"),
        ("x.jsonl", b"\n{\xe9}\n", r"is not UTF-8 text \(line 2, byte 0xe9\)"),
        ("x.csv", "text;label\na;0\n", "one column 'text;label'; .* separated by ';': save it with commas"),
        ("x.csv", "text;label\na, b;0\n", "the one column .* save it with commas, or with tabs as .tsv"),
        ("x.csv", "a;b;label, or so\na;b;0\n", "line 2: 1 values for 2 columns; .* separated by ';'"),
        ("x.csv", '"text";"label"\n"a";"0"\n', "the one column .* separated by ';': save it with commas"),
        ("x.csv", '"text";"label";"so, so"\n"a, b";"0";"c"\n', "line 1: .*; the columns seem to be separated by ';'"),
        ("x.csv", "text\tlabel\na\t0\n", "separated by tabs: name it .tsv"),
        ("x.tsv", "text,label\na,0\n", "separated by commas: name it .csv"),
        ("x.jsonl", r'{"text": "a\ud800", "label": 0}', "line 1: column 'text' holds half of a surrogate pair"),
        ("x.jsonl", '{"text": "a", "label": NaN}\n', "line 1: the label .*nan, which is no class"),
        ("x.jsonl", '{"text": "a", "label": 0.5}\n', "line 1: the label .*0.5, which is no class"),
        ("x.jsonl", '{"text": null, "label": 1}\n', "line 1: the text .* is empty|one class"),
        ("x.jsonl", '["a", 1]\n', "line 1: an object with one value per column"),
        ("x.jsonl", '{"text": "a", "label', "line 1 is not JSON"),
        ("x.jsonl", "[" * 100_000, "line 1 is not JSON .*recursion"),
        ("x.jsonl", '{"text": "a", "label": "\\ud800"}\n', r"line 1: column 'label' holds half of a surrogate pair"),
        ("x.json", '[{"text": "a", "label": 0}, 5]', "row 2: an object with one value per column"),
        ("x.json", '[{"text": "a", "label": 0}', "is not JSON .*cut off"),
        ("x.json", '{\n"text": "a"}', "line 1 is not JSON"),
        ("x.json", "[]", "holds no rows"),
        ("x.json", '[{"text": "a", "label": null}, {"text": "b", "label": 1}]', "row 1: .*1 of 2 rows .row 1."),
        ("x.parquet", b"PAR1 and no more", "no readable Parquet file"),
        ("x.xlsx", "", r"the extension '\.xlsx'; tables are read from \.jsonl, \.json, \.csv, \.tsv, \.parquet"),
    ],
)
def test_every_defect_is_one_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_rows_without_a_label_or_text_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write(path, [row | {"label": "" if row["id"] % 7 == 2 else row["label"]} for row in REVIEWS])
    assert refused(path) == (
        f"{path}, line 4: the label (column 'label') is missing; so in 7 of 50 rows (lines 4, 11, 18, 25, 32, ...): "
        "give these rows a label or delete them"
    )
    write(path, [row | {"label": " "} for row in REVIEWS])
    assert refused(path).endswith("so in 50 of 50 rows (lines 2, 3, 4, 5, 6, ...): name another --label-column")
    write(path, [row | {"Review": "" if row["id"] == 3 else row["Review"]} for row in REVIEWS])
    assert refused(path) == (
        f"{path}, line 5: the text (column 'Review') is empty; so in 1 of 50 rows (line 5): fill them in or delete them"
    )


@pytest.mark.parametrize(
    ("odd", "shown"),
    [
        ("Good", "'Good'"),
        ("go od", None),
        ("go\u200bod", r"'go\u200bod'"),
        ("ｇood", "'ｇood'"),
        ("good ", None),
        ("goods", None),
    ],
)
def test_classes_that_look_like_one(tmp_path: Path, odd: str, shown: str | None) -> None:
    """One class written in two ways is not two; blanks at the ends are no part of a name."""
    path = tmp_path / "x.csv"
    write(path, [row | {"label": odd if row["id"] in range(1, 30, 4) else row["label"]} for row in REVIEWS])
    if shown is None:
        assert load(path).info.label_names == tuple(sorted({"bad", "good", odd.strip()}))
        return
    message = refused(path)
    assert "column 'label' has two classes that look like one: " in message
    assert f"{shown} in 8 of 50 rows (lines 3, 7, 11, 15, 19, ...)" in message
    assert "'good' in 17 of 50 rows (lines 5, 9, 13, 17, 21, ...)" in message
    assert "; write them alike, or give them names that differ" in message


def test_numbers_written_in_two_ways(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write(path, [row | {"label": "1.0" if row["id"] == 9 else row["id"] % 2} for row in REVIEWS])
    assert "two classes that look like one: '1' in 24 of 50 rows" in refused(path)
    write(path, [row | {"label": f"1.{row['id'] % 2}"} for row in REVIEWS])
    assert load(path).info.label_names == ("1.0", "1.1")


def test_a_cell_of_200_kilobytes(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write(path, [row | {"Review": row["Review"] + " and so on" * 20_000} for row in REVIEWS])
    before = csv.field_size_limit()
    assert max(len(text) for text, _ in rows(load(path).train)) > 200_000
    path.write_text('text,label\n"' + "a" * 200_000)
    assert "line 2: unexpected end of data; is the file cut off or a quote not closed?" in refused(path)
    assert csv.field_size_limit() == before


def test_too_few_rows_of_a_class_and_a_missing_file(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", [*({"text": f"t{i}", "label": 0} for i in range(9)), {"text": "u", "label": 1}])
    assert "class '1' has 1 different texts, too few for a row in each split" in refused(tmp_path / "x.jsonl")
    assert "no file or folder" in refused(tmp_path / "missing.csv")
    assert "is a folder, not a file" in refused(tmp_path / "cache.csv", **make_folder(tmp_path / "cache.csv"))


def make_folder(path: Path) -> dict[str, Any]:
    path.mkdir()
    return {}


def test_texts_with_two_labels_are_dropped(tmp_path: Path) -> None:
    rows_ = [{"text": f"t{i}", "label": i % 2} for i in range(20)]
    write(tmp_path / "x.jsonl", [*rows_, {"text": "T0", "label": 1}, {"text": "t2", "label": 0}])
    data = load(tmp_path / "x.jsonl")
    texts = [text for split in splits(data).values() for text, _ in rows(split)]
    assert sorted(texts) == sorted(json.loads(json.dumps([row["text"] for row in rows_[1:]])))
