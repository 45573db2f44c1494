"""Executes a plan: tasks are checked, parts made, sets distilled, students trained; each replicate is a record."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from pydantic import TypeAdapter

from bench.api import MethodSpec, StudentSpec
from bench.data.assets import Assets
from bench.environment import environment
from bench.errors import PluginError, UserError
from bench.executors.base import Executor, Finished, Progressed, Slot
from bench.jobs import Job, LoadJob, Outcome, PartsJob, PlannedTask, RunJob, RunsJob, SetJob, dpc_name, outcome_of
from bench.models import read_by
from bench.plan import Cell, Plan, preparation_of
from bench.progress import TimeLeft
from bench.scheduler import Item, Scheduler
from bench.store.predictions import Predictions
from bench.store.record import (
    Memory,
    Models,
    PlannedCell,
    PluginRef,
    Record,
    Seeds,
    SetCard,
    StudentRef,
    TaskCard,
    TaskRef,
    Times,
)
from bench.store.results import ResultStore

EXIT_CODES = {"plugin": 3, "usage": 1}  # outcomes that are recorded as failed
PARTS, SETS, RUNS = range(3)  # stages
# Type of a device -> the most runs on one set that a job holds there; how many of them train at once, a student says.
TOGETHER = {"cuda": 64}
WITHOUT_EXAMPLES = 64  # the same for an empty set, on any device: who draws nothing there answers once for all
WRITE_SECONDS = 0.25  # how long a finished replicate may wait to be written, and told, with others
TASK_CARD, SET_CARD = TypeAdapter(TaskCard), TypeAdapter(SetCard)


class Report(Protocol):
    """Where progress goes."""

    def start(self, left: TimeLeft, total: int, finished: int, workers: int, line: str = "") -> None: ...
    def step(self, line: str, seconds: float, kind: str = "") -> None: ...
    def inside(self, slot: int, line: str) -> None: ...
    def warn(self, line: str) -> None: ...


@dataclass
class Summary:
    """How a run ended: replicates by status, and the first reason of each failing cell."""

    statuses: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    tracebacks: dict[str, str] = field(default_factory=dict)
    exit_code: int = 0  # of the worst failure: 3 a broken plugin, 1 a user's mistake, 2 anything else


@dataclass(frozen=True)
class _Ended:
    """How something ended, on which device, and at which stage of what waits for it."""

    outcome: Outcome
    device: str
    stage: str = ""


class Runner:
    """One run of a plan. The parent process writes all records; workers only compute."""

    def __init__(
        self,
        plan: Plan,
        store: ResultStore,
        executor: Executor,
        report: Report,
        assets: Assets,
        *,
        timeout: float | None = None,
        on_record: Callable[[], None] | None = None,
        together: Mapping[str, int] = TOGETHER,
    ) -> None:
        """together: type of a device -> the most runs on one set that one of its jobs may hold."""
        self.plan = plan
        self.store = store
        self.executor = executor
        self.report = report
        self.assets = assets
        self.timeout = timeout
        self.on_record = on_record
        self.together = together
        self.summary = Summary()
        self._cells = {run.key: cell for cell in plan.cells for run in cell.runs}
        self._schedule = Scheduler()
        self._lost: dict[str, _Ended] = {}  # keys of parts and sets that will never be there
        self._sets: dict[str, SetCard] = {}  # set key -> its card, without its rows
        self._heads: dict[str, dict[str, Any]] = {}  # cell key -> what all its records have
        self._environments: dict[str, dict[str, str]] = {}
        self._finished: list[tuple[RunJob, _Ended]] = []  # that are not written yet
        self._written = 0.0  # when the last ones were
        self._busy: set[Slot] = set()
        self._warned: set[str] = set()

    def run(self) -> Summary:
        """Compute what is missing. Ctrl-C leaves all finished records in the store."""
        runs = self.plan.missing_runs()
        try:
            absent = [task for task in self.plan.tasks() if not self.store.has_task(task.revision)]
            broken = self._check_tasks({task.revision: task for task in (*absent, *(run.task for run in runs))})
            self.store.put_plan([planned_cell(cell, self.plan.suite) for cell in self.plan.cells])
            self._compute(runs, broken)
        finally:
            self.executor.close()
        return self.summary

    def _check_tasks(self, tasks: Mapping[str, PlannedTask]) -> dict[str, _Ended]:
        """Load every task once before anything is computed; a user's mistake stops here."""
        todo = list(map(LoadJob, tasks.values()))
        broken: dict[str, _Ended] = {}
        while todo or self._busy:
            for slot in self._free():
                if todo:
                    self._start(slot, todo.pop(0))
            for event in self._wait():
                if fits(self.plan, event.job.task, event.outcome):
                    self.store.put_task(
                        event.job.task.revision, TASK_CARD.validate_json(json.dumps(event.outcome.value))
                    )
                else:
                    broken[event.job.task.revision] = _ended(event, "loading the task: ")
        return broken

    def _compute(self, runs: list[RunJob], broken: Mapping[str, _Ended]) -> None:
        if not runs:
            return
        total = sum(len(cell.runs) for cell in self.plan.cells)
        self.report.start(self._time_left(runs), total, len(self.plan.done), len(self.executor.slots))
        self._finished += [(run, broken[run.task.revision]) for run in runs if run.task.revision in broken]
        runs = [run for run in runs if run.task.revision not in broken]
        refused = {run.key: reason for run in runs if (reason := self.plan.refused(run)) is not None}
        device = self.executor.slots[0].device_type
        for run in runs:
            if run.key in refused:
                self._finished.append((run, _Ended(Outcome("not_applicable", refused[run.key]), device)))
        self._line_up([run for run in runs if run.key not in refused])
        try:
            self._work()
        finally:
            self._write()  # also what was finished when Ctrl-C came
        if len(self._schedule):
            raise RuntimeError(f"{len(self._schedule)} jobs wait for what no job makes")

    def _work(self) -> None:
        """Give every free slot a job until none is left."""
        finish: dict[str, Callable[[Finished], None]] = {
            PartsJob.what: self._finish_parts,
            SetJob.what: self._finish_set,
            RunJob.what: self._finish_run,
            RunsJob.what: self._finish_runs,
        }
        while True:
            for slot in self._free():
                if (item := self._schedule.pick(slot.number)) is not None:
                    self._start(slot, self._share(item.job, slot))
            if self._finished and time.monotonic() - self._written > WRITE_SECONDS:
                self._write()  # while workers work
            if not self._busy:
                return
            for event in self._wait(WRITE_SECONDS if self._finished else 1.0):
                self._schedule.free(event.slot.number)
                finish[event.job.what](event)

    def _line_up(self, runs: list[RunJob]) -> None:
        """Put everything that is missing in line: parts before sets before runs, each in the order of the runs."""
        keys = dict.fromkeys(run.set_key for run in runs)
        # A set that is cached but not yet in this output folder is read once, for its readable copy.
        sets = [self.plan.sets[key] for key in keys if key not in self.plan.cached_sets or not self._keep_set(key)]
        missing = [job for job in sets if job.key not in self.plan.cached_sets]
        parts = self.plan.preparations(missing)
        for number, job in enumerate(parts):
            self._schedule.add(Item(job, job.place, PARTS, (number,), {need for needs in job.needs for need in needs}))
        for number, made in enumerate(sets):
            needs = self.plan.part_keys(made) if made.key not in self.plan.cached_sets else ()
            self._schedule.add(Item(made, made.place, SETS, (number,), needs))
        absent = {job.key for job in sets}
        slots = self.executor.slots
        empty = [run for run in runs if self.plan.without_examples(run)]
        others = [run for run in runs if not self.plan.without_examples(run)]
        most = max(self.together.get(slot.device_type, 1) for slot in slots)
        most = min(most, -(-len(others) // len(slots)))
        for group in (*groups(empty, WITHOUT_EXAMPLES), *groups(others, most)):
            set_key = group[0].set_key
            self._schedule.add(run_item(group, (set_key,) if set_key in absent else ()))

    def _share(self, job: Any, slot: Slot) -> Job:
        """What of a job this slot's device does at once; the rest goes back in line."""
        most = self.together.get(slot.device_type, 1)
        if job.what != RunsJob.what or len(job.runs) <= most or self.plan.without_examples(job.runs[0]):
            return job
        self._schedule.put(run_item(job.runs[most:]))
        return run_item(job.runs[:most]).job

    def _finish_parts(self, event: Finished) -> None:
        assert isinstance(event.job, PartsJob)
        ended = _ended(event, "preparing: ")
        for key in event.job.keys:
            if event.outcome.status != "ok":
                self._settle(key, ended)
            elif key in event.outcome.value:
                self._settle(key, replace(ended, outcome=outcome_of(event.outcome.value[key])))
            else:
                self._settle(key)

    def _finish_set(self, event: Finished) -> None:
        assert isinstance(event.job, SetJob)
        key = event.job.key
        if event.outcome.status != "ok":
            self._settle(key, _ended(event, "distilling: "))
            return
        card = SET_CARD.validate_json(json.dumps(event.outcome.value["card"]))
        if self.store.put_set(key, card, event.outcome.value["reports"]):
            self.report.warn(
                f"{event.job.title} was made again with other content (another machine or library, perhaps): its older "
                "records trained on what was there before, and count as another set"
            )
        self._sets[key] = replace(card, rows=(), diagnostics={})
        self._settle(key)

    def _finish_run(self, event: Finished) -> None:
        assert isinstance(event.job, RunJob)
        self._finished.append((event.job, _ended(event)))

    def _finish_runs(self, event: Finished) -> None:
        """Those that were done share the seconds; the others wait again, one at a time where the job ended badly."""
        job, outcome = event.job, event.outcome
        assert isinstance(job, RunsJob)
        if outcome.status != "ok":
            if outcome.status != "not_applicable":
                self.report.warn(f"{job.title} together: {outcome.status}: {outcome.reason}; now one at a time")
            for run in job.runs:
                self._schedule.put(run_item([run]))
            return
        done = len(outcome.value)
        for run, value in zip(job.runs, outcome.value, strict=False):
            alone = replace(outcome, value=value, seconds=outcome.seconds / done)
            self._finished.append((run, replace(_ended(event), outcome=alone)))
        if done < len(job.runs):
            self._schedule.put(run_item(job.runs[done:]))

    def _settle(self, key: str, lost: _Ended | None = None) -> None:
        """Note that a part or set is there, or why it never will be; what waited for it goes on, or is lost too."""
        todo = [(key, lost)]
        while todo:
            key, lost = todo.pop()
            if lost is not None:
                self._lost[key] = lost
            for item in self._schedule.settle(key):
                todo += self._go_on(item)

    def _go_on(self, item: Item) -> list[tuple[str, _Ended]]:
        """Let a job be picked whose needs are settled; what is lost with them, when some are."""
        job = item.job
        if job.what == PartsJob.what:
            return self._go_on_with_parts(item)
        reason = next((self._lost[need] for need in item.needs if need in self._lost), None)
        if reason is None:
            self._schedule.put(item)
        elif job.what == SetJob.what:
            return [(job.key, reason)]
        else:
            self._finished += [(run, reason) for run in runs_of(job)]
        return []

    def _go_on_with_parts(self, item: Item) -> list[tuple[str, _Ended]]:
        """A group of parts goes on without those whose needs failed."""
        job: PartsJob = item.job
        lost = {
            key: self._lost[need]
            for key, needs in zip(job.keys, job.needs, strict=True)
            for need in needs
            if need in self._lost
        }
        if len(lost) < len(job.keys):
            self._schedule.put(replace(item, job=without(job, lost)))
        return list(lost.items())

    def _write(self) -> None:
        """Append the finished replicates by one sync, then say so."""
        finished = list(self._finished)
        records = [self._make_record(run, ended) for run, ended in finished]
        self.store.append(*records)
        del self._finished[: len(finished)]  # not before: Ctrl-C may come in between, and twice is harmless
        self._written = time.monotonic()
        for (run, ended), record in zip(finished, records, strict=True):
            self._tell(run, ended.outcome, record)
        if finished and self.on_record is not None:
            self.on_record()

    def _tell(self, run: RunJob, outcome: Outcome, record: Record) -> None:
        status = record.status
        self.summary.statuses[status] += 1
        name = cell_name(self._cells[run.key])
        result = f"{status}: {record.reason}" if record.score is None else f"{100 * record.score:.1f}"
        if status not in {"ok", "not_applicable"}:
            self.summary.exit_code = worse(self.summary.exit_code, EXIT_CODES.get(outcome.status, 2))
        if status not in {"ok", "not_applicable"} and name not in self.summary.failures:
            self.summary.failures[name] = f"{status}: {record.reason}"
            if outcome.traceback:
                self.summary.tracebacks[name] = outcome.traceback
        line = f"{name} set {run.index} run {run.run}: {result} ({outcome.seconds:.1f} s)"
        self.report.step(line, outcome.seconds, _kind(run))

    def _time_left(self, runs: list[RunJob]) -> TimeLeft:
        rough: dict[str, float] = {}
        for run in runs:
            spec = self.plan.choice(run.student).spec
            assert isinstance(spec, StudentSpec)
            if spec.rough_seconds is not None:
                rough[_kind(run)] = spec.rough_seconds
        return TimeLeft(map(_kind, runs), rough)

    def _make_record(self, run: RunJob, ended: _Ended) -> Record:
        outcome = ended.outcome
        value = outcome.value if outcome.status == "ok" else {}
        predictions = value.get("predictions")
        made = self._sets.get(run.set_key)
        digest = value.get("set_digest", made.set_digest if made else None)  # of what the student trained on
        if made is not None and made.set_digest != digest:
            made = None  # the card is of other content
        status: Any = "failed" if outcome.status in EXIT_CODES else outcome.status
        if ended.device not in self._environments:
            self._environments[ended.device] = environment(ended.device)
        head = self._head(self._cells[run.key])
        job = self.plan.sets[run.set_key]
        if not job.given:
            head = head | {"method": replace(head["method"], params=job.method.params)}  # of this preparation
            head |= {"preparation": preparation_of(self.plan.choice(job.method).spec, job.method.params)}
        if value.get("encoder"):
            encoder = {ref: None if found is None else tuple(found) for ref, found in value["encoder"].items()}
            head = head | {"models": replace(head["models"], encoder=encoder)}
        return Record(
            **head,
            key=run.key,
            status=status,
            reason=f"{ended.stage}{outcome.reason}" if outcome.status != "ok" else None,
            dpc=run.dpc,
            set=run.index,
            run=run.run,
            seed=Seeds(base=self.plan.seed, set=job.seed, run=run.seed),
            set_key=run.set_key,
            set_digest=digest,
            near_test=made.near_test if made else None,
            league=value.get("league"),
            metric=value.get("metric"),
            score=value.get("score"),
            metrics=value.get("metrics", {}),
            metrics_code=value.get("metrics_code"),
            n_train=value.get("n_train"),
            n_bytes=value.get("n_bytes"),
            chosen_on=made.chosen_on if made else None,
            train_copies=made.train_copies if made else None,
            predictions=None if predictions is None else Predictions(**predictions),
            time=Times(
                finished=datetime.now(UTC).isoformat(timespec="seconds"),
                distil_s=made.seconds if made else None,
                made_of=made.made_of if made else None,
                student_s=0.0 if ended.stage else round(outcome.seconds, 3),
                distil_memory=made.memory if made else None,
                student_memory=Memory(**value["memory"]) if value.get("memory") else None,
            ),
            environment={**self._environments[ended.device]},
        )

    def _head(self, cell: Cell) -> dict[str, Any]:
        """What all records of a cell have."""
        if cell.key not in self._heads:
            task, student = cell.task.plugin, cell.student
            revision = cell.task.revision
            self._heads[cell.key] = {
                "cell": cell.key,
                "suite": self.plan.suite,
                "task": TaskRef(name=task.name, label=task.label, params=dict(task.params), revision=revision),
                "models": self._models(cell),
                "method": PluginRef(name=cell.method_name, label=cell.method_label, params=cell.method_params),
                "student": StudentRef(
                    name=student.name, label=student.label, params=dict(student.params), key=cell.student_key
                ),
            }
        return self._heads[cell.key]

    def _models(self, cell: Cell) -> Models:
        """The models of a cell's method and student, by what lies here once a replicate has ended."""
        made = self.plan.sets[cell.runs[0].set_key]
        method = None if made.given else read_by(self.plan.choice(made.method), self.assets)
        return Models(method=method, encoder={}, student=read_by(self.plan.choice(cell.student), self.assets))

    def _keep_set(self, key: str) -> bool:
        """Note what records keep of a set, from its card; False when there is none of the content in the cache."""
        if key not in self._sets:
            found = self.store.set(key)
            if found is None or self.plan.contents.get(key, found.set_digest) != found.set_digest:
                return False
            kept = {name: value for name, value in found.diagnostics.items() if name == "chosen_on"}
            self._sets[key] = replace(found, rows=(), diagnostics=kept)
        return True

    def _free(self) -> list[Slot]:
        return [slot for slot in self.executor.slots if slot not in self._busy]

    def _start(self, slot: Slot, job: Job) -> None:
        self._busy.add(slot)
        share = len(job.runs) if isinstance(job, RunsJob) else 1  # each run has its time
        self.executor.start(slot, job, self.timeout and self.timeout * share)

    def _wait(self, seconds: float = 1.0) -> list[Finished]:
        """The jobs that have ended since the last call; progress and warnings are passed on."""
        ended = []
        for event in self.executor.wait(seconds):
            if isinstance(event, Progressed):
                self.report.inside(event.slot.number, f"{event.what} {event.done}/{event.total}")
                continue
            self.report.inside(event.slot.number, "")
            for line in event.outcome.warnings:
                if line not in self._warned:
                    self._warned.add(line)
                    self.report.warn(f"{line} (first in: {event.job.title})")
            self._busy.remove(event.slot)
            ended.append(event)
        return ended


def _ended(event: Finished, stage: str = "") -> _Ended:
    return _Ended(event.outcome, event.slot.device_type, stage)


def groups(runs: Sequence[RunJob], most: int) -> list[tuple[RunJob, ...]]:
    """The runs by set and student, at most so many in a group, each in the order of its first run."""
    found: dict[tuple[str, str], list[list[RunJob]]] = {}
    for run in runs:
        mates = found.setdefault((run.set_key, run.student.label), [[]])
        if len(mates[-1]) == most:
            mates.append([])
        mates[-1].append(run)
    return [tuple(group) for mates in found.values() for group in mates]


def run_item(runs: Sequence[RunJob], needs: Collection[str] = ()) -> Item:
    """Runs of one set and student in line, as one job."""
    job = runs[0] if len(runs) == 1 else RunsJob(tuple(runs))
    return Item(job, job.place, RUNS, (runs[0].index, runs[0].run), needs)


def runs_of(job: RunJob | RunsJob) -> tuple[RunJob, ...]:
    """The runs of a job, one or more."""
    return job.runs if isinstance(job, RunsJob) else (job,)


def without(job: PartsJob, keys: Mapping[str, Any]) -> PartsJob:
    """The same job for the other parts."""
    kept = [number for number, key in enumerate(job.keys) if key not in keys]
    return replace(
        job,
        parts=tuple(job.parts[number] for number in kept),
        keys=tuple(job.keys[number] for number in kept),
        needs=tuple(job.needs[number] for number in kept),
    )


def fits(plan: Plan, task: PlannedTask, loaded: Outcome) -> bool:
    """Whether a task that was loaded serves a plan; False for a bug. Raises a user's mistake and a broken plugin."""
    if loaded.status in EXIT_CODES:
        raise (PluginError if loaded.status == "plugin" else UserError)(str(loaded.reason))
    if loaded.status != "ok":
        return False
    counts = loaded.value["class_counts"]
    smallest = min(range(len(counts)), key=counts.__getitem__)
    for job in plan.sets.values():
        if job.task.revision == task.revision and job.dpc is not None and job.dpc > counts[smallest]:
            spec = plan.choice(job.method).spec
            if isinstance(spec, MethodSpec) and spec.selects:
                raise UserError(
                    f"dpc {job.dpc} is too large for task '{task.label}': class "
                    f"'{loaded.value['label_names'][smallest]}' has {counts[smallest]} train rows"
                )
    return True


def worse(one: int, other: int) -> int:
    """The exit code that says more about what is to be mended."""
    return min(one, other, key=(3, 1, 2, 0).index)


def _kind(run: RunJob) -> str:
    """Replicates that take about as long."""
    return f"{run.task.label} {run.student.label}"


def cell_name(cell: Cell) -> str:
    """`bbc dpc 5 kcenters minilm`, as in progress lines and errors."""
    return f"{cell.task.label} {dpc_name(cell.dpc)} {cell.method_label} {cell.student.label}"


def planned_cell(cell: Cell, suite: str) -> PlannedCell:
    """What the result store keeps of a planned cell, so that a board can name what is missing."""
    return PlannedCell(
        suite=suite,
        key=cell.key,
        task=cell.task.label,
        method=cell.method_label,
        student=cell.student.label,
        dpc=cell.dpc,
        replicates=tuple(run.key for run in cell.runs),
    )
