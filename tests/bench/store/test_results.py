"""The result store: whole lines, one writer, torn ends, damage, and other schemas."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UserError
from bench.store.results import ResultStore, decode_predictions, encode_predictions
from tests.leaderboard.records import record as made


def record(key: str, **changes: Any) -> dict[str, Any]:
    """A record of a failed replicate: it has no predictions, so no gold labels are needed."""
    return made(None, status="failed") | {"key": key, **changes}


def test_records_come_back_and_the_last_of_a_key_wins(tmp_path: Path) -> None:
    with ResultStore(tmp_path, "w") as store:
        store.append(record("a"))
        store.append(record("b", set=1))
        store.append(record("a", status="timeout"))
    found = ResultStore(tmp_path).records()
    assert [(each["key"], each["status"]) for each in found] == [("a", "timeout"), ("b", "failed")]


CHANGED = [
    ("run", 1),
    ("set", 2),
    ("seed", {"base": 0, "set": 1, "run": 5}),
    ("near_test", 3),
    ("key", "b"),
    ("suite", "other"),
]


@pytest.mark.parametrize(("name", "value"), CHANGED)
def test_a_record_that_was_changed_in_any_field_is_damaged(tmp_path: Path, name: str, value: Any) -> None:
    with ResultStore(tmp_path, "w") as store:
        store.append(record("a", near_test=0))
        path = store.path
    before = json.loads(path.read_text())
    assert before[name] != value
    path.write_text(json.dumps(before | {name: value}, sort_keys=True, separators=(",", ":")) + "\n")
    with pytest.raises(UserError, match=r"line 1 is damaged .not as it was written: its own hash differs"):
        ResultStore(tmp_path).records()


def test_canonical_order_does_not_depend_on_the_order_of_writing(tmp_path: Path) -> None:
    made = [record(f"{i}{d}", dpc=d, set=i) for i in range(3) for d in (10, None, 5)]
    for name, order in (("x", made), ("y", made[::-1])):
        with ResultStore(tmp_path / name, "w") as store:
            for each in order:
                store.append(each)
    assert ResultStore(tmp_path / "x").records() == ResultStore(tmp_path / "y").records()
    assert [each["dpc"] for each in ResultStore(tmp_path / "x").records()] == [5] * 3 + [10] * 3 + [None] * 3


def test_a_torn_last_line_is_ignored_and_dropped_by_the_next_writer(tmp_path: Path) -> None:
    with ResultStore(tmp_path, "w") as store:
        store.append(record("a"))
    whole = store.path.read_bytes()
    store.path.write_bytes(whole + b'{"key":"b","sta')
    assert [each["key"] for each in ResultStore(tmp_path).records()] == ["a"]
    with ResultStore(tmp_path, "w") as store:
        store.append(record("c"))
    assert [each["key"] for each in ResultStore(tmp_path).records()] == ["a", "c"]
    assert store.path.read_bytes().startswith(whole)


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    with ResultStore(tmp_path, "w") as store:
        store.append(record("a"))
        store.append(record("b"))
    lines = store.path.read_bytes().splitlines(keepends=True)
    store.path.write_bytes(lines[0][:20] + b"\n" + lines[1])
    with pytest.raises(UserError, match="line 1 is damaged"):
        ResultStore(tmp_path).records()


def test_two_writers_are_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    with ResultStore(tmp_path, "w") as store:
        store.append(record("a"))
        with pytest.raises(UserError, match="another bench is writing"):
            ResultStore(tmp_path, "w")
        assert len(ResultStore(tmp_path).records()) == 1
    ResultStore(tmp_path, "w").close()


def test_results_of_another_schema_are_refused(tmp_path: Path) -> None:
    ResultStore(tmp_path, "w").close()
    (tmp_path / "results" / "schema.json").write_text('{"schema": 0}')
    for mode in ("r", "w"):
        with pytest.raises(UserError, match="schema 0"):
            ResultStore(tmp_path, mode)  # type: ignore[arg-type]


def test_a_full_disk_is_one_line_and_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def full(fd: int, data: bytes) -> int:
        write(fd, data[:7])
        raise OSError(errno.ENOSPC, "No space left on device")

    with ResultStore(tmp_path, "w") as store:
        store.append(record("a"))
        before = store.path.read_bytes()
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(UserError, match="no space left"):
            store.append(record("b"))
        monkeypatch.undo()
        assert store.path.read_bytes() == before
        store.append(record("b"))
    assert [each["key"] for each in ResultStore(tmp_path).records()] == ["a", "b"]


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="in the way"):
        ResultStore(tmp_path / "out", "w")
    assert (tmp_path / "out").read_text() == "mine"


@given(st.lists(st.integers(0, 70_000), min_size=1, max_size=50))
def test_predictions_survive(labels: list[int]) -> None:
    stored = json.loads(json.dumps(encode_predictions(np.array(labels))))
    assert decode_predictions({"predictions": stored}).tolist() == labels


def test_planned_cells_merge_by_key_and_replace_by_name(tmp_path: Path) -> None:
    def cell(key: str, replicates: list[str], method: str = "m") -> dict[str, Any]:
        return {"key": key, "task": "t", "method": method, "student": "s", "dpc": 5, "replicates": replicates}

    with ResultStore(tmp_path, "w") as store:
        store.put_plan("pocket", [cell("k1", ["a", "b"]), cell("k2", ["z"], "n")])
        store.put_plan("pocket", [cell("k1", ["b", "c"])])
        assert [each["replicates"] for each in store.cells()] == [["a", "b", "c"], ["z"]]
        store.put_plan("pocket", [cell("k3", ["d"])])
        assert [(each["key"], each["replicates"]) for each in store.cells()] == [("k3", ["d"]), ("k2", ["z"])]
        store.put_plan("mine", [cell("k4", ["e"])])
        assert [each["suite"] for each in store.cells()] == ["pocket", "pocket", "mine"]
