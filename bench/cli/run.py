"""`bench run`: compute what is missing, then print the board."""

from __future__ import annotations

import math
from typing import Any

import click

from bench.arguments import folder_of
from bench.cli.options import opened, selection_options, settings_options
from bench.output import echo
from bench.runner import worse
from bench.session import Results, choose_device
from bench.store.results import ResultStore


def _number(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is no number of seconds")
    return value


def execution(options: dict[str, Any]) -> dict[str, Any]:
    """Take those flags out of a command's keyword arguments, as `Session.execute` knows them."""
    no_mlflow, uri = options.pop("no_mlflow"), options.pop("mlflow_uri")
    return {
        "jobs": options.pop("jobs"),
        "timeout": options.pop("timeout"),
        "mlflow": False if no_mlflow else uri or True,
    }


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
    flags, out = execution(options), folder_of(options.pop("out"))
    session = opened(options)
    with ResultStore(out, "w") as store:
        plan = session.plan(store.records())
        session.fetch(plan)
        found = session.execute(plan, store, gpus=gpus, **flags)
        show(found)
        if verified is None:
            return found.summary.exit_code
        again = session.verify(plan, store, verified, gpus=gpus, jobs=flags["jobs"], timeout=flags["timeout"])
        return worse(found.summary.exit_code, again.exit_code)


def show(found: Results) -> None:
    """Print the board, and where its page is."""
    view = found.board()
    echo(str(view))
    for note in view.board.notes:
        if "left out" in note:
            echo(f"bench: warning: {note}", err=True)
    echo(f"Plots and the distilled sets to read: {found.out / 'leaderboard.html'}", err=True)
