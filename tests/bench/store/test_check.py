"""Records on read: what contradicts itself or its gold labels is named by file and line, and never shown."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import metrics
from bench.errors import UserError
from bench.store.check import quick_scores
from bench.store.code import code_digest
from bench.store.results import ResultStore, decode_predictions, encode_predictions
from tests.leaderboard.records import GOLD, predicted, record

TASK = {"label": "bbc", "label_names": ["a", "b"], "metric": "accuracy", "test_labels": GOLD, "n_test": len(GOLD)}
RESULTS = Path(__file__).parents[3] / "leaderboard" / "results"


def written(out: Path, *records: dict[str, Any], task: dict[str, Any] = TASK) -> ResultStore:
    with ResultStore(out, "w") as store:
        store.put_task("r1", task)
        for one in records:
            store.append(one)
    return ResultStore(out)


def changed(**changes: Any) -> dict[str, Any]:
    """A finished record, then changed."""
    return record(0.5) | changes


def contradicted(score: float) -> dict[str, Any]:
    """A record that claims this score, with predictions that have 0.5."""
    return changed(score=score, metrics={"accuracy": score})


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in record(0.5).items() if key != name}


def with_part(part: str, **changes: Any) -> dict[str, Any]:
    whole = record(0.5)
    return whole | {part: {**whole[part], **changes}}


DAMAGED = [
    (contradicted(0.75), "score 0.75, but its predictions give 0.5"),
    (changed(score=0.75), "score 0.75, but accuracy 0.5"),
    (contradicted(5.0), "'metrics.accuracy' is 5.0, not in 0..1"),
    (changed(score="0.5"), "'score' is \"0.5\""),
    (changed(score=True), "'score' is true"),
    (changed(score=None), "'score' is null"),
    (changed(metrics={}), "accuracy null"),
    (changed(metrics={"accuracy": 0.5, "f1": 0.5}), "but its predictions give 0.5"),
    (changed(metric="bleu", metrics={"bleu": 0.5}), "'metric' is \"bleu\""),
    (changed(metric="accuracy_f1", metrics={"accuracy_f1": 0.5}), "metric accuracy_f1, but accuracy by"),
    (changed(schema=2), "schema 2, this bench reads 1"),
    (without("schema"), "schema None, this bench reads 1"),
    (without("predictions"), "no 'predictions'"),
    (changed(predictions=None), "no predictions"),
    (changed(predictions={**predicted(0.5), "n": 9999}), "do not hold 9999 labels"),
    (changed(predictions={**predicted(0.5), "n": 10**12}), "do not hold 1000000000000 labels"),
    (changed(predictions={**predicted(0.5), "dtype": "object"}), "without their length, type or data"),
    (changed(predictions={**predicted(0.5), "data": "eNoD"}), "do not hold 10000 labels"),
    (changed(predictions={**predicted(0.5), "data": "not base64"}), "cannot be decoded"),
    (changed(predictions=encode_predictions(np.array(GOLD[:-1]))), "9999 predictions, but 10000 gold labels by"),
    (changed(predictions=encode_predictions(np.array([*GOLD[:-1], 2]))), "it predicts the label 2, not in 0..1"),
    (changed(status="fine"), "'status' is \"fine\""),
    (changed(status="failed"), "a score or predictions, but status failed"),
    (changed(league="D"), "'league' is \"D\""),
    (changed(dpc=0), "'dpc' is 0"),
    (changed(dpc="5"), "'dpc' is \"5\""),
    (changed(set=-1), "'set' is -1"),
    (changed(run=1.0), "'run' is 1.0"),
    (changed(task="bbc"), "'task' is \"bbc\""),
    (with_part("student", label=None), "'student.label' is null"),
    (with_part("seed", base="0"), "'seed.base' is \"0\""),
    (with_part("time", student_s=-1.0), "'time.student_s' is -1.0"),
    (with_part("time", finished=None), "'time.finished' is null"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "reason"), DAMAGED, ids=[reason for _, reason in DAMAGED])
def test_a_record_that_cannot_be_true_is_named(tmp_path: Path, one: dict[str, Any], reason: str) -> None:
    store = written(tmp_path, record(0.5, run=1), one)
    with pytest.raises(UserError, match=r"records.jsonl line 2 is damaged \(.*\).*: delete that line") as caught:
        store.records()
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"score":0.5', '"score":NaN', "NaN is no number"),
        ('"score":0.5', '"score":Infinity', "Infinity is no number"),
        ('"student_s":2.5', '"student_s":1e999', "'time.student_s' is inf"),
        ('"suite":"pocket"', '"suite":' + "[" * 100_000, "nested too deeply"),
        ('"suite":"pocket"', '"suite":"pock', "not JSON"),
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
    wrong = record(0.5) | {"predictions": predicted(0.25)}
    assert [one["score"] for one in written(tmp_path, wrong, record(0.5)).records()] == [0.5]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"test_labels": GOLD[:-1]}, "9999 gold labels, but 10000 test rows"),
        ({"test_labels": [*GOLD[:-1], 2]}, "gold label 2, not in 0..1"),
        ({"test_labels": [*GOLD[:-1], "1"]}, 'gold label "1", not in 0..1'),
        ({"test_labels": None}, "'test_labels' is null"),
        ({"label_names": [1, 2]}, "a label name that is no text"),
        ({"n_test": "10000"}, "'n_test' is \"10000\""),
    ],
)
def test_gold_labels_that_contradict_themselves_are_named(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    store = written(tmp_path, record(0.5), task={**TASK, **changes})
    with pytest.raises(UserError, match=re.escape(f"r1.json is damaged ({reason}): delete it and run the same")):
        store.records()


def test_gold_labels_of_another_length_or_order_do_not_pass(tmp_path: Path) -> None:
    short = {**TASK, "test_labels": GOLD[:-2], "n_test": len(GOLD) - 2}
    with pytest.raises(UserError, match=r"10000 predictions, but 9998 gold labels by .*r1.json.*or that file"):
        written(tmp_path / "short", record(0.5), task=short).records()
    with pytest.raises(UserError, match=r"score 0.75, but its predictions give 0.25 by .*r1.json.*or that file"):
        written(tmp_path / "swapped", record(0.75), task={**TASK, "test_labels": GOLD[::-1]}).records()


def test_without_gold_labels_only_a_writer_goes_on(tmp_path: Path) -> None:
    written(tmp_path, record(0.5))
    os.remove(tmp_path / "results" / "tasks" / "r1.json")
    with pytest.raises(UserError, match=r"r1.json is missing: run the same `bench run` again"):
        ResultStore(tmp_path).records()
    with ResultStore(tmp_path, "w") as store:
        assert len(store.records()) == 1
        store.put_task("r1", {**TASK, "test_labels": GOLD[::-1]})
        assert len(store.records()) == 1, "half of the swapped labels are hit too"
    assert len(ResultStore(tmp_path).records()) == 1


def test_scores_of_other_metrics_code_are_computed_anew_and_said(tmp_path: Path) -> None:
    today = code_digest("bench.metrics")
    old = record(0.75) | {"predictions": predicted(0.5), "metrics_code": "of an older version"}
    same = record(0.25, run=1) | {"metrics_code": "of an older version"}
    store = written(tmp_path / "old", old, same)
    for _ in range(2):
        assert [(one["score"], one["metrics"]) for one in store.records()] == [
            (0.5, {"accuracy": 0.5}),
            (0.25, {"accuracy": 0.25}),
        ]
    assert len(store.said) == 1
    assert "computed anew from the predictions" in store.said[0]
    with pytest.raises(UserError, match=r"score 0.75, but its predictions give 0.5"):
        written(tmp_path / "today", old | {"metrics_code": today}).records()


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40))
def test_quick_scores_are_those_of_bench_metrics(pairs: list[tuple[int, int]]) -> None:
    gold, found = (np.array(side) for side in zip(*pairs, strict=True))
    for metric in ("accuracy", "accuracy_f1"):
        assert quick_scores(metric, gold, found) == pytest.approx(metrics.score(metric, gold, found), abs=1e-12)


def test_the_kept_results_all_load(tmp_path: Path) -> None:
    folders = sorted(path.parents[1] for path in RESULTS.glob("*/results/records.jsonl"))
    assert len(folders) >= 5
    for folder in folders:
        store = ResultStore(folder)
        found = store.records()
        assert store.said == []
        first = next(one for one in found if one["status"] == "ok")
        gold = np.array(store.task(first["task"]["revision"])["test_labels"])
        assert metrics.score(first["metric"], gold, decode_predictions(first)) == first["metrics"]
        assert json.loads(json.dumps(first)) == first
