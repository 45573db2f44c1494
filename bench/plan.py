"""From a suite to the jobs that are still missing: which sets to distil, which students to train.

Nothing heavy is imported here: a plan is made from identities alone, without loading data.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench import seeds
from bench.api import MethodSpec, Spec, StudentSpec
from bench.data.assets import Assets
from bench.identities import identity, plugin_code, run_key, set_key, student_key, task_revision
from bench.jobs import PartsJob, PlannedPlugin, PlannedTask, RunJob, SetJob
from bench.params import plain, validate
from bench.parts import KeyedPart, part_jobs, parts_of
from bench.selection import Choice
from bench.store.artifacts import Artifacts
from bench.store.identity import key_of
from bench.store.record import Record
from bench.suite import Suite

RETRIED = frozenset({"failed", "timeout", "oom", "not_run"})  # statuses that a later run computes again


@dataclass(frozen=True)
class Cell:
    """task x method x dpc x student with its replicates; `key` identifies what the replicates have in common."""

    key: str
    task: PlannedTask
    method_name: str
    method_label: str
    method_params: dict[str, Any]
    student: PlannedPlugin
    student_key: str
    dpc: int | None
    runs: tuple[RunJob, ...]


@dataclass
class Plan:
    """The cells of a suite, and what of them is already there."""

    suite: str
    seed: int
    cells: list[Cell]
    sets: dict[str, SetJob]
    chosen: dict[tuple[str, str], Choice] = field(default_factory=dict)  # by kind and label
    parts: dict[str, tuple[KeyedPart, ...]] = field(default_factory=dict)  # by the key of the set
    cached_sets: set[str] = field(default_factory=set)
    contents: dict[str, str] = field(default_factory=dict)  # set key -> digest of the cached content, where noted
    done: dict[str, Record] = field(default_factory=dict)

    def missing_runs(self) -> list[RunJob]:
        """Replicates without a final record, in an order that finishes whole rounds of sets first."""
        # Each once: one table under two paths gives two cells with the same replicates.
        runs = {run.key: run for cell in self.cells for run in cell.runs if run.key not in self.done}
        return sorted(runs.values(), key=lambda run: (run.index, run.run))

    def needed_sets(self, runs: Iterable[RunJob]) -> list[SetJob]:
        """The sets that these runs train on and that are not in the cache."""
        keys = dict.fromkeys(run.set_key for run in runs)
        return [self.sets[key] for key in keys if key not in self.cached_sets]

    def preparations(self, sets: Iterable[SetJob]) -> list[PartsJob]:
        """The jobs that make what these sets share."""
        return part_jobs((job.task, job.method.label, self.parts.get(job.key, ())) for job in sets)

    def refused(self, run: RunJob) -> str | None:
        """Why a student will not use a set, where the specs tell before the set is made."""
        made, student = self.sets[run.set_key].method, self.choice(run.student).spec
        method = self.choice(made)
        assert isinstance(method.spec, MethodSpec)
        assert isinstance(student, StudentSpec)
        if not student.needs_texts or method.spec.has_texts(method.params):
            return None
        return f"sets of '{made.label}' have no text level, and this student reads texts alone"

    def without_examples(self, run: RunJob) -> bool:
        """Whether the set is empty."""
        spec = self.choice(self.sets[run.set_key].method).spec
        assert isinstance(spec, MethodSpec)
        return not spec.examples

    def part_keys(self, job: SetJob) -> tuple[str, ...]:
        """The keys of the parts that a set is made of."""
        return tuple(each.key for each in self.parts.get(job.key, ()))

    def tasks(self) -> list[PlannedTask]:
        """The tasks of the plan, each once."""
        return list({cell.task.revision: cell.task for cell in self.cells}.values())

    def choices(self) -> list[Choice]:
        """Every choice of the plan, each once."""
        return list(self.chosen.values())

    def wanted(self) -> list[Choice]:
        """The choices that the missing replicates need, each once."""
        runs = [run for run in self.missing_runs() if self.refused(run) is None]
        refs = [plugin for run in runs for plugin in (run.task.plugin, run.student)]
        refs += [job.method for job in self.needed_sets(runs)]
        return [self.chosen[name] for name in dict.fromkeys((ref.kind, ref.label) for ref in refs)]

    def choice(self, ref: PlannedPlugin) -> Choice:
        """The choice that a job names."""
        return self.chosen[ref.kind, ref.label]

    def add(self, *choices: Choice) -> None:
        """Let jobs name these choices."""
        self.chosen |= {(choice.spec.kind, choice.label): choice for choice in choices}


def planned(choice: Choice, source: str = "") -> PlannedPlugin:
    """A choice as jobs name it; `source`: of a spec that no registry holds."""
    spec = choice.spec
    return PlannedPlugin(spec.kind, spec.name, plain(choice.params), choice.label, plugin_code(spec), source)


def planned_task(choice: Choice, assets: Assets) -> PlannedTask:
    """A chosen task as jobs name it."""
    found = identity(choice, assets)
    return PlannedTask(planned(choice), found, task_revision(found))


def make_plan(suite: Suite, assets: Assets, artifacts: Artifacts, records: Sequence[Record]) -> Plan:
    """Every cell of the suite; `records` and the cache say what is there already."""
    plan = Plan(suite.name, suite.seed, [], {})
    plan.add(*suite.tasks, *suite.methods, *suite.students)
    students = chosen_students(suite, assets)
    methods = [
        (choice, [(own, planned(own), identity(own, assets)) for own in preparations(choice, suite.preparations)])
        for choice in suite.methods
    ]
    for task in [planned_task(choice, assets) for choice in suite.tasks]:
        for choice, prepared in methods:
            spec = choice.spec
            assert isinstance(spec, MethodSpec)
            for dpc in suite.dpc_for(plan.choice(task.plugin)) if spec.uses_dpc else (None,):
                count = len(prepared) if spec.one_set(choice.params) else suite.sets
                set_keys: list[str] = []
                for index in range(count):
                    own, method, method_identity = prepared[index % len(prepared)]
                    common = seeds.derive("common", suite.seed, task.plugin.name, dpc, index)
                    parts = parts_of(own, task.revision, assets, dpc, common)
                    # What makes the parts is named in them alone, so their keys are a part of the set's identity.
                    made_of = method_identity | ({"parts": [each.key for each in parts]} if parts else {})
                    if index == 0:
                        about = made_of  # the cell's, however many sets it has
                    job = _set_job(task, method, made_of, dpc, index, suite.seed, common)
                    plan.sets[job.key], plan.parts[job.key] = job, parts
                    set_keys.append(job.key)
                set_keys = [set_keys[index % count] for index in range(suite.sets)]
                if len(prepared) > 1:  # its sets are others than with one of these preparations
                    about = about | {"preparations": len(prepared)}
                for student in students:
                    runs = replicate_runs(task, set_keys, student, dpc, suite.runs, suite.seed)
                    key = cell_key(task, about, student.identity, dpc, suite.seed)
                    names = (spec.name, choice.label, plain(choice.params))
                    plan.cells.append(Cell(key, task, *names, student.plugin, student.key, dpc, runs))
    note_state(plan, artifacts, records)
    return plan


def preparations(choice: Choice, n: int) -> list[Choice]:
    """The method with n seeds in turn for what its sets share, under its one label; alone where it names no such seed.

    Raises UserError where the parameter does not take them.
    """
    spec = choice.spec
    assert isinstance(spec, MethodSpec)
    if n == 1 or not spec.prepared_by:
        return [choice]
    first, where = getattr(choice.params, spec.prepared_by), f"preparations of '{choice.label}'"
    numbers = [{spec.prepared_by: first + number} for number in range(n)]
    return [replace(choice, params=validate(spec, {**plain(choice.params), **each}, where)) for each in numbers]


def preparation_of(spec: Spec, params: Mapping[str, Any]) -> int | None:
    """The seed of what a method's sets share, None where it names none."""
    found = params.get(spec.prepared_by) if isinstance(spec, MethodSpec) and spec.prepared_by else None
    return None if found is None else int(found)


@dataclass(frozen=True)
class ChosenStudent:
    """A student of a suite with its identity, and the key of that."""

    plugin: PlannedPlugin
    identity: Mapping[str, Any]
    key: str


def chosen_students(suite: Suite, assets: Assets) -> list[ChosenStudent]:
    """The students of a suite."""
    found = [(planned(choice), identity(choice, assets)) for choice in suite.students]
    return [ChosenStudent(plugin, about, student_key(about)) for plugin, about in found]


def cell_key(task: PlannedTask, method: Any, student: Mapping[str, Any], dpc: int | None, base: int) -> str:
    """The key of a cell: its parts' identities, dpc and base seed; not how many replicates it has."""
    fields = {"task": task.identity, "method": method, "student": student, "dpc": dpc, "seed": base}
    return key_of({"kind": "cell", **fields})


def _set_job(
    task: PlannedTask, method: PlannedPlugin, about: dict[str, Any], dpc: int | None, index: int, base: int, common: int
) -> SetJob:
    seed = seeds.derive("set", base, task.plugin.name, method.name, dpc, index)
    fields = {"method": about, "dpc": dpc, "set": index, "seed": seed}
    return SetJob(set_key(task.revision, fields), fields, task, method, dpc, index, seed, common)


def replicate_runs(
    task: PlannedTask, set_keys: Sequence[str], student: ChosenStudent, dpc: int | None, runs: int, base: int
) -> tuple[RunJob, ...]:
    """`runs` replicates for each entry of `set_keys`; the learner's seed does not depend on the method."""
    jobs = []
    for index, made in enumerate(set_keys):
        for run in range(runs):
            seed = seeds.derive("run", base, task.plugin.name, student.plugin.name, dpc, index, run)
            key = run_key(task.revision, made, student.key, index, run, seed)
            jobs.append(RunJob(key, task, made, student.plugin, dpc, index, run, seed))
    return tuple(jobs)


def note_state(plan: Plan, artifacts: Artifacts, records: Sequence[Record]) -> None:
    """Fill in which sets are cached and which replicates have a final record."""
    plan.cached_sets = {key for key in plan.sets if artifacts.get("set", key) is not None}
    noted = ((key, artifacts.about("set", key).get("set_digest")) for key in plan.cached_sets)
    plan.contents = {key: digest for key, digest in noted if digest}
    known = {record.key: record for record in records if record.status not in RETRIED}
    plan.done = {run.key: known[run.key] for cell in plan.cells for run in cell.runs if run.key in known}


@dataclass(frozen=True)
class Estimate:
    """Seconds of work left; `unknown` replicates had nothing to go by, `rough` ones only what their plugins say."""

    core_seconds: float
    unknown: int
    rough: int = 0


def estimate(plan: Plan, records: Sequence[Record]) -> Estimate:
    """Medians of earlier records: of task, student and dpc, else of the student, else what its spec says."""
    exact: dict[Any, list[float]] = {}
    loose: dict[Any, list[float]] = {}
    distil: dict[Any, list[float]] = {}
    for record in records:
        if not record.finished:
            continue
        task, student, method = record.task.label, record.student.label, record.method.label
        exact.setdefault((task, student, record.dpc), []).append(record.time.student_s)
        loose.setdefault(student, []).append(record.time.student_s)
        distil.setdefault((task, method), []).append(record.time.distil_s or 0.0)
    of_cell, of_student, of_set = map(_medians, (exact, loose, distil))
    runs = plan.missing_runs()
    total, unknown, rough = 0.0, 0, 0
    for run in runs:
        known = of_cell((run.task.label, run.student.label, run.dpc)) or of_student(run.student.label)
        if known is None:
            spec = plan.choice(run.student).spec
            assert isinstance(spec, StudentSpec)
            known = spec.rough_seconds
            rough += known is not None
        total += known or 0.0
        unknown += known is None
    total += sum(of_set((job.task.label, job.method.label)) or 0.0 for job in plan.needed_sets(runs))
    return Estimate(total, unknown, rough)


def _medians(seconds: Mapping[Any, list[float]]) -> Callable[[Any], float | None]:
    found = {name: statistics.median(values) for name, values in seconds.items()}
    return found.get
