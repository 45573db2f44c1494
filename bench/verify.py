"""`bench run --verify N`: some finished sets and runs computed again, each alone in a fresh process, and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import seeds
from bench.executors.base import Executor, Progressed
from bench.jobs import Outcome, RunJob, SetJob, VerifyJob, dpc_name
from bench.plan import Plan
from bench.progress import TimeLeft
from bench.runner import Report
from bench.store.predictions import Predictions

SET_MEND = "it keeps state between sets or draws from a generator that ctx.seed does not set; draw from ctx.rng()"
RUN_MEND = (
    "it keeps state between runs or draws from a generator that ctx.seed does not set; "
    "reset all that is trained from copies, draw from ctx.rng()"
)

GPU_MEND = "on a GPU runs on one set may have trained together, which rounds otherwise, so that near ties flip"


@dataclass
class Verified:
    """How many sets and runs came out the same, and one line for each that did not."""

    sets: int = 0
    runs: int = 0
    differences: list[str] = field(default_factory=list)
    tracebacks: dict[str, str] = field(default_factory=dict)  # of those that ended badly

    @property
    def exit_code(self) -> int:
        """0 when something was compared and all of it is the same."""
        return 0 if self.sets + self.runs and not self.differences else 2

    def __str__(self) -> str:
        if not self.sets + self.runs + len(self.differences):
            return (
                "verified: nothing, for none of these sets and runs is finished and whole in the cache: `bench doctor` "
                "names damaged ones, the same run into another --out makes them again"
            )
        rest = f", {len(self.differences)} not" if self.differences else ""
        sets, runs = (f"{n} {what}{'' if n == 1 else 's'}" for n, what in ((self.sets, "set"), (self.runs, "run")))
        return f"verified: {sets} and {runs} are the same when computed alone{rest}"


def sample(plan: Plan, n: int) -> list[VerifyJob]:
    """`n` sets that are in the cache and `n` runs that are ok and whose set is, the same ones every time.

    Each next one is of a cell, and then of a task, method and student, that the sample has least of.
    """
    sets = [job for key, job in plan.sets.items() if key in plan.cached_sets]
    runs = [
        run
        for cell in plan.cells
        for run in cell.runs
        if run.set_key in plan.cached_sets and (done := plan.done.get(run.key)) is not None and done.finished
    ]
    return [VerifyJob(job) for jobs in (sets, runs) for job in _spread(plan, jobs, n)]


def _spread(plan: Plan, jobs: Sequence[SetJob] | Sequence[RunJob], n: int) -> list[SetJob | RunJob]:
    left: list[SetJob | RunJob] = sorted(jobs, key=lambda job: (seeds.derive("verify", plan.seed, job.key), job.key))
    seen: Counter[tuple[Any, ...]] = Counter()
    chosen: list[SetJob | RunJob] = []
    while left and len(chosen) < n:
        job = min(left, key=lambda each: [sum(seen[part] for part in parts) for parts in _parts(plan, each)])
        left.remove(job)
        seen.update(part for parts in _parts(plan, job) for part in parts)
        chosen.append(job)
    return chosen


def _parts(plan: Plan, job: SetJob | RunJob) -> tuple[list[tuple[Any, ...]], ...]:
    """What the sample shall have evenly: first whole cells, then each of their parts."""
    task = ("task", job.task.label)
    if isinstance(job, SetJob):
        parts = [task, ("method", job.method.label)]
    else:
        parts = [task, ("method", plan.sets[job.set_key].method.label), ("student", job.student.label)]
    return [tuple(parts)], parts


def verify(
    plan: Plan, n: int, executor: Callable[[], Executor], report: Report, timeout: float | None = None
) -> Verified:
    """Compute a sample of what is finished again and compare it with the set in the cache or with the record.

    executor: makes one whose workers have done nothing yet. A worker gets one job, so nothing of an earlier job can
    help; trained artifacts and cached features are used as they are.
    """
    jobs = sample(plan, n)
    found = Verified()
    started = False
    while jobs:
        workers = executor()
        try:
            if not started:
                line = f"computing {len(jobs)} finished sets and runs again, each alone in a fresh process"
                report.start(TimeLeft([""] * len(jobs), {}), len(jobs), 0, len(workers.slots), line)
                started = True
            slots = workers.slots[: len(jobs)]
            for slot in slots:
                workers.start(slot, jobs.pop(0), timeout)
            busy = len(slots)
            while busy:
                for event in workers.wait(1.0):
                    if isinstance(event, Progressed):
                        report.inside(event.slot.number, f"{event.what} {event.done}/{event.total}")
                        continue
                    busy -= 1
                    report.inside(event.slot.number, "")
                    assert isinstance(event.job, VerifyJob)
                    said = _judge(plan, event.job.job, event.outcome, found)
                    report.step(f"{said} ({event.outcome.seconds:.1f} s)", event.outcome.seconds)
        finally:
            workers.close()
    return found


def _judge(plan: Plan, job: SetJob | RunJob, outcome: Outcome, found: Verified) -> str:
    """Note how one comparison ended; a line for the progress."""
    where, who, mend = _named(plan, job)
    if outcome.status != "ok":
        found.differences.append(f"{who} ({where}) ended well in the run, but computed alone: {outcome.reason}")
        if outcome.traceback:
            found.tracebacks[where] = outcome.traceback
        return f"{where}: {outcome.status}: {outcome.reason}"
    if isinstance(job, SetJob):
        found.sets += not outcome.value
        what = f"{outcome.value} differ" if outcome.value else ""
    else:
        kept = plan.done[job.key].predictions
        assert kept is not None, "only finished runs are verified"
        before, again = kept.labels(), Predictions(**outcome.value).labels()
        differ = int((before != again).sum()) if len(before) == len(again) else len(before)
        found.runs += not differ
        what = f"{differ} of {len(before)} predictions differ" if differ else ""
        if differ and plan.done[job.key].environment.get("device") == "cuda":
            mend = f"{GPU_MEND}, or {mend}"
    if not what:
        return f"{where}: the same"
    found.differences.append(
        f"{who} ({where}): {what} when computed alone in a fresh process, with the same seed: {mend}"
    )
    return f"{where}: {what}"


def _named(plan: Plan, job: SetJob | RunJob) -> tuple[str, str, str]:
    """Where a job belongs, whose it is, and what is to be mended when it differs."""
    set_job = job if isinstance(job, SetJob) else plan.sets[job.set_key]
    where = f"{job.task.label} {dpc_name(job.dpc)} {set_job.method.label} set {job.index}"
    if isinstance(job, SetJob):
        return where, f"method '{job.method.label}'", SET_MEND
    return f"{where} run {job.run}", f"student '{job.student.label}'", RUN_MEND
