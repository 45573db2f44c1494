"""`bench plan`: the cells of a run, what is there already, and an estimate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import click

from bench.arguments import folder_of
from bench.cli.options import opened, selection_options, settings_options
from bench.data.assets import to_fetch
from bench.jobs import PartsJob
from bench.output import echo
from bench.own_files import open_own_files
from bench.plan import Cell, Plan, estimate, preparation_of
from bench.progress import duration
from bench.session import pass_on
from bench.settings import cores
from bench.store.results import ResultStore


@click.command("plan", short_help="Show what a run would do.")
@selection_options
@click.option("--out", default="bench-out", show_default=True, metavar="DIR", help="Where earlier results are.")
@click.option("--jobs", type=click.IntRange(1, 1024), help="Worker processes the estimate is for [one a core].")
@click.option("--separate", metavar="A,B", help="How many more sets, runs or test rows would separate two methods.")
@settings_options
def command(separate: str | None, **options: Any) -> None:
    """Show the cells of a run, how much of each is there, what their design can tell apart, and an estimate from
    earlier runs.

    Computes nothing. Files of your own (up to 50 MB a task) are read and refused as the run would; what is wrong in
    other data is found by the run, before it computes.
    """
    from tabulate import tabulate

    out, jobs = folder_of(options.pop("out")), options.pop("jobs") or cores()
    session = opened(options)
    store = ResultStore(out)
    records = store.records()
    pass_on(store)
    plan = session.plan(records)
    skipped = open_own_files(plan, session.assets)
    rows = []
    for cell in plan.cells:
        keys = dict.fromkeys(run.set_key for run in cell.runs)
        cached = sum(key in plan.cached_sets for key in keys)
        done = sum(run.key in plan.done for run in cell.runs)
        dpc = cell.dpc if cell.dpc is not None else "all"
        name = (cell.task.label, dpc, cell.method_label, cell.student.label)
        rows.append((*name, f"{cached}/{len(keys)}", f"{done}/{len(cell.runs)}"))
    echo(tabulate(rows, headers=["task", "dpc", "method", "student", "sets cached", "runs done"]))
    _tell_resolution(plan, store, separate)
    runs = plan.missing_runs()
    total = sum(len(cell.runs) for cell in plan.cells)
    echo(f"\ncells: {len(plan.cells)}, replicates: {total}, done: {total - len(runs)}, to compute: {len(runs)}")
    for task, size in skipped.items():
        echo(f"not read here, for its size: {task} ({size / 1e6:,.0f} MB); the run reads it before it computes")
    preparations = plan.preparations(plan.needed_sets(runs))
    if preparations:
        echo(f"to prepare, where the cache has it not: {prepared(preparations)}")
    refs = dict.fromkeys(ref for choice in plan.choices() for ref in choice.spec.assets(choice.params))
    if absent := to_fetch(session.assets, refs):
        echo(f"to fetch: {', '.join(absent)} (bench fetch, or the run does it)")
    if runs:
        guess = estimate(plan, records)
        if guess.unknown == len(runs):
            echo("estimate: none yet, no earlier result of these students in the output folder")
        else:
            left_out = [f"what is to {what}" for what, there in (("fetch", absent), ("prepare", preparations)) if there]
            left_out += [f"{guess.unknown} replicates of students not seen before"] if guess.unknown else []
            most = " (which may be most of the time)" if preparations else ""
            rest = f", without {' and '.join(left_out)}{most}" if left_out else ""
            by = f"; {guess.rough} replicates by rough figures of their plugins" if guess.rough else ""
            echo(f"estimate: {duration(guess.core_seconds / jobs)} with {jobs} workers{rest}{by}")


def _tell_resolution(plan: Plan, store: ResultStore, separate: str | None) -> None:
    """The smallest difference that each block of cells separates; what would separate two methods that it did not."""
    from tabulate import tabulate

    from leaderboard.board import board_of
    from leaderboard.designs import Planned, separations, smallest

    board = board_of(store)
    known = [(row.task, row.revision) for row in board.rows] + [(task.label, task.revision) for task in plan.tasks()]
    items = {label: store.task(revision).n_test for label, revision in known if store.has_task(revision)}
    cells = [
        Planned(
            task=cell.task.label,
            dpc=cell.dpc,
            student=cell.student.label,
            method=cell.method_label,
            sets=len({run.set_key for run in cell.runs}),
            replicates=len(cell.runs),
            preparations=_preparations(plan, cell),
        )
        for cell in plan.cells
    ]
    if lines := smallest(cells, board, items):
        heads = ["task", "dpc", "student", "sets x runs", "test rows", "separates, points", "spread"]
        echo(f"\nthe smallest difference of two methods that is separated in 8 of 10 cases:\n{tabulate(lines, heads)}")
    if separate is not None:
        echo("\n".join(separations(separate, cells, board, items)))


def _preparations(plan: Plan, cell: Cell) -> int:
    """How many preparations its sets share, where there are several and no set has one of its own; else 0."""
    jobs = [plan.sets[key] for key in dict.fromkeys(run.set_key for run in cell.runs)]
    n = len({preparation_of(plan.choice(job.method).spec, job.method.params) for job in jobs})
    return n if 1 < n < len(jobs) else 0


def prepared(jobs: Iterable[PartsJob]) -> str:
    """`bbc: 2 gen-distill-lm, 3 gen-distill; rt: 1 expert`."""
    counts: dict[str, Counter[str]] = {}
    for job in jobs:
        counts.setdefault(job.task.label, Counter()).update(part.kind for part in job.parts)
    return "; ".join(
        f"{task}: {', '.join(f'{count} {kind}' for kind, count in found.items())}" for task, found in counts.items()
    )
