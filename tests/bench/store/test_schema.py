"""The published JSON Schemas: they are what the types give, real files validate with them, and defects do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bench.store.line import line_of
from bench.store.results import ResultStore
from bench.store.schema import LATER, schemas, texts
from tests.leaderboard.records import pocket, record, set_card, task_card

ROOT = Path(__file__).parents[3]
RESULTS = sorted(path.parents[1] for path in (ROOT / "leaderboard" / "results").glob("*/results/records.jsonl"))

VALIDATORS = {name: Draft202012Validator(schema) for name, schema in schemas().items()}


def errors(name: str, value: Any) -> list[str]:
    """What an independent validator finds."""
    return [f"{error.json_path}: {error.message}" for error in VALIDATORS[name].iter_errors(value)]


def test_the_published_files_are_what_the_types_give() -> None:
    folder = ROOT / "docs" / "schema"
    found = {path.stem: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert found == texts(), "write them anew with: python -m bench.store.schema docs/schema"
    for schema in schemas().values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_the_kept_results_validate(folder: Path, tmp_path: Path) -> None:
    """As today's bench writes them, and the plan as it is."""
    store = ResultStore(folder)
    found = store.records()
    assert [error for one in found for error in errors("record", json.loads(line_of(one)))] == []
    assert errors("plan", json.loads((folder / "results" / "plan.json").read_text(encoding="utf-8"))) == []
    with ResultStore(tmp_path, "w") as copy:
        for revision in {one.task.revision for one in found}:
            copy.put_task(revision, store.task(revision))
        copy.put_plan(store.cells())
    cards = sorted((tmp_path / "results" / "tasks").iterdir())
    assert cards
    assert [error for path in cards for error in errors("task", json.loads(path.read_text(encoding="utf-8")))] == []
    assert errors("plan", json.loads((tmp_path / "results" / "plan.json").read_text(encoding="utf-8"))) == []


def test_what_a_store_writes_validates(tmp_path: Path) -> None:
    records = [*pocket(), record(None, status="failed", reason="why")]
    with ResultStore(tmp_path, "w") as store:
        store.append(*records)
        store.put_task("r1", task_card())
        store.put_set(
            "s", set_card(records[0], rows=({"text": "a", "label": 0, "row": 3},), diagnostics={"a": [1]}), {}
        )
    lines = store.path.read_text(encoding="utf-8").splitlines()
    assert [error for line in lines for error in errors("record", json.loads(line))] == []
    for name, path in (("task", tmp_path / "results" / "tasks" / "r1.json"), ("set", tmp_path / "sets" / "s.json")):
        assert errors(name, json.loads(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"score": 1.5}, "$.score"),
        ({"run": "0"}, "$.run"),
        ({"status": "fine"}, "$.status"),
        ({"schema": 1}, "$.schema"),
        ({"sha256": "not hexadecimal"}, "$.sha256"),
        ({"extra": 1}, "$"),
        ({"time": {"finished": "", "distil_s": None, "student_s": -1, "made_of": None}}, "$.time.student_s"),
    ],
)
def test_a_defect_does_not_validate(change: dict[str, Any], place: str) -> None:
    whole = json.loads(line_of(record(0.5)))
    assert errors("record", whole) == []
    assert any(error.startswith(f"{place}:") for error in errors("record", whole | change))


def test_a_line_from_before_a_member_validates() -> None:
    assert errors("record", {k: v for k, v in json.loads(line_of(record(0.5))).items() if k not in LATER}) == []


@pytest.mark.parametrize("name", sorted(set(json.loads(line_of(record(0.5)))) - LATER))
def test_every_member_of_a_line_is_required(name: str) -> None:
    whole = json.loads(line_of(record(0.5)))
    del whole[name]
    assert errors("record", whole) == [f"$: '{name}' is a required property"]
