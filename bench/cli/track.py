"""`bench track`: send results to MLflow."""

from __future__ import annotations

import click

from bench.cli.options import result_folder
from bench.output import echo


@click.command()
@result_folder
@click.option("--resend", is_flag=True, help="Ask MLflow what it has, and send all that is missing or changed.")
@click.option("--mlflow-uri", metavar="URI", help="Tracking server or database  [sqlite:///OUT/mlflow.db]")
def command(out: str, resend: bool, mlflow_uri: str | None) -> None:
    """Send the results in OUT (default: bench-out) to MLflow; nothing is sent twice."""
    from bench.session import pass_on, results
    from bench.store.results import ResultStore
    from leaderboard.mlflow.database import shown_uri
    from leaderboard.mlflow.tracker import Tracker

    store = ResultStore(results(out).out)
    tracker = Tracker(store, mlflow_uri)
    counts = tracker.sync(resend=resend)
    pass_on(store)
    sent = ", ".join(f"{n} {what}" for what, n in sorted(counts.items()) if n) or "nothing new"
    echo(f"{shown_uri(tracker.uri)}: {sent}")
