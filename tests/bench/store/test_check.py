"""Records on read: what contradicts itself or its gold labels is named by file and line, and never shown."""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench.store.check
from bench import metrics
from bench.api import Metric
from bench.errors import UserError
from bench.store.check import quick_scores
from bench.store.code import code_digest
from bench.store.line import line_of, sealed
from bench.store.predictions import Predictions, encode
from bench.store.record import Record
from bench.store.results import ResultStore
from tests.leaderboard.records import GOLD, predicted, record, task_card

METRICS: tuple[Metric, ...] = ("accuracy", "accuracy_f1")

RESULTS = Path(__file__).parents[3] / "leaderboard" / "results"


def written(out: Path, *lines: Record | dict[str, Any], card: dict[str, Any] | None = None) -> ResultStore:
    """A folder with these lines, each with its own hash, as a run or somebody who knows the format may leave it."""
    with ResultStore(out, "w") as store:
        store.put_task("r1", task_card())
    if card is not None:
        path = out / "results" / "tasks" / "r1.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | card))
    store.path.write_bytes(b"".join(line_of(one) + b"\n" if isinstance(one, Record) else forged(one) for one in lines))
    return ResultStore(out)


def forged(fields: dict[str, Any]) -> bytes:
    return sealed(json.dumps(fields, separators=(",", ":")).encode()) + b"\n"


def raw(one: Record, **changes: Any) -> dict[str, Any]:
    """The JSON object of a record, then changed."""
    found: dict[str, Any] = json.loads(line_of(one))
    del found["sha256"]
    return found | changes


def changed(**changes: Any) -> dict[str, Any]:
    """A finished record, then changed."""
    return raw(record(0.5), **changes)


def contradicted(score: float) -> dict[str, Any]:
    """A record that claims this score, with predictions that have 0.5."""
    return changed(score=score, metrics={"accuracy": score})


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in changed().items() if key != name}


def with_part(part: str, **changes: Any) -> dict[str, Any]:
    whole = changed()
    return whole | {part: {**whole[part], **changes}}


def with_predictions(labels: list[int] | None = None, **changes: Any) -> dict[str, Any]:
    return raw(record(0.5, predictions=encode(np.array(GOLD if labels is None else labels)))) | (
        {"predictions": changed()["predictions"] | changes} if changes else {}
    )


DAMAGED = [
    (contradicted(0.75), "score 0.75, but its predictions give 0.5"),
    (changed(score=0.75), "score 0.75, but accuracy 0.5"),
    (contradicted(5.0), "'score' is 5.0: should be less than or equal to 1"),
    (changed(metrics={"accuracy": 0.5, "f1": -1}), "'metrics.f1' is -1: should be greater than or equal to 0"),
    (changed(metrics={"accuracy": True}), "'metrics.accuracy' is true"),
    (changed(score="0.5"), "'score' is \"0.5\""),
    (changed(score=True), "'score' is true"),
    (changed(score=None), "'score' is null"),
    (changed(metrics={}), "accuracy null"),
    (changed(metrics={"accuracy": 0.5, "f1": 0.5}), "but its predictions give 0.5"),
    (changed(metric="bleu", metrics={"bleu": 0.5}), "'metric' is \"bleu\""),
    (changed(metric="accuracy_f1", metrics={"accuracy_f1": 0.5}), "metric accuracy_f1, but accuracy by"),
    (changed(schema=3), "schema 3, this bench reads 1 and 2"),
    (without("schema"), "schema None, this bench reads 1 and 2"),
    (without("predictions"), "no 'predictions'"),
    (changed(predictions=None), "no predictions"),
    (with_predictions(n=9999), "do not hold 9999 labels"),
    (with_predictions(n=10**12), "do not hold 1000000000000 labels"),
    (with_predictions(n=10**13), "'predictions.n' is 10000000000000"),
    (with_predictions(n=-1), "'predictions.n' is -1"),
    (with_predictions(dtype="object"), "'predictions.dtype' is \"object\""),
    (with_predictions(data="eNoD"), "do not hold 10000 labels"),
    (with_predictions(data="not base64"), "cannot be decoded"),
    (with_predictions(GOLD[:-1]), "9999 predictions, but 10000 gold labels by"),
    (with_predictions([*GOLD[:-1], 2]), "it predicts the label 2, not in 0..1"),
    (changed(status="fine"), "'status' is \"fine\""),
    (changed(status="failed"), "a score or predictions, but status failed"),
    (changed(league="E"), "'league' is \"E\""),
    (changed(league=None), "'league' is null"),
    (changed(dpc=0), "'dpc' is 0"),
    (changed(dpc="5"), "'dpc' is \"5\""),
    (changed(set=-1), "'set' is -1"),
    (changed(run=1.0), "'run' is 1.0"),
    (changed(n_train=-1), "'n_train' is -1"),
    (changed(task="bbc"), "'task' is \"bbc\""),
    (with_part("student", label=None), "'student.label' is null"),
    (with_part("seed", base="0"), "'seed.base' is \"0\""),
    (with_part("time", student_s=-1.0), "'time.student_s' is -1.0"),
    (with_part("time", finished=None), "'time.finished' is null"),
    (with_part("time", made_of={}), "'time.made_of' is {}"),
    (with_part("time", made_of=["a"]), "'time.made_of.0' is \"a\""),
    (with_part("time", made_of=[{"kind": "m", "key": "k"}]), "no 'time.made_of.0.seconds'"),
    (with_part("time", made_of=[{"kind": "m", "key": "k", "seconds": -1}]), "'time.made_of.0.seconds' is -1"),
    (with_part("student", key=1), "'student.key' is 1"),
    (changed(set_digest=1), "'set_digest' is 1"),
    (changed(near_test="2"), "'near_test' is \"2\""),
    (changed(near_test=-1), "'near_test' is -1"),
]  # fmt: skip


@pytest.mark.parametrize("schema", [1, 2])
@pytest.mark.parametrize(("one", "reason"), DAMAGED, ids=[reason for _, reason in DAMAGED])
def test_a_record_that_cannot_be_true_is_named(tmp_path: Path, one: dict[str, Any], reason: str, schema: int) -> None:
    if one.get("schema") == 2:
        one = one | {"schema": schema}
    store = written(tmp_path, record(0.5, run=1), one)
    with pytest.raises(UserError, match=r"records.jsonl line 2 is damaged \(.*\).*: delete that line") as caught:
        store.records()
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"score":0.5', '"score":NaN', "'score' is NaN: should be a finite number"),
        ('"score":0.5', '"score":Infinity', "'score' is Infinity: should be a finite number"),
        ('"student_s":2.5', '"student_s":1e999', "'time.student_s' is Infinity: should be a finite number"),
        ('"suite":"pocket"', '"suite":' + "[" * 100_000, "nested too deeply"),
        ('"suite":"pocket"', '"suite":"pock', "not JSON"),
        ('"suite":"pocket"', '"suite":"pocke"', "not as it was written: its own hash differs"),
        ('{"schema":2', '{"schema":2.5', "schema 2.5, this bench reads 1 and 2"),
        ('{"schema":2,', "{", "schema None, this bench reads 1 and 2"),
        ('{"schema":2,', "[", "not JSON"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, old: str, new: str, reason: str) -> None:
    store = written(tmp_path, record(0.5), record(0.5, run=1))
    text = store.path.read_text()
    assert text.count(old) == 2
    store.path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=re.escape(f"line 1 is damaged ({reason})")):
        store.records()


def test_all_damaged_lines_are_named_at_once(tmp_path: Path) -> None:
    store = written(tmp_path, *(contradicted(0.75) | {"key": f"k{run}"} for run in range(3)))
    with pytest.raises(UserError, match=r"line 1 is damaged .*; so are lines 2, 3: delete those lines"):
        store.records()


def test_an_older_line_of_a_key_may_have_any_score(tmp_path: Path) -> None:
    wrong = record(0.5, predictions=predicted(0.25))
    assert [one.score for one in written(tmp_path, wrong, record(0.5)).records()] == [0.5]


def test_a_wrong_score_is_wrong_until_a_newer_line_stands_for_it(tmp_path: Path) -> None:
    store = written(tmp_path, record(0.5, predictions=predicted(0.25)))
    for _ in range(2):
        with pytest.raises(UserError, match="line 1 is damaged"):
            store.records()
    with ResultStore(tmp_path, "w") as writer:
        writer.append(record(0.5))
    assert [one.score for one in store.records()] == [0.5]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"test_labels": GOLD[:-1]}, "9999 gold labels, but 10000 test rows"),
        ({"test_labels": [*GOLD[:-1], 2]}, "gold label 2, not in 0..1"),
        ({"test_labels": [*GOLD[:-1], "1"]}, "'test_labels.9999' is \"1\""),
        ({"test_labels": None}, "'test_labels' is null"),
        ({"label_names": [1, 2]}, "'label_names.0' is 1"),
        ({"n_test": "10000"}, "'n_test' is \"10000\""),
        ({"schema": 3}, "schema 3, this bench reads 1 and 2"),
    ],
)
def test_gold_labels_that_contradict_themselves_are_named(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    store = written(tmp_path, record(0.5), card=changes)
    for _ in range(2):
        with pytest.raises(UserError, match=rf"r1.json is damaged \({re.escape(reason)}.*: delete it and run the same"):
            store.records()


def test_gold_labels_of_another_length_or_order_do_not_pass(tmp_path: Path) -> None:
    short = {"test_labels": GOLD[:-2], "n_test": len(GOLD) - 2}
    with pytest.raises(UserError, match=r"10000 predictions, but 9998 gold labels by .*r1.json.*or that file"):
        written(tmp_path / "short", record(0.5), card=short).records()
    with pytest.raises(UserError, match=r"score 0.75, but its predictions give 0.25 by .*r1.json.*or that file"):
        written(tmp_path / "swapped", record(0.75), card={"test_labels": GOLD[::-1]}).records()


def test_without_gold_labels_only_a_writer_goes_on_and_looks_again_when_they_are_there(tmp_path: Path) -> None:
    written(tmp_path, record(0.75))
    os.remove(tmp_path / "results" / "tasks" / "r1.json")
    reader = ResultStore(tmp_path)
    for _ in range(2):
        with pytest.raises(UserError, match=r"r1.json is missing: run the same `bench run` again"):
            reader.records()
    with ResultStore(tmp_path, "w") as store:
        assert len(store.records()) == 1
        store.put_task("r1", task_card(test_labels=tuple(GOLD[::-1])))
        with pytest.raises(UserError, match=r"score 0.75, but its predictions give 0.25"):
            store.records()


def test_scores_of_other_metrics_code_are_computed_anew_and_said(tmp_path: Path) -> None:
    today = code_digest("bench.metrics")
    old = record(0.75, predictions=predicted(0.5), metrics_code="of an older version")
    same = record(0.25, run=1, metrics_code="of an older version")
    store = written(tmp_path / "old", old, same)
    for _ in range(2):
        assert [(one.score, one.metrics) for one in store.records()] == [
            (0.5, {"accuracy": 0.5}),
            (0.25, {"accuracy": 0.25}),
        ]
    assert len(store.said) == 1
    assert "computed anew from the predictions" in store.said[0]
    with pytest.raises(UserError, match=r"score 0.75, but its predictions give 0.5"):
        written(tmp_path / "today", replace(old, metrics_code=today)).records()


def test_many_records_are_compared_each_with_its_own_predictions(tmp_path: Path, monkeypatch: Any) -> None:
    """Also across blocks, and where some are stored in a wider type."""
    monkeypatch.setattr(bench.store.check, "BLOCK", 3 * len(GOLD))
    scores = [round(0.1 + i / 100, 4) for i in range(20)]
    records = [record(score, run=i) for i, score in enumerate(scores)]
    for i in (4, 5, 11):
        wide = encode(np.array([*records[i].predictions.labels()[:-1], 300]))  # type: ignore[union-attr]
        narrow = wide.labels()
        narrow[-1] = 0
        data = base64.b64encode(zlib.compress(narrow.astype("<u2").tobytes())).decode()
        score = float((narrow == np.array(GOLD)).mean())
        predictions = Predictions(n=len(GOLD), dtype="uint16", data=data)
        records[i] = replace(records[i], predictions=predictions, score=score, metrics={"accuracy": score})
    assert [one.score for one in written(tmp_path / "true", *records).records()] == [one.score for one in records]
    records[13] = replace(records[13], predictions=records[12].predictions)
    with pytest.raises(UserError, match=r"line 14 is damaged \(score 0.23, but its predictions give 0.22"):
        written(tmp_path / "swapped", *records).records()


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40))
def test_quick_scores_are_those_of_bench_metrics(pairs: list[tuple[int, int]]) -> None:
    gold, found = (np.array(side) for side in zip(*pairs, strict=True))
    rows = np.stack([found, gold, 1 - gold])
    for metric in METRICS:
        quick = quick_scores(metric, gold, rows)
        for row, labels in enumerate(rows):
            expected = metrics.score(metric, gold, labels)
            assert {name: scores[row] for name, scores in quick.items()} == pytest.approx(expected, abs=1e-12)


def test_the_kept_results_all_load(tmp_path: Path) -> None:
    folders = sorted(path.parents[1] for path in RESULTS.glob("*/results/records.jsonl"))
    assert len(folders) >= 5
    for folder in folders:
        store = ResultStore(folder)
        found = store.records()
        assert store.said == []
        for one in found[::10]:
            assert one.metric is not None
            assert one.predictions is not None
            gold = np.array(store.task(one.task.revision).test_labels)
            assert metrics.score(one.metric, gold, one.predictions.labels()) == one.metrics
