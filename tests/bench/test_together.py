"""Runs on one set in one job: the same records as one at a time, whatever happens to the job."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.executors.base import Slot
from bench.executors.local import LocalExecutor
from bench.jobs import WORKER, Job, RunsJob
from bench.progress import TimeLeft
from bench.runner import TOGETHER, Runner, groups
from bench.session import Session
from bench.settings import Settings
from bench.store.results import ResultStore
from tests.bench.conftest import SUITE, records

HERE = Path(__file__).parent
RUNS = 5


class Said:
    """A report that keeps what it is told; `stop` interrupts after so many replicates, as Ctrl-C does."""

    def __init__(self, stop: int | None = None) -> None:
        self.steps: list[str] = []
        self.warnings: list[str] = []
        self.inner: list[str] = []
        self.limits: list[tuple[str, float | None]] = []
        self.stop = stop

    def start(self, left: TimeLeft, total: int, finished: int, workers: int, line: str = "") -> None: ...

    def step(self, line: str, seconds: float, kind: str = "") -> None:
        self.steps.append(line)
        if len(self.steps) == self.stop:
            raise KeyboardInterrupt

    def inside(self, slot: int, line: str) -> None:
        self.inner.append(line)

    def warn(self, line: str) -> None:
        self.warnings.append(line)


class Watched(LocalExecutor):
    """Keeps what a job is given in seconds, and gives those of several runs a hundredth of it, the others no limit."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.limits: list[tuple[str, float | None]] = []

    def start(self, slot: Slot, job: Job, timeout: float | None) -> None:
        self.limits.append((job.what, timeout))
        super().start(slot, job, timeout / 100 if timeout and job.what == RunsJob.what else None)


Run = Callable[..., Said]
Answer = list[Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with plugins, suite, a cache, and one for what students note."""
    folder = tmp_path_factory.mktemp("together")
    for name in ("sample", "choir"):
        (folder / f"{name}_plugin.py").write_text((HERE / f"{name}_plugin.py").read_text())
    (folder / "suite.toml").write_text(SUITE)
    (folder / "calls").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_TEST_CALLS", str(folder / "calls"))
        yield folder


def session_of(place: Path, **choices: Any) -> Session:
    files = tuple(place / f"{name}_plugin.py" for name in ("sample", "choir"))
    return Session.open(Settings.make(cache=place / "cache", plugin_files=files), place / "suite.toml", **choices)


@pytest.fixture(scope="module")
def run(place: Path) -> Run:
    """A function (out, student, together) that computes what is missing: 5 runs on each of 2 sets."""

    def go(
        out: str,
        student: str,
        together: int,
        *,
        methods: str = "pick",
        stop: int | None = None,
        timeout: float | None = None,
        slots: tuple[str, ...] = ("cpu",),
    ) -> Said:
        choices: Any = {"methods": methods, "students": student, "dpc": (2,), "sets": 2, "runs": RUNS}
        session, said = session_of(place, **choices), Said(stop)
        with ResultStore(place / out, "w") as store:
            executor = Watched(WORKER, session.settings, len(slots))
            executor.slots = tuple(Slot(number, device) for number, device in enumerate(slots))
            kinds = {"cpu": together} if "cuda:0" not in slots else {"cuda": together}
            runner = Runner(
                session.plan(store.records()), store, executor, said, session.assets, timeout=timeout, together=kinds
            )
            try:
                runner.run()
            except KeyboardInterrupt:
                assert stop is not None
        said.limits = executor.limits
        return said

    return go


@pytest.fixture(scope="module")
def alone(run: Run, place: Path) -> list[Answer]:
    """What the runs of `choir` answer one at a time."""
    run("alone", "choir", 1)
    assert noted(place) == {"predict": 2 * RUNS, "distill": 2}
    return answers(place / "alone")


def answers(out: Path) -> list[Answer]:
    """Of each replicate set, run, seed, key of the set, score and predictions."""
    parts = ("set", "run", "seed", "set_key", "set_digest", "score", "predictions")
    return sorted(([record[part] for part in parts] for record in records(out)), key=lambda each: each[:2])


def noted(place: Path) -> Counter[str]:
    """What students noted since the last call."""
    found = Counter({path.name: len(path.read_text()) for path in (place / "calls").iterdir()})
    for path in (place / "calls").iterdir():
        path.unlink()
    return found


def seconds(out: Path) -> list[float]:
    lines = (out / "results" / "records.jsonl").read_text().splitlines()
    return [json.loads(line)["time"]["student_s"] for line in lines]


def test_records_are_those_of_one_at_a_time(run: Run, alone: list[Answer], place: Path) -> None:
    """Groups of 4 and 1 a set, of which the student takes 2 at once; and a student that takes one each time."""
    said = run("together", "choir", 4)
    assert noted(place) == {"offered 4": 2, "offered 2": 2, "predict": 2}
    assert records(place / "together") == records(place / "alone")
    assert len({str(each[-1]) for each in alone}) == 2 * RUNS, "every run answers otherwise"
    assert said.warnings == []
    assert "singing 1/1" in said.inner
    assert len(said.steps) == len((place / "together" / "results" / "records.jsonl").read_text().splitlines())
    run("plain", "centroid", 1)
    run("default", "centroid", 10)
    assert noted(place) == {"predict": 2 * 2 * RUNS}, "each once"
    assert records(place / "default") == records(place / "plain")


def test_seconds_are_shared_out_evenly(run: Run, place: Path) -> None:
    run("seconds", "choir[width=9]", 9)
    by_set = [seconds(place / "seconds")[start : start + RUNS] for start in (0, RUNS)]
    assert [len(set(each)) for each in by_set] == [1, 1]
    assert all(each[0] > 0 for each in by_set)


@pytest.mark.parametrize(
    ("how", "warned"),
    [
        ("raise", "failed: RuntimeError: they fell over together"),
        ("die", "oom: the worker was killed by the system"),
        ("sleep", "timeout: stopped after"),
        ("many", "plugin: student 'choir[how=many]' gave 10 answers for 5 runs; 1 to 5 are needed"),
        ("refuse", ""),
    ],
)
def test_a_job_that_ends_badly_is_done_one_at_a_time(
    how: str, warned: str, run: Run, alone: list[Answer], place: Path
) -> None:
    """No run of it is lost; a refusal is no news."""
    noted(place)
    said = run(how, f"choir[how={how}]", 5, timeout=30.0 if how == "sleep" else None)
    called = noted(place)
    assert called["predict"] == 2 * RUNS
    assert called["offered 5"] == 2 or how == "sleep"  # the time may be over before the student is asked
    if how == "sleep":
        assert set(said.limits) == {("load", 30.0), ("set", 30.0), ("runs", 30.0 * RUNS), ("run", 30.0)}
    assert answers(place / how) == alone
    assert len(said.warnings) == (2 if warned else 0)
    for line in said.warnings:
        assert warned in line
        assert "run 0 and 4 more together: " in line
        assert line.endswith("; now one at a time")


def test_one_bad_run_does_not_take_its_mates_down(run: Run, alone: list[Answer], place: Path) -> None:
    run("unlucky", "choir[how=unlucky,width=9]", 5)
    found = records(place / "unlucky")
    assert {r["status"] for r in found if r["seed"]["run"] % 3 == 0} == {"failed"}
    good = [each for each in answers(place / "unlucky") if each[2]["run"] % 3]
    assert good == [each for each in alone if each[2]["run"] % 3]


def test_an_interrupted_run_goes_on_with_what_is_left(run: Run, place: Path) -> None:
    """In the middle of a group: what was written stays, the rest is grouped anew."""
    run("stopped", "choir", 5, stop=2)
    kept = (place / "stopped" / "results" / "records.jsonl").read_text()
    assert 2 <= kept.count("\n") < 2 * RUNS
    run("stopped", "choir", 5)
    lines = (place / "stopped" / "results" / "records.jsonl").read_text()
    assert lines.startswith(kept)
    assert lines.count("\n") == 2 * RUNS
    assert records(place / "stopped") == records(place / "alone")
    assert run("stopped", "choir", 5).steps == []


def test_what_a_lost_set_takes_along(run: Run, place: Path) -> None:
    run("lost", "choir", 5, methods="fail,pick")
    found = Counter((r["method"]["name"], r["status"]) for r in records(place / "lost"))
    assert found == {("fail", "failed"): 2 * RUNS, ("pick", "ok"): 2 * RUNS}


def test_only_slots_with_a_gpu_get_several_runs(run: Run, alone: list[Answer], place: Path) -> None:
    """A slot without one that finds a group takes one run of it. The student itself needs no GPU."""
    noted(place)
    run("mixed", "choir[width=9]", 64, slots=("cpu", "cuda:0"))
    called = noted(place)
    assert called["predict"] >= 1
    assert any(name.startswith("offered") for name in called)
    assert {record["environment"]["device"] for record in records(place / "mixed")} == {"cpu", "cuda"}
    assert answers(place / "mixed") == alone
    assert set(TOGETHER) == {"cuda"}


def test_groups_are_of_one_set_and_student(place: Path) -> None:
    """Every run once; a set that the seed does not change has runs under several set numbers."""
    choices: Any = {"methods": "pick,fixed", "students": "choir,centroid", "dpc": (2, 4), "sets": 3, "runs": 4}
    runs = session_of(place, **choices).plan([]).missing_runs()
    found = groups(runs, 5)
    assert sorted(each.key for group in found for each in group) == sorted(each.key for each in runs)
    assert {len({(each.set_key, each.student.label) for each in group}) for group in found} == {1}
    assert Counter(map(len, found)) == Counter({4: 2 * 2 * 3, 5: 2 * 2 * 2, 2: 2 * 2})
    assert sorted(group[0].key for group in groups(runs, 1)) == sorted(each.key for each in runs)


def test_runs_without_examples_are_one_job_on_any_device(run: Run, place: Path) -> None:
    """A student that draws nothing then answers once; one that draws does as many as it likes, here three."""
    said = run("empty", "choir[width=3]", 1, methods="zero-shot")
    runs = 2 * RUNS
    offered = {f"offered {n}": 1 for n in range(runs, 1, -3)}
    assert noted(place) == offered | ({"predict": 1} if runs % 3 == 1 else {})
    assert len(said.steps) == runs
    run("empty-each", "choir[width=1]", 1, methods="zero-shot")
    noted(place)
    one_by_one = answers(place / "empty-each")
    assert answers(place / "empty") == one_by_one
    assert len({str(answer[-1]) for answer in one_by_one}) > 1, "each with its own seed"
