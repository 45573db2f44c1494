"""Jobs and outcomes survive JSON, and what is sent to a worker is nothing but that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import plugins
from bench.api import Part
from bench.data.assets import Assets
from bench.jobs import (
    Job,
    LoadJob,
    Outcome,
    PartsJob,
    PlannedPlugin,
    PlannedTask,
    RunJob,
    RunsJob,
    SetJob,
    VerifyJob,
    decode_job,
    decode_outcome,
    encode,
)
from bench.plan import make_plan
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.suite import load_suite
from bench.work.worker import Worker

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.text(), JSON, max_size=3)
TEXT = st.text(max_size=8)
NUMBER = st.integers(0, 2**32)
DPC = st.none() | st.integers(1, 50)
KEYS = st.lists(TEXT, max_size=3).map(tuple)
PLUGIN = st.builds(PlannedPlugin, st.sampled_from(["task", "method", "student"]), TEXT, OBJECT, TEXT, TEXT)
TASK = st.builds(PlannedTask, PLUGIN, OBJECT, TEXT)
PART = st.recursive(
    st.builds(Part, kind=TEXT, fields=OBJECT, make=TEXT, assets=KEYS, together=TEXT),
    lambda inner: st.builds(
        Part, kind=TEXT, fields=OBJECT, make=TEXT, needs=st.lists(inner, max_size=2).map(tuple), together=TEXT
    ),
    max_leaves=4,
)
SET = st.builds(SetJob, TEXT, OBJECT, TASK, PLUGIN, DPC, NUMBER, NUMBER, st.booleans())
RUN = st.builds(RunJob, TEXT, TASK, TEXT, PLUGIN, DPC, NUMBER, NUMBER, NUMBER)
JOBS = st.one_of(
    st.builds(LoadJob, TASK),
    st.builds(PartsJob, TASK, st.lists(PART, max_size=2).map(tuple), KEYS, st.lists(KEYS, max_size=2).map(tuple), KEYS),
    SET,
    RUN,
    st.builds(RunsJob, st.lists(RUN, min_size=1, max_size=3).map(tuple)),
    st.builds(VerifyJob, SET | RUN),
)
OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(["ok", "failed", "oom"]),
    st.none() | st.text(),
    st.none() | st.text(),
    JSON,
    st.floats(0, 9),
    KEYS,
)


@given(JOBS)
def test_a_job_survives_json(job: Job) -> None:
    again = decode_job(encode(job))
    assert again == job
    assert (type(again), again.title, again.place, again.task) == (type(job), job.title, job.place, job.task)
    assert encode(again) == encode(job)


@given(OUTCOMES)
def test_an_outcome_survives_json(outcome: Outcome) -> None:
    assert decode_outcome(encode(outcome)) == outcome


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError):
        encode(Outcome("ok", value=object()))


@pytest.fixture
def plan_and_worker(tmp_path: Path) -> tuple[Any, Worker]:
    settings = Settings.make(cache=tmp_path, plugin_files=(Path(__file__).parent / "sample_plugin.py",))
    registry = plugins.load(settings)
    choices: Any = {"tasks": "words", "methods": "pick,trained", "students": "centroid[seconds=0.0]"}
    suite = load_suite("pocket", registry, **choices, dpc=(2,), sets=2, runs=1)
    return make_plan(suite, Assets(registry.assets, settings), Artifacts(tmp_path), []), Worker(settings)


def test_a_worker_does_what_comes_as_json(plan_and_worker: tuple[Any, Worker]) -> None:
    """All kinds of job, each through its JSON; the worker finds each plugin once."""
    plan, worker = plan_and_worker
    runs = plan.missing_runs()
    sets = plan.needed_sets(runs)
    todo = [LoadJob(runs[0].task), *plan.preparations(sets), *sets, *runs, *map(VerifyJob, [*sets, *runs])]
    values = []
    for job in todo:
        outcome = decode_outcome(encode(worker.run(decode_job(encode(job)))))
        assert outcome.status == "ok", outcome
        values.append(outcome.value)
    by_key = {job.key: value["predictions"] for job, value in zip(todo, values, strict=True) if job.what == "run"}
    for job, value in zip(todo, values, strict=True):
        if job.what == "verify":
            assert value == by_key.get(job.job.key, ""), "the same set or predictions"
    assert len(worker._choices) == 4


def test_a_job_names_its_plugins_and_holds_nothing_else_of_them(plan_and_worker: tuple[Any, Worker]) -> None:
    plan, _ = plan_and_worker
    found = json.loads(encode(plan.missing_runs()[0]))
    assert len(found["student"].pop("code")) == 64
    assert found["student"] == {
        "kind": "student",
        "name": "centroid",
        "params": {"seconds": 0.0, "how": ""},
        "label": "centroid",
        "source": "",
    }
