"""What plugins are lent cannot be changed; seals find what was forced. Then the same through the runner."""

from __future__ import annotations

import copy
import ctypes
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import DistilledSet, Embeddings, Split, TaskData, TaskInfo
from bench.work.lending import Seal, lend_set, lend_task
from tests.bench.conftest import records

Sample = Any
SMALL = ("--plugin", "guilty.py", "--dpc", "2", "--sets", "2", "--runs", "1", "--jobs", "1")


@pytest.fixture
def data() -> TaskData:
    def split(n: int) -> Split:
        return Split({"text": [f"text {i}" for i in range(n)]}, np.arange(n) % 2)

    return TaskData(TaskInfo("t", ("text",), ("a", "b")), split(6), split(2), split(4))


@pytest.fixture
def distilled() -> DistilledSet:
    vectors = Embeddings(np.zeros((2, 3, 4), np.float32), np.ones((2, 3), np.int64), np.eye(2, dtype=np.float32), "e")
    return DistilledSet(
        np.array([0, 1]),
        {"text": ["a", "b"]},
        np.eye(2, dtype=np.float32),
        vectors,
        np.array([3, 4]),
        {"x": {"y": [1]}},
    )


def test_a_lent_task_has_the_same_content_and_no_tie_to_what_was_loaded(data: TaskData) -> None:
    lent = lend_task(data)
    data.train.texts["text"][0] = "later"  # type: ignore[index]
    data.train.labels[:] = 9
    assert list(lent.train.texts["text"]) == [f"text {i}" for i in range(6)]
    assert lent.train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert (lent.test.labels.dtype, lent.info) == (np.int64, data.info)


def test_writing_raises_at_the_line_that_tries(data: TaskData, distilled: DistilledSet) -> None:
    task: Any = lend_task(data)
    made: Any = lend_set(distilled)
    with pytest.raises(TypeError):
        task.train.texts["text"] = ["x"]
    with pytest.raises(TypeError):
        task.train.texts["text"][0] = "x"
    with pytest.raises(TypeError):
        made.texts["text"][0] = "x"
    with pytest.raises(TypeError):
        made.diagnostics["x"]["y"] = 2
    arrays = [task.train.labels, task.test.labels, made.labels, made.soft_labels, made.rows]
    arrays += [made.embeddings.inputs_embeds, made.embeddings.attention_mask, made.embeddings.label_distribution]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)


def test_a_plugin_may_copy_what_it_is_lent(data: TaskData) -> None:
    lent = lend_task(data)
    for own in (copy.deepcopy(lent.train), pickle.loads(pickle.dumps(lent.train))):
        own.texts["text"] = ["mine"] * 6
        own.labels[0] = 1
    assert Seal(lent).broken() == ""
    assert lent.train.labels[0] == 0


@pytest.mark.parametrize(
    ("part", "force"),
    [
        ("train.texts['text']", lambda lent: lent.train.texts._items.update(text=("x",) * 6)),
        ("train.texts['other']", lambda lent: lent.train.texts._items.update(other=("x",) * 6)),
        ("train.labels", lambda lent: ctypes.memset(lent.train.labels.ctypes.data, 1, 1)),
        ("test.labels", lambda lent: object.__setattr__(lent.test, "labels", 1 - lent.test.labels)),
        ("test.labels", lambda lent: object.__setattr__(lent.test, "labels", lent.test.labels.astype(np.int32))),
        ("validation.kept", lambda lent: object.__setattr__(lent.validation, "kept", 1)),
        ("info.metric", lambda lent: object.__setattr__(lent.info, "metric", "accuracy_f1")),
    ],
)
def test_a_seal_names_the_part_that_was_forced(data: TaskData, part: str, force: Any) -> None:
    lent = lend_task(data)
    seal = Seal(lent)
    assert seal.broken() == ""
    force(lent)
    assert seal.broken() == part


def test_a_seal_of_a_set(distilled: DistilledSet) -> None:
    lent = lend_set(distilled)
    seal = Seal(lent)
    assert seal.broken() == ""
    object.__setattr__(lent, "soft_labels", None)
    assert seal.broken() == "soft_labels"


def guilty(sample: Sample) -> Path:
    plugin = Path(__file__).parents[1] / "guilty_plugin.py"
    folder: Path = sample.bench.folder
    (folder / "guilty.py").write_text(plugin.read_text())
    return folder


def test_a_method_that_writes_into_its_data_fails_and_the_next_is_right(sample: Sample, tmp_path: Path) -> None:
    folder = guilty(sample)
    ways = ("text", "labels", "flags", "replace", "memory", "field", "artifact")
    methods = ",".join([*(f"writes[how={way}]" for way in ways), "pick"])
    done = sample("run", *SMALL, "--methods", methods, code=3)
    found = {(one["method"]["label"], one["set"]): one for one in records(folder / "bench-out")}
    reasons = {way: str(found[f"writes[how={way}]", 0]["reason"]) for way in ways}
    assert "TypeError: 'tuple' object does not support item assignment" in reasons["text"]
    assert "read-only" in reasons["labels"]
    assert "WRITEABLE" in reasons["flags"]
    parts = {"replace": "train.texts", "memory": "train.labels", "field": "info.label_names", "artifact": "validation"}
    for way, part in parts.items():
        assert reasons[way].startswith(f"distilling: method 'writes[how={way}]' changed {part}")
    assert 'texts["text"][0] = "written over"' in done.stderr, "the traceback shows the guilty line"
    assert all(found[f"writes[how={way}]", 0]["status"] == "failed" for way in ways)

    cache = tmp_path / "cache" / "artifacts"
    assert len(list(cache.glob("set/*/*/set.json"))) == 2, "those of pick alone are kept"
    assert not list(cache.glob("poisoned/*/*/artifact.json"))
    sample("run", *SMALL[2:], "--methods", "pick", "--out", "alone", "--cache", str(tmp_path / "other"))
    assert [found["pick", i] for i in (0, 1)] == sorted(records(folder / "alone"), key=lambda one: one["set"])
    shown = [json.loads(path.read_text()) for path in (folder / "bench-out" / "sets").iterdir()]
    assert not any("written over" in row["text"] for one in shown for row in one["rows"])


def test_a_student_that_writes_into_its_queries_fails_and_the_next_is_right(sample: Sample, tmp_path: Path) -> None:
    folder = guilty(sample)
    ways = ("query", "queries", "gold", "labels", "set")
    students = ",".join([*(f"pupil[how={way}]" for way in ways), "pupil", "centroid"])
    sample("run", *SMALL, "--methods", "pick", "--students", students, code=3)
    found = {(one["student"]["label"], one["set"]): one for one in records(folder / "bench-out")}
    for index in (0, 1):
        reasons = {way: str(found[f"pupil[how={way}]", index]["reason"]) for way in ways}
        assert reasons["query"].startswith("TypeError")
        assert reasons["labels"].startswith("ValueError")
        assert reasons["queries"].startswith("student 'pupil[how=queries]' changed test.texts['text'] of what it was")
        assert reasons["gold"].startswith("student 'pupil[how=gold]' changed test.labels")
        assert reasons["set"].startswith("student 'pupil[how=set]' changed soft_labels")
        assert found["pupil", index]["score"] == 0.5, "of balanced labels, after others had tried to set them all to 0"
    sample("run", *SMALL[2:], "--methods", "pick", "--out", "alone", "--cache", str(tmp_path / "other"))
    alone = sorted(records(folder / "alone"), key=lambda one: one["set"])
    assert [found["centroid", i] for i in (0, 1)] == alone
