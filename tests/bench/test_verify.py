"""`bench run --verify N`: what is finished is computed again alone (what it finds: testing/test_planted_defects.py)."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench import jobs, plugins
from bench.data.assets import Assets
from bench.jobs import Outcome, RunJob, SetJob
from bench.plan import Plan, make_plan
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.store.predictions import encode
from bench.suite import load_suite
from bench.verify import Verified, _judge, sample
from tests.leaderboard.records import record

Sample = Any


def files(folder: Path) -> dict[str, str]:
    """Every file of the cache and the output folder that holds results, with its content."""
    found = [*folder.glob("cache/artifacts/*/*/*/*"), *folder.glob("work/bench-out/results/*.jsonl")]
    return {str(path): path.read_text() for path in found if path.is_file()}


def test_good_plugins_are_the_same_alone_and_nothing_is_kept(sample: Sample, tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    counts.mkdir()
    words = ["--methods", "pick,trained[ends=if asked]", "--dpc", "2", "--jobs", "2"]
    done = sample("run", *words, "--verify", "2", BENCH_TEST_CALLS=str(counts))
    assert "computing 4 finished sets and runs again, each alone in a fresh process" in done.stderr
    assert done.stderr.count(": the same (") == 4
    assert done.stderr.endswith("verified: 2 sets and 2 runs are the same when computed alone\n")
    again = sum("words dpc 2 pick set" in line and " run " not in line for line in done.stderr.splitlines())
    called = {path.name: len(path.read_text()) for path in counts.iterdir()}
    assert again == 1
    assert called["distill"] == 3 + again  # made anew, not read from the cache
    assert called["predict"] == 12 + 2
    assert called["step"] == 4  # the trained artifact is used as it is

    shutil.rmtree(tmp_path / "cache" / "artifacts" / "priorities")
    before = files(tmp_path)
    done = sample("run", *words, "--verify", "2", code=2, BENCH_TEST_FAIL="1")
    assert "nothing to compute" in done.stderr
    line = r"method 'trained.*' \(words dpc 2 trained.* set \d\) ended well in the run, but computed alone: "
    assert re.search(line + "ValueError: asked to fail", done.stderr)
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("verified: 1 set and 2 runs are the same when computed alone, 1 not\n")
    assert files(tmp_path) == before


def test_what_is_not_finished_is_not_verified(sample: Sample) -> None:
    done = sample("run", "--methods", "fail", "--sets", "1", "--verify", "2", code=2)
    assert "verified: nothing" in done.stderr


def plan(tmp_path: Path, methods: str, students: str, seed: int = 0) -> Plan:
    """A plan of two tasks, with every set cached and every run ok."""
    settings = Settings.make(cache=tmp_path, plugin_files=(Path(__file__).parent / "sample_plugin.py",))
    registry = plugins.load(settings)
    choices: Any = {"tasks": "words,words[rows=40]", "methods": methods, "students": students}
    suite = load_suite("pocket", registry, **choices, dpc=(2, 4), sets=3, runs=2, seed=seed)
    made = make_plan(suite, Assets(registry.assets, settings), Artifacts(tmp_path), [])
    made.cached_sets = set(made.sets)
    made.done = {run.key: record(0.5, key=run.key) for cell in made.cells for run in cell.runs}
    return made


def test_the_sample_is_spread_and_the_same_every_time(tmp_path: Path) -> None:
    made = plan(tmp_path, "pick,fixed,trained", "centroid,centroid[seconds=1]")
    chosen = [each.job for each in sample(made, 3)]
    sets = [job for job in chosen if isinstance(job, SetJob)]
    runs = [job for job in chosen if isinstance(job, RunJob)]
    assert (len(sets), len(runs)) == (3, 3)
    assert {job.method.label for job in sets} == {"pick", "fixed", "trained"}
    assert len({job.task.label for job in sets}) == 2
    assert {made.sets[job.set_key].method.label for job in runs} == {"pick", "fixed", "trained"}
    assert len({job.student.label for job in runs}) == 2
    assert [each.job.key for each in sample(made, 3)] == [job.key for job in chosen]
    cells = {
        (run.student.label, made.sets[run.set_key].method.label, run.task.revision)
        for run in map(run_of, sample(made, 12)[-12:])
    }
    assert len(cells) == 12, "each cell once before any twice"
    assert {each.job.key for each in sample(made, 10**6)} == set(made.sets) | set(made.done)
    other = plan(tmp_path, "pick,fixed,trained", "centroid,centroid[seconds=1]", seed=1)
    assert [(job.index, job.dpc) for job in runs] != [(each.job.index, each.job.dpc) for each in sample(other, 3)[3:]]


def run_of(job: Any) -> RunJob:
    assert isinstance(job.job, RunJob)
    return job.job


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_on_a_gpu_it_is_said_that_runs_may_have_trained_together(device: str, tmp_path: Path) -> None:
    made, found = plan(tmp_path, "pick", "centroid"), Verified()
    job = made.cells[0].runs[0]
    done = made.done[job.key]
    made.done[job.key] = dataclasses.replace(done, environment={**done.environment, "device": device})
    assert done.predictions is not None
    labels = done.predictions.labels().copy()
    labels[3] = 1 - labels[3]
    _judge(made, job, Outcome("ok", value=jobs.plain(encode(labels))), found)
    (line,) = found.differences
    assert f"1 of {len(labels)} predictions differ" in line
    assert ("on a GPU runs on one set may have trained together" in line) is (device == "cuda")
    assert "reset all that is trained from copies" in line
