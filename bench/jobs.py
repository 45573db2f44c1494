"""Jobs and how they end, as plain data that any process can receive: JSON is their form on the way.

A job names its plugins; the worker that gets it finds their specs in its own registry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar, Literal, Protocol

from bench.api import Kind, Part

Status = Literal["ok", "failed", "timeout", "oom", "not_applicable", "usage", "plugin"]
Place = tuple[str, str]  # revision of a task and label of a student, or "": what a worker has loaded after a job
WORKER = "bench.work.worker:Worker"  # what does jobs: executors are told it, so that they import no worker


@dataclass(frozen=True)
class PlannedPlugin:
    """A chosen plugin as a job names it."""

    kind: Kind
    name: str
    params: Mapping[str, Any]  # JSON values, every default resolved
    label: str  # as selected
    code: str = ""  # digest of its code when the job was planned
    source: str = ""  # "package.module:function", called with the name, gives the spec that no registry holds


@dataclass(frozen=True)
class PlannedTask:
    """A task with its identity; `revision` is the key of that."""

    plugin: PlannedPlugin
    identity: Mapping[str, Any]
    revision: str

    @property
    def label(self) -> str:
        return self.plugin.label


class Job(Protocol):
    """What all kinds of job have in common."""

    what: ClassVar[str]

    @property
    def task(self) -> PlannedTask: ...

    @property
    def title(self) -> str:
        """`words dpc 2 pick set 0`, as in warnings."""
        ...

    @property
    def place(self) -> Place: ...


@dataclass(frozen=True)
class LoadJob:
    """Load a task and describe it."""

    what: ClassVar[str] = "load"
    task: PlannedTask

    @property
    def title(self) -> str:
        return f"loading {self.task.label}"

    @property
    def place(self) -> Place:
        return (self.task.revision, "")


@dataclass(frozen=True)
class PartsJob:
    """Make parts of one `make` that sets of these methods need; their own needs are made."""

    what: ClassVar[str] = "parts"
    task: PlannedTask
    parts: tuple[Part, ...]
    keys: tuple[str, ...]  # of the parts in a plan (`bench.parts`)
    needs: tuple[tuple[str, ...], ...]  # keys of what each of them is made of
    methods: tuple[str, ...]  # labels

    @property
    def title(self) -> str:
        return f"{self.task.label} {', '.join(dict.fromkeys(part.kind for part in self.parts))}"

    @property
    def place(self) -> Place:
        return (self.task.revision, "")


@dataclass(frozen=True)
class SetJob:
    """Make one distilled set.

    common_seed: see `bench.api.Context`. given: it was made elsewhere, so its seconds are unknown, and only its total
    is held against dpc.
    """

    what: ClassVar[str] = "set"
    key: str
    fields: Mapping[str, Any]
    task: PlannedTask
    method: PlannedPlugin
    dpc: int | None
    index: int
    seed: int
    common_seed: int = 0
    given: bool = False

    @property
    def title(self) -> str:
        return f"{self.task.label} {dpc_name(self.dpc)} {self.method.label} set {self.index}"

    @property
    def place(self) -> Place:
        return (self.task.revision, "")


@dataclass(frozen=True)
class RunJob:
    """Train one student on one set and score it: replicate (set index, run index) of a cell."""

    what: ClassVar[str] = "run"
    key: str
    task: PlannedTask
    set_key: str
    student: PlannedPlugin
    dpc: int | None
    index: int
    run: int
    seed: int

    @property
    def title(self) -> str:
        return f"{self.task.label} {dpc_name(self.dpc)} {self.student.label} set {self.index} run {self.run}"

    @property
    def place(self) -> Place:
        return (self.task.revision, self.student.label)


@dataclass(frozen=True)
class RunsJob:
    """Several runs of one student on one set, of which a worker does the first ones together: as many as it can.

    The values of those that were done, in order, are the job's; the others are left.
    """

    what: ClassVar[str] = "runs"
    runs: tuple[RunJob, ...]

    @property
    def task(self) -> PlannedTask:
        return self.runs[0].task

    @property
    def title(self) -> str:
        return f"{self.runs[0].title} and {len(self.runs) - 1} more"

    @property
    def place(self) -> Place:
        return self.runs[0].place


@dataclass(frozen=True)
class VerifyJob:
    """Compute a finished set or run again, to compare: its result is neither taken from the cache nor kept."""

    what: ClassVar[str] = "verify"
    job: SetJob | RunJob

    @property
    def task(self) -> PlannedTask:
        return self.job.task

    @property
    def title(self) -> str:
        return f"again: {self.job.title}"

    @property
    def place(self) -> Place:
        return self.job.place


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `reason` is one line; `traceback` is kept for bugs; `value` is the job's result, as JSON."""

    status: Status
    reason: str | None = None
    traceback: str | None = None
    value: Any = None
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()  # what a plugin did that the worker put right, and damage that was mended


def dpc_name(dpc: int | None) -> str:
    """`dpc 2`, or `without dpc`: all data, or none."""
    return "without dpc" if dpc is None else f"dpc {dpc}"


def encode(value: Job | Outcome) -> bytes:
    """JSON of a job or an outcome. TypeError for what has none."""
    return json.dumps(plain(value)).encode("ascii")


def decode_job(content: bytes) -> Job:
    """The job that `encode` wrote."""
    return _job(json.loads(content))


def decode_outcome(content: bytes) -> Outcome:
    """The outcome that `encode` wrote."""
    return outcome_of(json.loads(content))


def outcome_of(found: Mapping[str, Any]) -> Outcome:
    """An outcome from its JSON values."""
    return Outcome(**{**found, "warnings": tuple(found["warnings"])})


def plain(value: Any) -> Any:
    """Dataclasses as objects, jobs with their kind, and tuples as lists, to any depth of the two."""
    if is_dataclass(value):
        found = {each.name: plain(getattr(value, each.name)) for each in fields(value)}
        return found | {"what": value.what} if hasattr(value, "what") else found
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return value


def _job(found: dict[str, Any]) -> Job:
    what = found.pop("what")
    job: Job = _READERS[what](found)
    return job


def _task(found: dict[str, Any]) -> PlannedTask:
    return PlannedTask(**{**found, "plugin": PlannedPlugin(**found["plugin"])})


def _part(found: dict[str, Any]) -> Part:
    needs = tuple(map(_part, found["needs"]))
    return Part(**{**found, "assets": tuple(found["assets"]), "needs": needs})


def _parts_job(found: dict[str, Any]) -> PartsJob:
    parts = tuple(map(_part, found["parts"]))
    needs = tuple(map(tuple, found["needs"]))
    return PartsJob(_task(found["task"]), parts, tuple(found["keys"]), needs, tuple(found["methods"]))


def _set_job(found: dict[str, Any]) -> SetJob:
    return SetJob(**{**found, "task": _task(found["task"]), "method": PlannedPlugin(**found["method"])})


def _run_job(found: dict[str, Any]) -> RunJob:
    return RunJob(**{**found, "task": _task(found["task"]), "student": PlannedPlugin(**found["student"])})


_READERS: dict[str, Any] = {
    LoadJob.what: lambda found: LoadJob(_task(found["task"])),
    PartsJob.what: _parts_job,
    SetJob.what: _set_job,
    RunJob.what: _run_job,
    RunsJob.what: lambda found: RunsJob(tuple(map(_job, found["runs"]))),  # type: ignore[arg-type]
    VerifyJob.what: lambda found: VerifyJob(_job(found["job"])),  # type: ignore[arg-type]
}
