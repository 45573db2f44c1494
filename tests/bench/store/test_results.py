"""The result store: whole lines, one writer, torn ends, damage, and other schemas."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bench.store.results
from bench.errors import UserError
from bench.store.journal import Journal
from bench.store.line import line_of, parse_record
from bench.store.predictions import encode
from bench.store.record import PlannedCell, Record
from bench.store.results import ResultStore
from tests.leaderboard.records import record as made
from tests.leaderboard.records import set_card, task_card


def record(key: str, **changes: Any) -> Record:
    """A record of a failed replicate: it has no predictions, so no gold labels are needed."""
    return replace(made(None, status="failed"), key=key, **changes)


def test_records_come_back_and_the_last_of_a_key_wins(tmp_path: Path) -> None:
    with ResultStore(tmp_path, "w") as store:
        store.append(record("a"))
        store.append(record("b", set=1))
        store.append(record("a", status="timeout"))
    found = ResultStore(tmp_path).records()
    assert [(each.key, each.status) for each in found] == [("a", "timeout"), ("b", "failed")]


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
    path.write_text(json.dumps(before | {name: value}, separators=(",", ":")) + "\n")
    with pytest.raises(UserError, match=r"line 1 is damaged .not as it was written: its own hash differs"):
        ResultStore(tmp_path).records()


def test_canonical_order_does_not_depend_on_the_order_of_writing(tmp_path: Path) -> None:
    written = [record(f"{i}{d}", dpc=d, set=i) for i in range(3) for d in (10, None, 5)]
    for name, order in (("x", written), ("y", written[::-1])):
        with ResultStore(tmp_path / name, "w") as store:
            store.append(*order)
    assert ResultStore(tmp_path / "x").records() == ResultStore(tmp_path / "y").records()
    assert [each.dpc for each in ResultStore(tmp_path / "x").records()] == [5] * 3 + [10] * 3 + [None] * 3


def test_a_torn_last_line_is_ignored_and_dropped_by_the_next_writer(tmp_path: Path) -> None:
    with ResultStore(tmp_path, "w") as store:
        store.append(record("a"))
    whole = store.path.read_bytes()
    store.path.write_bytes(whole + b'{"key":"b","sta')
    assert [each.key for each in ResultStore(tmp_path).records()] == ["a"]
    with ResultStore(tmp_path, "w") as store:
        store.append(record("c"))
    assert [each.key for each in ResultStore(tmp_path).records()] == ["a", "c"]
    assert store.path.read_bytes().startswith(whole)


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_not_read(tmp_path: Path, kind: str) -> None:
    """A pipe would never end."""
    store = ResultStore(tmp_path)
    store.folder.mkdir(parents=True)
    (os.mkfifo if kind == "pipe" else os.mkdir)(store.path)
    with pytest.raises(UserError, match=rf"records.jsonl is a {kind}.*, not a file"):
        store.records()


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
    assert [each.key for each in ResultStore(tmp_path).records()] == ["a", "b"]


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="in the way"):
        ResultStore(tmp_path / "out", "w")
    assert (tmp_path / "out").read_text() == "mine"


@given(st.lists(st.integers(0, 70_000), min_size=1, max_size=50))
def test_predictions_survive(labels: list[int]) -> None:
    stored = encode(np.array(labels))
    assert stored.labels().tolist() == labels


def cell(key: str, *replicates: str, method: str = "m", suite: str = "pocket") -> PlannedCell:
    return PlannedCell(suite=suite, key=key, task="t", method=method, student="s", dpc=5, replicates=tuple(replicates))


def test_planned_cells_merge_by_key_and_replace_by_name(tmp_path: Path) -> None:
    with ResultStore(tmp_path, "w") as store:
        for reader in (store, ResultStore(tmp_path)):
            assert reader.cells() == []
        store.put_plan([cell("k1", "a", "b"), cell("k2", "z", method="n")])
        store.put_plan([cell("k1", "b", "c")])
        for seen in (store, reader, ResultStore(tmp_path)):
            assert [each.replicates for each in seen.cells()] == [("a", "b", "c"), ("z",)]
        store.put_plan([cell("k3", "d")])
        for seen in (store, reader, ResultStore(tmp_path)):
            assert [(each.key, each.replicates) for each in seen.cells()] == [("k3", ("d",)), ("k2", ("z",))]
        store.put_plan([cell("k4", "e", suite="mine")])
        assert [each.suite for each in reader.cells()] == ["pocket", "pocket", "mine"]


def test_a_plan_that_says_nothing_new_is_not_written(tmp_path: Path) -> None:
    with ResultStore(tmp_path, "w") as store:
        store.put_plan([cell("k1", "a", "b")])
        before = os.stat(tmp_path / "results" / "plan.json")
        store.put_plan([cell("k1", "b")])
    assert os.stat(tmp_path / "results" / "plan.json") == before


def test_a_damaged_plan_is_one_line(tmp_path: Path) -> None:
    with ResultStore(tmp_path, "w") as store:
        store.put_plan([cell("k1", "a")])
    path = tmp_path / "results" / "plan.json"
    path.write_text(path.read_text().replace('"dpc":5', '"dpc":"5"'))
    with pytest.raises(UserError, match=r"plan.json is damaged .'0.dpc' is \"5\": .*; delete it and run again"):
        ResultStore(tmp_path).cells()


def test_several_records_are_one_write_and_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    with ResultStore(tmp_path, "w") as store:
        store.append(record("first"))  # and with it the folder, which has a new name
        synced.clear()
        store.append(*(record(f"k{i}") for i in range(50)))
        store.append()
        assert synced == [store.path.stat().st_size]
    assert len(ResultStore(tmp_path).records()) == 51


def test_a_group_is_kept_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "the disk died")

    with ResultStore(tmp_path, "w") as store:
        store.append(record("a"))
        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="the disk died"):
            store.append(record("b"), record("c"))
        monkeypatch.undo()
        assert [each.key for each in store.records()] == ["a"]


def test_lines_are_parsed_once_and_news_are_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []

    def parse(line: bytes) -> Record:
        parsed.append(line)
        return parse_record(line)

    monkeypatch.setattr(bench.store.results, "parse_record", parse)
    reader = ResultStore(tmp_path)
    assert reader.records() == []
    with ResultStore(tmp_path, "w") as store:
        store.append(record("a"), record("b", set=1))
        first = reader.records()
        assert reader.records() == first
        store.append(record("c", set=2), record("a", status="timeout"))
        second = reader.records()
    assert len(parsed) == 4
    assert [(each.key, each.status) for each in second] == [("a", "timeout"), ("b", "failed"), ("c", "failed")]
    assert second[1] is first[1]
    second.clear()
    assert len(reader.records()) == 3, "the list is the caller's"


@given(st.lists(st.tuples(st.sampled_from(["append", "torn", "mend", "cut", "read"]), st.integers(0, 5)), max_size=12))
@settings(max_examples=60)
def test_a_reader_sees_what_a_new_one_sees_whatever_happens_beside(moves: list[tuple[str, int]]) -> None:
    """Lines appended, written in part, cut off by a writer, deleted by hand: at every read."""
    with TemporaryDirectory() as folder:
        reader = ResultStore(Path(folder))
        reader.folder.mkdir(parents=True)
        path = reader.path
        path.touch()
        for number, (move, place) in enumerate([*moves, ("read", 0)]):
            lines = path.read_bytes().splitlines(keepends=True)
            if move == "append":
                path.write_bytes(b"".join(lines) + line_of(record(f"k{place}", run=number)) + b"\n")
            elif move == "torn":
                path.write_bytes(b"".join(lines) + line_of(record(f"k{place}"))[: 1 + place])
            elif move == "mend":
                Journal(path, "records").mend_end(lambda line: False)
            elif move == "cut" and place < len(lines):
                path.write_bytes(b"".join(lines[:place]))
            assert outcome(reader) == outcome(ResultStore(Path(folder)))


def outcome(store: ResultStore) -> list[Record] | str:
    try:
        return store.records()
    except UserError as error:
        return str(error)


def test_a_reader_beside_a_writing_process_sees_whole_records_only(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from bench.store.results import ResultStore; "
        "from tests.bench.store.test_results import record\n"
        "with ResultStore(Path(sys.argv[1]), 'w') as store:\n"
        "    for i in range(0, 300, 3):\n"
        "        store.append(*(record(f'{j:03}', run=j) for j in range(i, i + 3)))\n"
    )
    reader = ResultStore(tmp_path)
    counts = [0]
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) as writer:
        while writer.poll() is None:
            counts.append(len(reader.records()))
            assert [each.run for each in reader.records()][: counts[-1]] == list(range(counts[-1]))
    assert writer.returncode == 0
    assert counts == sorted(counts)
    assert reader.records() == ResultStore(tmp_path).records()
    assert len(reader.records()) == 300


def old_folder(out: Path) -> bytes:
    """A folder as the first version left it; the line of its record."""
    with ResultStore(out, "w") as store:
        store.put_task("r1", task_card())
        store.put_set("s", set_card(made(0.5)), {})
    whole = json.loads(line_of(made(0.5)))
    del whole["sha256"], whole["set_digest"], whole["near_test"], whole["metrics_code"]
    line = json.dumps(whole | {"schema": 1}).encode() + b"\n"
    store.path.write_bytes(line)
    for path in (out / "results" / "tasks" / "r1.json", out / "sets" / "s.json"):
        card = json.loads(path.read_text())
        later = ("schema", "near_test", "set_digest", "made_of", "environment", "reports")
        path.write_text(json.dumps({name: value for name, value in card.items() if name not in later}))
    (out / "results" / "schema.json").write_text('{"schema": 1}')
    return line


def test_a_folder_of_schema_1_is_read_and_goes_on_with_lines_of_today(tmp_path: Path) -> None:
    line = old_folder(tmp_path)
    reader = ResultStore(tmp_path)
    assert reader.records() == [made(0.5)]
    assert reader.task("r1") == task_card()
    assert reader.set("s") == set_card(made(0.5))
    assert json.loads((tmp_path / "results" / "schema.json").read_text()) == {"schema": 1}, "a reader marks nothing"
    with ResultStore(tmp_path, "w") as store:
        assert json.loads((tmp_path / "results" / "schema.json").read_text()) == {"schema": 2}
        store.append(made(0.5, run=1))
        assert store.records() == [made(0.5), made(0.5, run=1)]
    assert store.path.read_bytes().startswith(line), "what is written stays as it is"
    assert reader.records() == store.records()


@pytest.mark.parametrize("mode", ["r", "w"])
@pytest.mark.parametrize("mark", ['{"schema": 3}', '{"schema": 0}', "[]", "{}"])
def test_a_folder_of_another_schema_is_one_line_and_left_alone(tmp_path: Path, mark: str, mode: Any) -> None:
    old_folder(tmp_path)
    path = tmp_path / "results" / "schema.json"
    path.write_text(mark)
    with pytest.raises(UserError, match=r"was written with schema \w+, this bench uses 1 and 2: use another output"):
        ResultStore(tmp_path, mode)
    assert path.read_text() == mark


def test_a_new_folder_tells_the_first_version_that_it_is_newer(tmp_path: Path) -> None:
    """That version compared the number in `schema.json` with its own, 1, before it read a line."""
    ResultStore(tmp_path, "w").close()
    assert json.loads((tmp_path / "results" / "schema.json").read_text())["schema"] == 2


def test_a_whole_last_line_without_its_end_stays(tmp_path: Path) -> None:
    """An editor may leave the end of the last line out; what a crash tore is cut off, and said."""
    with ResultStore(tmp_path, "w") as store:
        store.append(record("a", status="failed"), record("b", status="failed"))
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[:-1])
    with ResultStore(tmp_path, "w") as store:
        assert [each.key for each in store.records()] == ["a", "b"]
        assert store.path.read_bytes() == whole
        assert store.said == []
    store.path.write_bytes(whole[:-9])
    with ResultStore(tmp_path, "w") as store:
        assert [each.key for each in store.records()] == ["a"]
        assert "the last line was cut short" in store.said[0]
