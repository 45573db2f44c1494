"""Executes a plan: tasks are checked, sets distilled, students trained; every replicate becomes a record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from bench.environment import environment
from bench.errors import PluginError, UserError
from bench.executors.base import Executor, Finished, Job, Outcome, Progressed
from bench.plan import Cell, Plan, PrepareJob, RunJob, SetJob, TaskPart, VerifyJob
from bench.store.identity import key_of
from bench.store.record import PlannedCell, PluginRef, Record, Seeds, SetCard, StudentRef, TaskCard, TaskRef, Times
from bench.store.results import ResultStore

EXIT_CODES = {"plugin": 3, "usage": 1}  # outcomes that are recorded as failed


class Report(Protocol):
    """Where progress goes."""

    def start(self, total: int, finished: int, workers: int, line: str = "") -> None: ...
    def step(self, line: str, seconds: float) -> None: ...
    def inside(self, slot: int, line: str) -> None: ...
    def warn(self, line: str) -> None: ...


@dataclass
class Summary:
    """How a run ended: replicates by status, and the first reason of each failing cell."""

    statuses: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    tracebacks: dict[str, str] = field(default_factory=dict)
    exit_code: int = 0  # of the worst failure: 3 a broken plugin, 1 a user's mistake, 2 anything else


@dataclass
class _State:
    """What is left to do: preparations before the sets that wait for them, sets before their runs, all in order."""

    preparations: list[PrepareJob]
    blocked: dict[str, SetJob]  # sets that wait for a preparation
    sets: dict[str, SetJob]
    waiting: dict[str, list[RunJob]]  # set key -> runs that need it
    ready: list[RunJob]


class Runner:
    """One run of a plan. The parent process writes all records; workers only compute."""

    def __init__(
        self,
        plan: Plan,
        store: ResultStore,
        executor: Executor,
        report: Report,
        *,
        device: str = "cpu",
        timeout: float | None = None,
        on_record: Callable[[], None] | None = None,
    ) -> None:
        self.plan = plan
        self.store = store
        self.executor = executor
        self.report = report
        self.timeout = timeout
        self.on_record = on_record
        self.summary = Summary()
        self.environment = environment(device)
        self._cells = {run.key: cell for cell in plan.cells for run in cell.runs}
        self._last: dict[int, tuple[Any, ...]] = {}  # slot -> what its worker has loaded
        self._busy: dict[int, Job] = {}
        self._sets: dict[str, SetCard] = {}  # set key -> its card, without its rows
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

    def _check_tasks(self, tasks: Mapping[str, TaskPart]) -> dict[str, Outcome]:
        """Load every task once before anything is computed; a user's mistake stops here."""
        todo = list(tasks.values())
        broken: dict[str, Outcome] = {}
        while todo or self._busy:
            for slot in self._free():
                if todo:
                    self._start(slot, todo.pop(0))
            for event in self.executor.wait(1.0):
                if isinstance(event, Progressed):
                    self._inside(event)
                    continue
                part, outcome = self._take(event)
                assert isinstance(part, TaskPart)
                if not fits(self.plan, part, outcome):
                    broken[part.revision] = outcome
                    continue
                self.store.put_task(part.revision, outcome.value)
        return broken

    def _compute(self, runs: list[RunJob], broken: Mapping[str, Outcome]) -> None:
        if not runs:
            return
        total = sum(len(cell.runs) for cell in self.plan.cells)
        self.report.start(total, len(self.plan.done), len(self.executor.slots))
        possible = [run for run in runs if run.task.revision not in broken]
        keys = dict.fromkeys(run.set_key for run in possible)
        # A set that is cached but not yet in this output folder is read once, for its readable copy.
        absent = [key for key in keys if key not in self.plan.cached_sets or self.store.set(key) is None]
        state = self._state([self.plan.sets[key] for key in absent])
        for run in possible:
            state.waiting.get(run.set_key, state.ready).append(run)
        for run in runs:
            if run.task.revision in broken:
                self._record(run, broken[run.task.revision], "loading the task: ")
        while state.preparations or state.sets or state.ready or self._busy:
            self._fill(state)
            for event in self.executor.wait(1.0):
                if isinstance(event, Progressed):
                    self._inside(event)
                else:
                    self._finish(state, event)

    def _state(self, sets: list[SetJob]) -> _State:
        missing = [job for job in sets if job.key not in self.plan.cached_sets]
        preparations = self.plan.preparations(missing)
        blocked = {job.key: job for job in missing if any(one.covers(job) for one in preparations)}
        free = {job.key: job for job in sets if job.key not in blocked}
        return _State(preparations, blocked, free, {job.key: [] for job in sets}, [])

    def _fill(self, state: _State) -> None:
        for slot in self._free():
            waiting = (state.preparations, list(state.sets.values()), state.ready)
            job = next((found for jobs in waiting if (found := self._pick(slot, jobs)) is not None), None)
            if isinstance(job, PrepareJob):
                state.preparations.remove(job)
            elif isinstance(job, SetJob):
                del state.sets[job.key]
            elif isinstance(job, RunJob):
                state.ready.remove(job)
            else:
                return
            self._start(slot, job)

    def _pick(self, slot: int, jobs: list[Any]) -> Any:
        """The next job: what this worker has loaded, else a task that no other worker is on, else the first."""
        if not jobs:
            return None
        mine = self._last.get(slot)
        others = {self._place(job)[0] for number, job in self._busy.items() if number != slot}
        for wanted in (
            lambda job: self._place(job) == mine,
            lambda job: mine is not None and self._place(job)[0] == mine[0],
            lambda job: self._place(job)[0] not in others,
        ):
            found = next((job for job in jobs if wanted(job)), None)
            if found is not None:
                return found
        return jobs[0]

    @staticmethod
    def _place(job: Job) -> tuple[Any, ...]:
        if isinstance(job, TaskPart):
            return (job.revision, None)
        return (job.task.revision, job.student.label if isinstance(job, RunJob) else None)

    def _finish(self, state: _State, event: Finished) -> None:
        job, outcome = self._take(event)
        if isinstance(job, PrepareJob):
            self._release(state, job, outcome)
        elif isinstance(job, SetJob):
            runs = state.waiting.pop(job.key, [])
            if outcome.status == "ok":
                self.store.put_set(job.key, *outcome.value)
                state.ready += runs
                state.ready.sort(key=lambda run: (run.index, run.run))
                return
            for run in runs:
                self._record(run, outcome, "distilling: ")
        elif isinstance(job, RunJob):
            self._record(job, outcome)

    def _release(self, state: _State, job: PrepareJob, outcome: Outcome) -> None:
        """Let the sets of a finished preparation go on; the runs of the variants that it failed for are over."""
        failed = outcome.value if outcome.status == "ok" else {choice.label: outcome for choice in job.methods}
        for one in [one for one in state.blocked.values() if job.covers(one)]:
            del state.blocked[one.key]
            if one.method_label not in failed:
                state.sets[one.key] = one
                continue
            for run in state.waiting.pop(one.key, []):
                self._record(run, failed[one.method_label], "preparing: ")

    def _record(self, run: RunJob, outcome: Outcome, stage: str = "") -> None:
        cell = self._cells[run.key]
        record = self._make_record(cell, run, outcome, stage)
        self.store.append(record)
        status = record.status
        self.summary.statuses[status] += 1
        name = cell_name(cell)
        result = f"{status}: {record.reason}" if record.score is None else f"{100 * record.score:.1f}"
        if status not in {"ok", "not_applicable"} and name not in self.summary.failures:
            self.summary.failures[name] = f"{status}: {record.reason}"
            self.summary.exit_code = worse(self.summary.exit_code, EXIT_CODES.get(outcome.status, 2))
            if outcome.traceback:
                self.summary.tracebacks[name] = outcome.traceback
        self.report.step(f"{name} set {run.index} run {run.run}: {result} ({outcome.seconds:.1f} s)", outcome.seconds)
        if self.on_record is not None:
            self.on_record()

    def _make_record(self, cell: Cell, run: RunJob, outcome: Outcome, stage: str) -> Record:
        value = outcome.value if outcome.status == "ok" else {}
        set_job = self.plan.sets[run.set_key]
        task, made = run.task.choice, self._set(run.set_key)
        status: Any = "failed" if outcome.status in EXIT_CODES else outcome.status
        return Record(
            key=run.key,
            status=status,
            reason=f"{stage}{outcome.reason}" if outcome.status != "ok" else None,
            cell=cell.key,
            suite=self.plan.suite,
            task=TaskRef(
                name=task.spec.name,
                label=task.label,
                params=task.params.model_dump(mode="json"),
                revision=run.task.revision,
            ),
            method=PluginRef(name=cell.method_name, label=cell.method_label, params=cell.method_params),
            student=StudentRef(
                name=run.student.spec.name,
                label=run.student.label,
                params=run.student.params.model_dump(mode="json"),
                key=key_of({"kind": "student", "student": run.student_identity}),
            ),
            dpc=run.dpc,
            set=run.index,
            run=run.run,
            seed=Seeds(base=self.plan.seed, set=set_job.seed, run=run.seed),
            set_key=run.set_key,
            set_digest=made.set_digest if made else None,
            near_test=made.near_test if made else None,
            league=value.get("league"),
            metric=value.get("metric"),
            score=value.get("score"),
            metrics=value.get("metrics", {}),
            metrics_code=value.get("metrics_code"),
            n_train=value.get("n_train"),
            predictions=value.get("predictions"),
            time=Times(
                finished=datetime.now(UTC).isoformat(timespec="seconds"),
                distil_s=made.seconds if made else 0.0,
                made_of=made.made_of if made else None,
                student_s=round(outcome.seconds, 3),
            ),
            environment={**self.environment},
        )

    def _set(self, set_key: str) -> SetCard | None:
        """The card of a set, without its rows; None when it was not made."""
        if set_key not in self._sets:
            found = self.store.set(set_key)
            if found is None:
                return None
            self._sets[set_key] = replace(found, rows=())
        return self._sets[set_key]

    def _free(self) -> list[int]:
        return [slot for slot in self.executor.slots if slot not in self._busy]

    def _start(self, slot: int, job: Job) -> None:
        self._busy[slot] = job
        self._last[slot] = self._place(job)
        self.executor.start(slot, job, self.timeout)

    def _take(self, event: Finished) -> tuple[Job, Outcome]:
        self.report.inside(event.slot, "")
        for line in event.outcome.warnings:
            if line not in self._warned:
                self._warned.add(line)
                self.report.warn(f"{line} (first in: {job_name(event.job)})")
        return self._busy.pop(event.slot), event.outcome

    def _inside(self, event: Progressed) -> None:
        self.report.inside(event.slot, f"{event.what} {event.done}/{event.total}")


def fits(plan: Plan, part: TaskPart, loaded: Outcome) -> bool:
    """Whether a task that was loaded serves a plan; False for a bug. Raises a user's mistake and a broken plugin."""
    if loaded.status in EXIT_CODES:
        raise (PluginError if loaded.status == "plugin" else UserError)(str(loaded.reason))
    if loaded.status != "ok":
        return False
    card: TaskCard = loaded.value
    counts = card.class_counts
    smallest = min(range(len(counts)), key=counts.__getitem__)
    for job in plan.sets.values():
        coreset = job.method is not None and "coreset" in job.method.spec.tags
        if job.task.revision == part.revision and coreset and job.dpc is not None and job.dpc > counts[smallest]:
            raise UserError(
                f"dpc {job.dpc} is too large for task '{part.choice.label}': class "
                f"'{card.label_names[smallest]}' has {counts[smallest]} train rows"
            )
    return True


def worse(one: int, other: int) -> int:
    """The exit code that says more about what is to be mended."""
    return min(one, other, key=(3, 1, 2, 0).index)


def cell_name(cell: Cell) -> str:
    """`bbc dpc 5 kcenters minilm`, as in progress lines and errors."""
    dpc = f"dpc {cell.dpc}" if cell.dpc is not None else "all data"
    return f"{cell.task.choice.label} {dpc} {cell.method_label} {cell.student.label}"


def job_name(job: Job) -> str:
    """`words dpc 2 pick set 0`, as in warnings."""
    if isinstance(job, TaskPart):
        return f"loading {job.choice.label}"
    if isinstance(job, VerifyJob):
        return f"again: {job_name(job.job)}"
    task = job.task.choice.label
    if isinstance(job, PrepareJob):
        return f"preparing on {task}"
    dpc = f"dpc {job.dpc}" if job.dpc is not None else "all data"
    if isinstance(job, SetJob):
        return f"{task} {dpc} {job.method_label} set {job.index}"
    return f"{task} {dpc} {job.student.label} set {job.index} run {job.run}"


def planned_cell(cell: Cell, suite: str) -> PlannedCell:
    """What the result store keeps of a planned cell, so that a board can name what is missing."""
    return PlannedCell(
        suite=suite,
        key=cell.key,
        task=cell.task.choice.label,
        method=cell.method_label,
        student=cell.student.label,
        dpc=cell.dpc,
        replicates=tuple(run.key for run in cell.runs),
    )
