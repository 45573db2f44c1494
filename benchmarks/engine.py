"""What the engine itself costs a replicate: a real run of a task, a method and a student that take no time.

    python benchmarks/engine.py [--replicates 10000 30000] [--jobs 2] [--phases]

CPU milliseconds a replicate, system calls included: of the parent (all of it, from the plan on) and of the workers.
100 runs a set; records, sets and progress lines go to files. Seconds of wall time are the workers' for the most part.
--phases also splits what the parent spends; looking at the clock costs time itself, where system calls are slow.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.executors.local import LocalExecutor
from bench.jobs import WORKER
from bench.progress import RunReport
from bench.runner import Runner
from bench.session import Session
from bench.settings import Settings
from bench.store.results import ResultStore

RUNS = 100  # of a set


class Phases:
    """CPU seconds of this process by phase."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def of(self, name: str) -> Any:
        start = time.process_time()
        try:
            yield
        finally:
            self.seconds[name] += time.process_time() - start

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Count the calls of a method of this object for a phase."""
        if not self.wanted:
            return
        call: Callable[..., Any] = getattr(owner, method)

        def watched(*args: Any, **more: Any) -> Any:
            with self.of(name):
                return call(*args, **more)

        setattr(owner, method, watched)


def main() -> None:
    """A few lines a number of replicates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, nargs="+", default=[10_000, 30_000])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--phases", action="store_true")
    arguments = parser.parse_args()
    for n in arguments.replicates:
        with tempfile.TemporaryDirectory(prefix="bench-engine-") as folder:
            print(measure(Path(folder), n, arguments.jobs, arguments.phases), flush=True)


def measure(folder: Path, n: int, jobs: int, split: bool) -> str:
    """Run `n` replicates in an empty folder."""
    settings = Settings.make(cache=folder / "cache", plugin_files=(Path(__file__).with_name("instant_plugin.py"),))
    choices: Any = {"tasks": "instant", "methods": "drawn", "students": "guess"}
    session = Session.open(settings, **choices, dpc=(5,), sets=n // RUNS, runs=RUNS)
    phases, start, wall = Phases(split), time.process_time(), time.monotonic()
    with phases.of("plan"):
        plan = session.plan([])
    with (
        open(folder / "progress", "w") as lines,
        contextlib.redirect_stderr(lines),
        ResultStore(folder / "out", "w") as store,
    ):
        report, executor = RunReport(), LocalExecutor(WORKER, settings, jobs)
        runner = Runner(plan, store, executor, report, session.assets)
        for owner, methods, name in (
            (runner._schedule, ("add", "pick", "settle", "put"), "schedule"),
            (executor, ("start", "wait"), "send and receive"),
            (runner, ("_make_record",), "make records"),
            (store, ("append",), "append"),
            (store, ("put_set",), "keep sets"),
            (report, ("step", "inside"), "report"),
        ):
            for method in methods:
                phases.watch(owner, method, name)
        summary = runner.run()
    assert summary.statuses == {"ok": len(plan.missing_runs())}, summary
    spent, seconds = time.process_time() - start, time.monotonic() - wall
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    workers = children.ru_utime + children.ru_stime - measure.children  # type: ignore[attr-defined]
    measure.children += workers  # type: ignore[attr-defined]
    phases.seconds["the rest"] = spent - sum(phases.seconds.values())
    found = ", ".join(f"{name} {1e3 * value / n:.3f}" for name, value in phases.seconds.items())
    each = f"parent {1e3 * spent / n:.3f} ms{f' ({found})' if split else ''}, workers {1e3 * workers / n:.2f} ms"
    return f"{n} replicates: {each} a replicate; {seconds:.0f} s"


measure.children = 0.0  # type: ignore[attr-defined]  # CPU seconds of the workers of earlier calls


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main()
