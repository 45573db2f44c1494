"""Worker processes on this machine, one torch thread each; a dead worker costs its job and is replaced."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any

from bench.executors.base import Event, Finished, Job, Outcome, Progressed
from bench.settings import Settings

# One thread a worker: two torch processes with two threads each on two cores are several times slower.
# The allocator thresholds keep big tensors in the heap instead of mapping them anew at every step.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MALLOC_MMAP_THRESHOLD_": "33554432",  # glibc ignores more
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


@contextlib.contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    """Variables for a child: libraries read them when it starts, so they must be set before."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _plain_main() -> Iterator[None]:
    """Hide the script that called: a child would run it again where `if __name__ == "__main__"` is missing."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _serve(connection: Connection, settings: Settings) -> None:
    """A worker's life: jobs in, outcomes out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _print_to_stderr()
    import numpy  # noqa: F401  (before a plugin, so that BLAS reads this worker's number of threads)

    from bench.network import NetworkGuard
    from bench.worker import Worker

    network = NetworkGuard()
    if settings.offline:
        network.install()
    worker = Worker(settings, lambda *progress: connection.send(("progress", progress)), network)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            job = connection.recv()
            connection.send(("outcome", worker.run(job)))


def _print_to_stderr() -> None:
    """What plugins print must not get between the lines of the parent's standard output, where boards go."""
    try:
        os.dup2(2, 1)
    except OSError:  # standard error is closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


class _Slot:
    def __init__(self, number: int, settings: Settings, gpu: int | None) -> None:
        changes = dict(WORKER_ENVIRONMENT)
        if settings.offline:
            changes |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
        if gpu is not None:
            changes["CUDA_VISIBLE_DEVICES"] = str(gpu)
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, settings), name=f"bench-{number}", daemon=True)
        with _environment(changes), _plain_main():
            self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.deadline: float | None = None
        self.started = 0.0


class LocalExecutor:
    """`n` worker processes, started when they get their first job."""

    def __init__(self, settings: Settings, n: int, gpus: int = 0) -> None:
        self.slots = range(n)
        self._settings = settings
        self._gpus = gpus
        self._running: dict[int, _Slot] = {}

    def start(self, number: int, job: Job, timeout: float | None) -> None:
        slot = self._running.get(number)
        if slot is None:
            gpu = number % self._gpus if self._gpus else None
            slot = self._running[number] = _Slot(number, self._settings, gpu)
        slot.job, slot.started = job, time.monotonic()
        slot.deadline = slot.started + timeout if timeout else None
        with contextlib.suppress(BrokenPipeError):  # a worker that died meanwhile is found by wait()
            slot.connection.send(job)

    def wait(self, seconds: float) -> list[Event]:
        busy = {number: slot for number, slot in self._running.items() if slot.job is not None}
        deadlines = [slot.deadline for slot in busy.values() if slot.deadline is not None]
        if deadlines:
            seconds = max(0.0, min(seconds, min(deadlines) - time.monotonic()))
        watched: list[Any] = [slot.connection for slot in busy.values()]
        wait([*watched, *(slot.process.sentinel for slot in busy.values())], seconds)
        events: list[Event] = []
        for number, slot in busy.items():
            events += self._read(number, slot)
        return events

    def _read(self, number: int, slot: _Slot) -> list[Event]:
        events: list[Event] = []
        job = slot.job
        assert job is not None
        try:
            while slot.connection.poll():
                kind, value = slot.connection.recv()
                if kind == "progress":
                    events.append(Progressed(number, job, *value))
                else:
                    slot.job = None
                    return [*events, Finished(number, job, value)]
        except (EOFError, ConnectionResetError):
            pass
        seconds = time.monotonic() - slot.started
        if slot.deadline is not None and time.monotonic() >= slot.deadline:
            outcome = Outcome("timeout", f"stopped after {seconds:.0f} s (--timeout)", seconds=seconds)
            return [*events, self._replace(number, job, outcome)]
        if not slot.process.is_alive():
            return [*events, self._replace(number, job, _death(slot.process.exitcode, seconds))]
        return events

    def _replace(self, number: int, job: Job, outcome: Outcome) -> Finished:
        _kill(self._running.pop(number))
        return Finished(number, job, outcome)

    def close(self) -> None:
        for slot in self._running.values():
            _kill(slot)
        self._running.clear()


def _death(code: int | None, seconds: float) -> Outcome:
    if code == -signal.SIGKILL:
        return Outcome(
            "oom", "the worker was killed by the system (signal 9), most likely out of memory", None, None, seconds
        )
    what = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return Outcome("failed", f"the worker process died ({what})", None, None, seconds)


def _kill(slot: _Slot) -> None:
    slot.process.kill()
    slot.process.join()
    slot.connection.close()
