"""A user's own files, read before anything costs time: what is wrong in them is said at once."""

from __future__ import annotations

from pathlib import Path

from bench.data.assets import Assets
from bench.jobs import LoadJob
from bench.output import echo
from bench.plan import Plan

READ_BYTES = 50_000_000  # of one task's own files: a few seconds


def open_own_files(plan: Plan, assets: Assets) -> dict[str, int]:
    """Load the tasks whose data are all local files, as a run does first; label -> bytes of those that are too large.

    Raises UserError and PluginError in the words of the run. A bug in a task's code is a warning: the run goes on too.
    """
    from bench.runner import fits
    from bench.work.worker import Worker

    worker, skipped = None, {}
    for task in {run.task.revision: run.task for run in plan.missing_runs()}.values():
        choice = plan.choice(task.plugin)
        refs = choice.spec.assets(choice.params)
        places = [place for place in map(assets.resolve, refs) if isinstance(place, Path)]
        if not refs or len(places) < len(refs):
            continue
        size = sum(file.stat().st_size for place in places for file in (place, *place.rglob("*")) if file.is_file())
        if size > READ_BYTES:
            skipped[task.label] = size
            continue
        worker = worker or Worker(assets.settings)
        loaded = worker.run(LoadJob(task))
        for line in loaded.warnings:
            echo(f"bench: warning: {line}", err=True)
        if not fits(plan, task, loaded):
            echo(f"bench: warning: loading the task: {task.label}: {loaded.reason}", err=True)
    return skipped
