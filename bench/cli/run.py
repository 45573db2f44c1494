"""`bench run`: compute what is missing, then print the board."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import click

from bench.cli.options import selection_options, settings_options
from bench.cli.output import echo
from bench.cli.progress import RunReport
from bench.cli.workspace import Workspace, output_folder, pass_on
from bench.jobs import WORKER
from bench.plan import Plan, note_state
from bench.runner import Runner, Summary, worse
from bench.settings import Settings, cores
from bench.store.results import ResultStore

TRACK_SECONDS = 120.0  # how often finished results go to MLflow while a run lasts


def _number(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is no number of seconds")
    return value


def execution_options(function: Any) -> Any:
    """Flags of the commands that compute."""
    for option in (
        click.option("--no-mlflow", is_flag=True, help="Send nothing to MLflow."),
        click.option("--mlflow-uri", metavar="URI", help="Tracking store [sqlite, mlflow.db in the output folder]."),
        click.option(
            "--timeout",
            type=click.FloatRange(1, 10_000_000),
            callback=_number,
            metavar="SECONDS",
            help="Limit of one job: preparation, set or run.",
        ),
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
        click.option("--jobs", type=click.IntRange(1, 1024), help="Worker processes [one a core; one a GPU]."),
        click.option(
            "--out", default="bench-out", show_default=True, metavar="DIR", help="Results, boards, mlflow.db."
        ),
    ):
        function = option(function)
    return function


@click.command("run", short_help="Run a suite.")
@selection_options
@execution_options
@click.option(
    "--verify",
    "verified",
    type=click.IntRange(1),
    metavar="N",
    help="Compute N finished sets and N runs again, each in a fresh process, and compare.",
)
@settings_options
def command(verified: int | None, **options: Any) -> int:
    """Distil, train students, score: every replicate of the suite that is not there yet, then the board.

    Run it again to continue after a crash, to retry what failed, or to add methods, tasks and students.
    """
    gpus = choose_device(options.pop("device"))
    flags = {name: options.pop(name) for name in ("out", "jobs", "timeout", "mlflow_uri", "no_mlflow")}
    work = Workspace.open(options)
    with ResultStore(output_folder(flags["out"]), "w") as store:
        plan = work.plan(store.records())
        work.fetch(plan)
        code = execute(plan, work.settings, store, gpus=gpus, **{name: flags[name] for name in flags if name != "out"})
        if verified is None:
            return code
        note_state(plan, work.artifacts, store.records())
        return worse(code, check(plan, verified, work.settings, gpus, flags["jobs"], flags["timeout"]))


def check(plan: Plan, n: int, settings: Settings, gpus: int, jobs: int | None, timeout: float | None) -> int:
    """Verify a sample of `n` sets and `n` runs; the exit code."""
    from bench.executors.local import LocalExecutor
    from bench.verify import verify

    report = RunReport()
    try:
        found = verify(plan, n, lambda: LocalExecutor(WORKER, settings, jobs or gpus or cores(), gpus), report, timeout)
    finally:
        report.close()
    for line in found.differences:
        echo(f"bench: {line}", err=True)
    for name, trace in found.tracebacks.items():
        echo(f"\n{name}\n{trace}", err=True)
    echo(str(found), err=True)
    return found.exit_code


def choose_device(wanted: str) -> int:
    """The number of GPUs to use, 0 for the CPU; torch is loaded only when there may be a GPU."""
    if wanted == "cpu" or (wanted == "auto" and not Path("/dev/nvidiactl").exists()):
        return 0
    import torch

    if torch.cuda.is_available():
        return torch.cuda.device_count()
    if wanted == "cuda":
        raise click.UsageError("--device cuda: torch finds no GPU here; use --device cpu")
    return 0


def execute(
    plan: Plan,
    settings: Settings,
    store: ResultStore,
    *,
    gpus: int,
    jobs: int | None,
    timeout: float | None,
    mlflow_uri: str | None,
    no_mlflow: bool,
) -> int:
    """Run a plan, track it, write the boards; the exit code."""
    from bench.executors.local import LocalExecutor

    report = RunReport()
    pass_on(store)
    if not plan.missing_runs():
        echo(f"nothing to compute: all {sum(len(cell.runs) for cell in plan.cells)} replicates are there", err=True)
    tracking = None if no_mlflow else Tracking(store, mlflow_uri, report)
    executor = LocalExecutor(WORKER, settings, jobs or gpus or cores(), gpus)
    try:
        runner = Runner(
            plan,
            store,
            executor,
            report,
            timeout=timeout,
            on_record=tracking.now_and_then if tracking else None,
        )
        summary = runner.run()
    finally:
        report.close()
    if tracking:
        tracking.finish()
    from leaderboard.render import write_boards

    echo(write_boards(store, store.out))
    warn_of_overlaps(plan, store)
    echo(f"Plots and the distilled sets to read: {store.out / 'leaderboard.html'}", err=True)
    return conclude(summary, store.out)


def warn_of_overlaps(plan: Plan, store: ResultStore) -> None:
    """Name the plan's sets that repeat test texts, one line a task, dpc and method."""
    from leaderboard.overlap import overlap_lines

    asked = {run.key for cell in plan.cells for run in cell.runs}
    for line in overlap_lines([record for record in store.records() if record.key in asked]):
        echo(f"bench: warning: {line}", err=True)


class Tracking:
    """Sends finished results to MLflow now and then; whatever goes wrong there is a warning, once."""

    def __init__(self, store: ResultStore, uri: str | None, report: RunReport) -> None:
        self._store, self._uri, self._report = store, uri, report
        self._last = time.monotonic()
        self._worked = True

    def now_and_then(self) -> None:
        if time.monotonic() - self._last > TRACK_SECONDS:
            self.finish()

    def finish(self) -> None:
        """Send what is not there yet."""
        from bench.tracking import track

        if self._worked:
            self._worked = track(self._store, self._uri, self._report.warn) is not None
        self._last = time.monotonic()


def conclude(summary: Summary, out: Path) -> int:
    """Name every failing cell in one line; the exit code."""
    for name, reason in summary.failures.items():
        echo(f"bench: {name}: {reason}", err=True)
    for name, trace in summary.tracebacks.items():
        echo(f"\n{name}\n{trace}", err=True)
    if summary.failures:
        echo(f"bench: {len(summary.failures)} cell(s) failed; results so far are in {out}", err=True)
    return summary.exit_code
