"""GLUE from a local folder with the hub's column names."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.api import UserError
from tests.tasks.conftest import Load, check_sound, rows, splits

Rows = list[dict[str, Any]]


def sentences(count: int, purpose: str, fields: Sequence[str], classes: int) -> Rows:
    return [
        {**{field: f"{purpose} {field} number {i}" for field in fields}, "label": i % classes, "idx": i}
        for i in range(count)
    ]


def write(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(rows), path)


TASKS = {
    "sst2": ("sst2", ("sentence",), 2, "validation", "accuracy"),
    "qqp": ("qqp", ("question1", "question2"), 2, "validation", "accuracy_f1"),
    "mnli-m": ("mnli", ("premise", "hypothesis"), 3, "validation_matched", "accuracy"),
}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv"])
def test_local_folder_in_each_format(tmp_path: Path, load: Load, name: str, suffix: str) -> None:
    folder, fields, classes, test_name, metric = TASKS[name]
    train, test = sentences(60, "train", fields, classes), sentences(20, "test", fields, classes)
    write(tmp_path / folder / f"train.{suffix}", train)
    write(tmp_path / folder / f"{test_name}.{suffix}", test)
    data = load(name, validation_rows=15)
    assert data.info.fields == fields
    assert data.info.n_classes == classes
    assert data.info.metric == metric
    assert (len(data.train), len(data.validation), len(data.test)) == (45, 15, 20)
    assert rows(data.test) == [(*(row[field] for field in fields), row["label"]) for row in test]  # file order
    check_sound(data)


@pytest.fixture
def sst2(tmp_path: Path) -> Path:
    write(tmp_path / "sst2" / "train.jsonl", sentences(60, "train", ("sentence",), 2))
    write(tmp_path / "sst2" / "validation.jsonl", sentences(20, "test", ("sentence",), 2))
    return tmp_path / "sst2"


def test_validation_follows_the_text_and_not_the_place(sst2: Path, load: Load) -> None:
    before = load("sst2", validation_rows=15)
    more = sentences(60, "train", ("sentence",), 2)
    random.Random(0).shuffle(more)
    write(sst2 / "train.jsonl", more)
    after = load("sst2", validation_rows=15)
    assert set(rows(after.validation)) == set(rows(before.validation))
    assert set(rows(after.train)) == set(rows(before.train))
    wider = load("sst2", validation_rows=20)
    assert set(rows(before.validation)) < set(rows(wider.validation))


def test_caps_nest_and_keep_the_order(sst2: Path, load: Load) -> None:
    whole = load("sst2", validation_rows=15)
    large = load("sst2", validation_rows=15, train_rows=30, test_rows=15)
    small = load("sst2", validation_rows=15, train_rows=10, test_rows=8)
    for name, cap in (("train", 10), ("test", 8)):
        inner, outer, every = (rows(splits(data)[name]) for data in (small, large, whole))
        assert len(inner) == cap
        assert set(inner) < set(outer) < set(every)
        assert inner == [row for row in every if row in inner]
    assert rows(small.validation) == rows(whole.validation)


def test_rows_that_run_together_can_be_left_out(sst2: Path, load: Load) -> None:
    plain = load("sst2", validation_rows=15)
    long = {"sentence": "\n".join(f"row {i} of many" for i in range(100)), "label": 0}
    write(sst2 / "train.jsonl", [*sentences(60, "train", ("sentence",), 2), long])
    counts = [len(load("sst2", validation_rows=15, max_words=most).train) for most in (None, 400, 399)]
    assert counts == [len(plain.train) + 1, len(plain.train) + 1, len(plain.train)]


def test_repeats_are_kept_as_in_the_paper_or_dropped(sst2: Path, load: Load) -> None:
    plain = load("sst2", validation_rows=15)
    odd = [
        {"sentence": " Test sentence number 3", "label": 1},  # in the test split
        {"sentence": "train sentence number 4", "label": 0},  # a repeat
        {"sentence": "two labels", "label": 0},
        {"sentence": "two labels", "label": 1},
        {"sentence": "no label", "label": -1},
        {"sentence": "  ", "label": 1},
    ]
    write(sst2 / "train.jsonl", sentences(60, "train", ("sentence",), 2) + odd)
    write(sst2 / "validation.jsonl", [*sentences(20, "test", ("sentence",), 2), {"sentence": "no label", "label": -1}])
    data = load("sst2", validation_rows=15, repeats="drop")
    assert [rows(split) for split in splits(data).values()] == [rows(split) for split in splits(plain).values()]
    kept = load("sst2", validation_rows=15)
    texts = {name: [row[0] for row in rows(split)] for name, split in splits(kept).items()}
    assert len(texts["train"]) + len(texts["validation"]) == 60 + 4  # all but the unlabelled and the empty row
    assert not set(texts["train"]) & set(texts["validation"])  # copies of one text are never parted
    assert "no label" not in texts["train"] + texts["test"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train.jsonl", None, r"none of train\.jsonl, train\.parquet, train\.csv in .*sst2"),
        ("train.jsonl", '{"sentence": "a film", "label": 0}\n{"sentence": "a fi', "line 2 is not JSON .*cut off"),
        ("train.jsonl", '{"text": "a film", "label": 0}\n', "no column 'sentence'; it has: 'text', 'label'"),
        ("train.jsonl", '{"sentence": "a film", "label": 2}\n', r"line 1: the label is 2, not one of 0\.\.1"),
        ("train.jsonl", '{"sentence": "a film", "label": NaN}\n', "line 1: the label is nan"),
        ("train.jsonl", '{"sentence": "a film", "label": "positive"}\n', "line 1: the label is 'positive'"),
        ("train.jsonl", '{"sentence": 7, "label": 1}\n', "line 1: column 'sentence' holds 7, which is no text"),
        ("validation.jsonl", '{"sentence": "a film", "label": -1}\n', "no labelled rows"),
        ("validation.jsonl", '{"sentence": "a film", "label": 1}\n', "class 'negative' has no row in the test split"),
    ],
)
def test_bad_rows_are_one_line(sst2: Path, load: Load, file: str, content: str | None, message: str) -> None:
    (sst2 / file).unlink()
    if content is not None:
        (sst2 / file).write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        load("sst2", validation_rows=15)
    assert "\n" not in str(caught.value)


def test_cut_off_parquet_and_too_large_a_validation_split(sst2: Path, load: Load) -> None:
    with pytest.raises(UserError, match="validation_rows=30 takes half of the 60 train rows"):
        load("sst2", validation_rows=30)
    (sst2 / "train.jsonl").unlink()
    write(sst2 / "train.parquet", sentences(60, "train", ("sentence",), 2))
    whole = (sst2 / "train.parquet").read_bytes()
    (sst2 / "train.parquet").write_bytes(whole[:-20])
    with pytest.raises(UserError, match="no readable Parquet file") as caught:
        load("sst2", validation_rows=15)
    assert "\n" not in str(caught.value)
