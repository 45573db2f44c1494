"""What the runner asks of an executor: slots that each hold one job at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.jobs import Job, Outcome


@dataclass(frozen=True)
class Slot:
    """A place for one job at a time. `device`: "cpu" or "cuda:0" and the like, what its jobs compute on."""

    number: int
    device: str = "cpu"

    @property
    def device_type(self) -> str:
        """ "cpu" or "cuda": what a job and its record know of the device."""
        return self.device.partition(":")[0]


@dataclass(frozen=True)
class Finished:
    """Event: a slot's job ended, and the slot is free."""

    slot: Slot
    job: Job
    outcome: Outcome


@dataclass(frozen=True)
class Progressed:
    """Event: a slot's job reports its progress."""

    slot: Slot
    job: Job
    done: int
    total: int
    what: str


Event = Finished | Progressed


class Executor(Protocol):
    """Local processes and, later, a cluster behind the same few calls."""

    @property
    def slots(self) -> Sequence[Slot]: ...

    def start(self, slot: Slot, job: Job, timeout: float | None) -> None:
        """Give a free slot a job; after `timeout` seconds it ends with status timeout."""
        ...

    def wait(self, seconds: float) -> list[Event]:
        """Events since the last call; waits up to `seconds` for the first."""
        ...

    def close(self) -> None:
        """Stop all workers at once."""
        ...
