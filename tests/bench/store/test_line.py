"""Lines of records: they come back as they were, and whatever was changed, left out or of another schema is named."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.store.line import HEAD, line_of, parse_record, sealed
from bench.store.predictions import encode
from bench.store.record import MadeOf, PluginRef, Record, Seeds, StudentRef, TaskRef, Times
from bench.store.schema import LATER

RESULTS = Path(__file__).parents[3] / "leaderboard" / "results"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def record(**changes: Any) -> Record:
    """A finished replicate."""
    fields: dict[str, Any] = {
        "key": "k",
        "status": "ok",
        "reason": None,
        "cell": "c",
        "suite": "pocket",
        "task": TaskRef(name="bbc", label="bbc", params={}, revision="r"),
        "method": PluginRef(name="random", label="random", params={"b": 1, "a": [0.1, None]}),
        "student": StudentRef(name="minilm", label="minilm", params={}, key="s"),
        "dpc": 5,
        "set": 0,
        "run": 1,
        "seed": Seeds(base=0, set=2**40, run=3),
        "set_key": "x",
        "set_digest": "d",
        "near_test": 0,
        "league": "A",
        "metric": "accuracy",
        "score": 0.5,
        "metrics": {"accuracy": 0.5},
        "metrics_code": "m",
        "n_train": 10,
        "predictions": encode(np.array([0, 1])),
        "time": Times(
            finished="2026-01-01T00:00:00+00:00",
            distil_s=0.1,
            student_s=2.5,
            made_of=(MadeOf(kind="features", key="f", seconds=None),),
        ),
        "environment": {"python": "3.11.9"},
    }
    return Record(**(fields | changes))


def raw(**changes: Any) -> dict[str, Any]:
    """The JSON object of a record, without its hash, then changed."""
    found: dict[str, Any] = json.loads(line_of(record()))
    del found["sha256"]
    return found | changes


def written(fields: dict[str, Any]) -> bytes:
    """The line of a JSON object with its hash, as any program may write it."""
    return sealed(json.dumps(fields, separators=(",", ":")).encode())


@given(
    params=st.dictionaries(st.text(), JSON, max_size=4),
    score=st.floats(0, 1),
    seconds=st.floats(0, 1e12),
    reason=st.text(),
)
def test_what_is_written_is_read_bit_for_bit(params: dict[str, Any], score: float, seconds: float, reason: str) -> None:
    time = Times(finished="now", distil_s=None, student_s=seconds, made_of=None)
    before = record(
        method=PluginRef(name="m", label="m", params=params),
        score=score,
        metrics={"accuracy": score},
        time=time,
        reason=reason,
    )
    after = parse_record(line_of(before))
    assert after == before
    assert math.copysign(1, after.score or 0) == math.copysign(1, score)
    old = json.loads(line_of(before)) | {"schema": 1}
    del old["sha256"]
    assert parse_record(json.dumps(old).encode()) == before, "by way of schema 1"
    assert pickle.loads(pickle.dumps(before)) == before


def test_a_line_is_sorted_json_with_its_own_hash_last() -> None:
    line = line_of(record())
    body, _, seal = line.rpartition(b',"sha256":')
    assert line.startswith(HEAD)
    assert b"\n" not in line
    assert json.loads(seal[:-1]) == hashlib.sha256(body + b"}").hexdigest()
    names = list(json.loads(line))
    assert names == ["schema", *sorted(set(names) - {"schema", "sha256"}), "sha256"]


def test_the_order_of_members_does_not_matter_to_a_reader() -> None:
    fields = raw()
    assert parse_record(written({name: fields[name] for name in sorted(fields)})) == record()


@pytest.mark.parametrize("name", sorted(set(raw()) - LATER))
def test_every_field_is_needed_and_kept(name: str) -> None:
    left = {key: value for key, value in raw().items() if key != name}
    with pytest.raises(ValueError, match=f"no '{name}'|schema None, this bench reads 1 and 2"):
        parse_record(written(left))


def test_a_line_from_before_a_field_reads_as_not_known() -> None:
    whole = record(n_bytes=612)
    assert parse_record(line_of(whole)) == whole
    older = {name: value for name, value in json.loads(line_of(whole)).items() if name not in {"n_bytes", "sha256"}}
    assert parse_record(written(older)) == record(n_bytes=None)


def test_a_field_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="'sore' is no field of it"):
        parse_record(written(raw(sore=0.5)))


def test_a_record_that_cannot_be_true_is_not_made() -> None:
    with pytest.raises(ValidationError, match=r"score 0.75, but accuracy 0.5"):
        record(score=0.75)


def test_what_has_no_json_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        line_of(record(method=PluginRef(name="m", label="m", params={"a": math.nan})))


def test_a_line_without_its_hash_or_with_another_is_refused() -> None:
    line = line_of(record())
    with pytest.raises(ValueError, match="no 'sha256' at its end"):
        parse_record(line.rpartition(b',"sha256":')[0] + b"}")
    with pytest.raises(ValueError, match="not as it was written"):
        parse_record(line.replace(b'"run":1', b'"run":2', 1))


@pytest.mark.parametrize("schema", [0, 3, "2", None, [1]])
def test_another_schema_is_named(schema: Any) -> None:
    with pytest.raises(ValueError, match="this bench reads 1 and 2"):
        parse_record(written(raw(schema=schema)))


def schema_1(**changes: Any) -> dict[str, Any]:
    """A line as the first version wrote it: without what came later."""
    later = {"set_digest", "near_test", "metrics_code"}
    old: dict[str, Any] = {name: value for name, value in raw().items() if name not in later} | {"schema": 1}
    old["student"] = {name: value for name, value in old["student"].items() if name != "key"}
    old["time"] = {name: value for name, value in old["time"].items() if name != "made_of"}
    return old | changes


def test_a_line_of_schema_1_is_upgraded_and_what_it_does_not_say_is_null() -> None:
    found = parse_record(json.dumps(schema_1()).encode())
    assert (found.schema, found.set_digest, found.near_test, found.metrics_code) == (2, None, None, None)
    assert (found.student.key, found.time.made_of) == (None, None)
    again = record(
        set_digest=None,
        near_test=None,
        metrics_code=None,
        student=StudentRef(name="minilm", label="minilm", params={}, key=None),
        time=Times(finished=record().time.finished, distil_s=0.1, student_s=2.5, made_of=None),
    )
    assert found == again


def test_a_later_line_of_schema_1_keeps_what_it_says_and_its_hash() -> None:
    line = written(raw(schema=1))
    assert parse_record(line) == record()
    with pytest.raises(ValueError, match="not as it was written"):
        parse_record(line.replace(b'"run":1', b'"run":2', 1))


def test_a_line_of_schema_1_is_checked_like_any_other() -> None:
    with pytest.raises(ValueError, match=r"score 0.75, but accuracy 0.5"):
        parse_record(json.dumps(schema_1(score=0.75)).encode())
    with pytest.raises(ValueError, match="no 'key'"):
        parse_record(json.dumps({"schema": 1}).encode())
    with pytest.raises(ValueError, match="'student' is 1"):
        parse_record(json.dumps(schema_1(student=1)).encode())


def test_the_kept_results_say_what_their_lines_say() -> None:
    lines = [line for path in RESULTS.glob("*/results/records.jsonl") for line in path.read_bytes().splitlines()]
    assert len(lines) >= 500
    for line in lines:
        old, new = json.loads(line), json.loads(line_of(parse_record(line)))
        assert all(new[name] == old[name] for name in old.keys() - {"schema", "student", "time", "sha256"})
        assert new["student"].items() >= old["student"].items()
        for part in new["time"]["made_of"] or ():
            assert part.pop("memory") is None, "it came later"
        assert all(new["time"][name] == value for name, value in old["time"].items())
