"""What the runner asks of an executor: slots that each hold one job at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from bench.plan import PrepareJob, RunJob, SetJob, TaskPart, VerifyJob

Status = Literal["ok", "failed", "timeout", "oom", "not_applicable", "usage", "plugin"]
Job = TaskPart | PrepareJob | SetJob | RunJob | VerifyJob


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `reason` is one line; `traceback` is kept for bugs; `value` is the job's result."""

    status: Status
    reason: str | None = None
    traceback: str | None = None
    value: Any = None
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()  # what a plugin did that the worker put right, and damage that was mended


@dataclass(frozen=True)
class Finished:
    """Event: a slot's job ended, and the slot is free."""

    slot: int
    job: Job
    outcome: Outcome


@dataclass(frozen=True)
class Progressed:
    """Event: a slot's job reports its progress."""

    slot: int
    job: Job
    done: int
    total: int
    what: str


Event = Finished | Progressed


class Executor(Protocol):
    """Local processes and, later, a cluster behind the same few calls."""

    @property
    def slots(self) -> Sequence[int]:
        """Numbers of the slots, each good for one job at a time."""
        ...

    def start(self, slot: int, job: Job, timeout: float | None) -> None:
        """Give a free slot a job; after `timeout` seconds it ends with status timeout."""
        ...

    def wait(self, seconds: float) -> list[Event]:
        """Events since the last call; waits up to `seconds` for the first."""
        ...

    def close(self) -> None:
        """Stop all workers at once."""
        ...


__all__ = ["Event", "Executor", "Finished", "Job", "Outcome", "Progressed", "Status"]
