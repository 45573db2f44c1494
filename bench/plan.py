"""From a suite to the jobs that are still missing: which sets to distil, which students to train.

Nothing heavy is imported here: a plan is made from identities alone, without loading data.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench import seeds
from bench.api import MethodSpec
from bench.identities import identity, run_key, set_fields
from bench.selection import Choice
from bench.store.artifacts import Artifacts
from bench.store.identity import key_of
from bench.store.record import Record

if TYPE_CHECKING:
    from bench.data.assets import Assets
    from bench.suite import Suite

RETRIED = frozenset({"failed", "timeout", "oom", "not_run"})  # statuses that a later run computes again


@dataclass(frozen=True)
class TaskPart:
    """A task with its identity; `revision` is its key."""

    choice: Choice
    identity: dict[str, Any]

    @property
    def revision(self) -> str:
        return key_of({"kind": "task", "task": self.identity})


@dataclass(frozen=True)
class SetJob:
    """Make one distilled set. `method` is None for a set made elsewhere (`bench score`)."""

    key: str
    fields: dict[str, Any]
    task: TaskPart
    method: Choice | None
    method_label: str
    dpc: int | None
    index: int
    seed: int


@dataclass(frozen=True)
class PrepareJob:
    """Make what the sets of some methods of one target share on a task, before the sets themselves."""

    task: TaskPart
    methods: tuple[Choice, ...]
    seed: int

    def covers(self, job: SetJob) -> bool:
        """Whether a set waits for this."""
        return job.task.revision == self.task.revision and job.method in self.methods


@dataclass(frozen=True)
class RunJob:
    """Train one student on one set and score it: replicate (set index, run index) of a cell."""

    key: str
    task: TaskPart
    set_key: str
    student: Choice
    student_identity: dict[str, Any]
    dpc: int | None
    index: int
    run: int
    seed: int


@dataclass(frozen=True)
class VerifyJob:
    """Compute a finished set or run again, to compare: its result is neither taken from the cache nor kept."""

    job: SetJob | RunJob

    @property
    def task(self) -> TaskPart:
        return self.job.task


@dataclass(frozen=True)
class Cell:
    """task x method x dpc x student with its replicates; `key` identifies what the replicates have in common."""

    key: str
    task: TaskPart
    method_name: str
    method_label: str
    method_params: dict[str, Any]
    student: Choice
    dpc: int | None
    runs: tuple[RunJob, ...]


@dataclass
class Plan:
    """The cells of a suite, and what of them is already there."""

    suite: str
    seed: int
    cells: list[Cell]
    sets: dict[str, SetJob]
    cached_sets: set[str] = field(default_factory=set)
    done: dict[str, Record] = field(default_factory=dict)

    def missing_runs(self) -> list[RunJob]:
        """Replicates without a final record, in an order that finishes whole rounds of sets first."""
        runs = [run for cell in self.cells for run in cell.runs if run.key not in self.done]
        return sorted(runs, key=lambda run: (run.index, run.run))

    def needed_sets(self, runs: Iterable[RunJob]) -> list[SetJob]:
        """The sets that these runs train on and that are not in the cache."""
        keys = dict.fromkeys(run.set_key for run in runs)
        return [self.sets[key] for key in keys if key not in self.cached_sets]

    def preparations(self, sets: Iterable[SetJob]) -> list[PrepareJob]:
        """What has to be prepared for these sets: one job a task and target of methods that prepare."""
        groups: dict[tuple[str, str], dict[str, SetJob]] = {}
        for job in sets:
            spec = job.method.spec if job.method is not None else None
            if isinstance(spec, MethodSpec) and spec.prepares:
                groups.setdefault((job.task.revision, spec.target), {}).setdefault(job.method_label, job)
        found = []
        for jobs in map(list, map(dict.values, groups.values())):
            seed = seeds.derive("prepare", self.seed, jobs[0].task.choice.spec.name)
            methods = tuple(job.method for job in jobs if job.method is not None)
            found.append(PrepareJob(jobs[0].task, methods, seed))
        return found

    def tasks(self) -> list[TaskPart]:
        """The tasks of the plan, each once."""
        return list({cell.task.revision: cell.task for cell in self.cells}.values())

    def choices(self) -> list[Choice]:
        """Every choice of the plan, each once."""
        found = [part for cell in self.cells for part in (cell.task.choice, cell.student)]
        found += [job.method for job in self.sets.values() if job.method is not None]
        return list({(choice.spec.kind, choice.label): choice for choice in found}.values())


def make_plan(suite: Suite, assets: Assets, artifacts: Artifacts, records: Sequence[Record]) -> Plan:
    """Every cell of the suite; `records` and the cache say what is there already."""
    tasks = [TaskPart(choice, identity(choice, assets)) for choice in suite.tasks]
    methods = [(choice, identity(choice, assets)) for choice in suite.methods]
    students = [(choice, identity(choice, assets)) for choice in suite.students]
    plan = Plan(suite.name, suite.seed, [], {})
    for task in tasks:
        for method, method_identity in methods:
            spec = method.spec
            assert isinstance(spec, MethodSpec)
            for dpc in suite.dpc_for(task.choice) if spec.uses_dpc else (None,):
                count = 1 if spec.one_set(method.params) else suite.sets
                set_jobs = [_set_job(task, method, method_identity, dpc, index, suite.seed) for index in range(count)]
                plan.sets |= {job.key: job for job in set_jobs}
                set_keys = [job.key for job in set_jobs] * (suite.sets if count == 1 else 1)
                for student, student_identity in students:
                    runs = replicate_runs(task, set_keys, student, student_identity, dpc, suite.runs, suite.seed)
                    params = method.params.model_dump(mode="json")
                    key = cell_key(task, method_identity, student_identity, dpc, suite.seed)
                    plan.cells.append(Cell(key, task, spec.name, method.label, params, student, dpc, runs))
    note_state(plan, artifacts, records)
    return plan


def cell_key(task: TaskPart, method: Any, student_identity: dict[str, Any], dpc: int | None, base: int) -> str:
    """The key of a cell: its parts' identities, dpc and base seed; not how many replicates it has."""
    fields = {"task": task.identity, "method": method, "student": student_identity, "dpc": dpc, "seed": base}
    return key_of({"kind": "cell", **fields})


def _set_job(
    task: TaskPart, method: Choice, method_identity: dict[str, Any], dpc: int | None, index: int, base: int
) -> SetJob:
    seed = seeds.derive("set", base, task.choice.spec.name, method.spec.name, dpc, index)
    fields = set_fields(task.identity, method_identity, dpc, index, seed)
    return SetJob(key_of({"kind": "set", **fields}), fields, task, method, method.label, dpc, index, seed)


def replicate_runs(
    task: TaskPart,
    set_keys: Sequence[str],
    student: Choice,
    student_identity: dict[str, Any],
    dpc: int | None,
    runs: int,
    base: int,
) -> tuple[RunJob, ...]:
    """`runs` replicates for each entry of `set_keys`; the learner's seed does not depend on the method."""
    jobs = []
    for index, set_key in enumerate(set_keys):
        for run in range(runs):
            seed = seeds.derive("run", base, task.choice.spec.name, student.spec.name, dpc, index, run)
            key = run_key(task.identity, set_key, student_identity, index, run, seed)
            jobs.append(RunJob(key, task, set_key, student, student_identity, dpc, index, run, seed))
    return tuple(jobs)


def note_state(plan: Plan, artifacts: Artifacts, records: Sequence[Record]) -> None:
    """Fill in which sets are cached and which replicates have a final record."""
    plan.cached_sets = {key for key in plan.sets if artifacts.get("set", key) is not None}
    known = {record.key: record for record in records if record.status not in RETRIED}
    plan.done = {run.key: known[run.key] for cell in plan.cells for run in cell.runs if run.key in known}


@dataclass(frozen=True)
class Estimate:
    """Seconds of work left, from earlier records; `unknown` replicates had nothing to go by."""

    core_seconds: float
    unknown: int


def estimate(plan: Plan, records: Sequence[Record]) -> Estimate:
    """Medians of earlier records of the same student: first the same task and dpc, then the same student."""
    exact: dict[tuple[Any, ...], list[float]] = {}
    loose: dict[str, list[float]] = {}
    distil: dict[tuple[Any, ...], list[float]] = {}
    for record in records:
        if not record.finished:
            continue
        task, student, method = record.task.label, record.student.label, record.method.label
        exact.setdefault((task, student, record.dpc), []).append(record.time.student_s)
        loose.setdefault(student, []).append(record.time.student_s)
        distil.setdefault((task, method), []).append(record.time.distil_s or 0.0)
    runs = plan.missing_runs()
    total, unknown = 0.0, 0
    for run in runs:
        known = exact.get((run.task.choice.label, run.student.label, run.dpc)) or loose.get(run.student.label)
        if known:
            total += statistics.median(known)
        else:
            unknown += 1
    for job in plan.needed_sets(runs):
        known = distil.get((job.task.choice.label, job.method_label))
        total += statistics.median(known) if known else 0.0
    return Estimate(total, unknown)
