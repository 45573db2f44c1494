"""Worker processes on this machine, one torch thread each; a dead worker costs its job and is replaced."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from bench.executors.base import Event, Finished, Progressed, Slot
from bench.jobs import Job, Outcome, decode_job, decode_outcome, encode
from bench.settings import Settings
from bench.work.network import NetworkGuard

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
def _no_main() -> Iterator[None]:
    """For starting a child that needs nothing of the script which runs here: it would run it once more."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _serve(connection: Connection, worker: str, settings: Settings, device: str) -> None:
    """A worker's life: jobs in, progress as a JSON list and outcomes as JSON objects out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _print_to_stderr()
    import numpy  # noqa: F401  (before a plugin, so that BLAS reads this worker's number of threads)

    module, _, name = worker.partition(":")
    network = NetworkGuard()
    if settings.offline:
        network.install()

    def on_progress(done: int, total: int, what: str) -> None:
        connection.send_bytes(json.dumps([int(done), int(total), str(what)]).encode("ascii"))  # perhaps numpy's

    working = getattr(importlib.import_module(module), name)(settings, device, on_progress, network)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            connection.send_bytes(encode(working.run(decode_job(connection.recv_bytes()))))


def _print_to_stderr() -> None:
    """What plugins print must not get between the lines of the parent's standard output, where boards go."""
    try:
        os.dup2(2, 1)
    except OSError:  # standard error is closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


class _Process:
    """A worker process and its job."""

    def __init__(self, worker: str, settings: Settings, slot: Slot) -> None:
        changes = dict(WORKER_ENVIRONMENT)
        if settings.offline:
            changes |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
        kind, _, number = slot.device.partition(":")
        if kind == "cuda":
            chosen = os.environ.get("CUDA_VISIBLE_DEVICES")  # by the user: the slots count those
            changes["CUDA_VISIBLE_DEVICES"] = chosen.split(",")[int(number)] if chosen else number
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(theirs, worker, settings, kind), name=f"bench-{slot.number}", daemon=True
        )
        with _environment(changes), _no_main():
            self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.deadline: float | None = None
        self.started = 0.0


class LocalExecutor:
    """Worker processes on this machine, each started when it gets its first job.

    worker: "module:Class", constructed as Class(settings, device, on_progress, network), whose `run` does a job.
    """

    def __init__(self, worker: str, settings: Settings, n: int, gpus: int = 0) -> None:
        self.slots = tuple(Slot(number, f"cuda:{number % gpus}" if gpus else "cpu") for number in range(n))
        self._worker = worker
        self._settings = settings
        self._running: dict[Slot, _Process] = {}

    def start(self, slot: Slot, job: Job, timeout: float | None) -> None:
        process = self._running.get(slot)
        if process is None:
            process = self._running[slot] = _Process(self._worker, self._settings, slot)
        process.job, process.started = job, time.monotonic()
        process.deadline = process.started + timeout if timeout else None
        with contextlib.suppress(BrokenPipeError):  # a worker that died meanwhile is found by wait()
            process.connection.send_bytes(encode(job))

    def wait(self, seconds: float) -> list[Event]:
        busy = {slot: process for slot, process in self._running.items() if process.job is not None}
        deadlines = [process.deadline for process in busy.values() if process.deadline is not None]
        if deadlines:
            seconds = max(0.0, min(seconds, min(deadlines) - time.monotonic()))
        watched: list[Any] = [process.connection for process in busy.values()]
        ready = wait([*watched, *(process.process.sentinel for process in busy.values())], seconds)
        events: list[Event] = []
        for slot, process in busy.items():
            if process.connection in ready:
                events += self._read(slot, process)
            if process.job is not None:
                events += self._ended(slot, process, process.process.sentinel in ready)
        return events

    def _read(self, slot: Slot, process: _Process) -> list[Event]:
        """What a worker has sent; every call of the system counts here, since workers may send often."""
        events: list[Event] = []
        job = process.job
        assert job is not None
        try:
            while True:
                content = process.connection.recv_bytes()
                if not content.startswith(b"["):
                    process.job = None
                    return [*events, Finished(slot, job, decode_outcome(content))]
                events.append(Progressed(slot, job, *json.loads(content)))
                if not process.connection.poll():
                    return events
        except (EOFError, ConnectionResetError):
            return events

    def _ended(self, slot: Slot, process: _Process, died: bool) -> list[Event]:
        """The end of a worker that died or whose time is over."""
        assert process.job is not None
        seconds = time.monotonic() - process.started
        if process.deadline is not None and time.monotonic() >= process.deadline:
            outcome = Outcome("timeout", f"stopped after {seconds:.0f} s (--timeout)", seconds=seconds)
            return [self._replace(slot, process.job, outcome)]
        if died:
            process.process.join()
            return [self._replace(slot, process.job, _death(process.process.exitcode, seconds))]
        return []

    def _replace(self, slot: Slot, job: Job, outcome: Outcome) -> Finished:
        _kill(self._running.pop(slot))
        return Finished(slot, job, outcome)

    def close(self) -> None:
        for process in self._running.values():
            _kill(process)
        self._running.clear()


def _death(code: int | None, seconds: float) -> Outcome:
    if code == -signal.SIGKILL:
        return Outcome(
            "oom", "the worker was killed by the system (signal 9), most likely out of memory", None, None, seconds
        )
    what = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return Outcome("failed", f"the worker process died ({what})", None, None, seconds)


def _kill(process: _Process) -> None:
    process.process.kill()
    process.process.join()
    process.connection.close()
