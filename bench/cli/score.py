"""`bench score`: the same students, seeds and board for distilled sets made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.options import scoring_options, settings_options
from bench.cli.run import choose_device, execute, execution_options
from bench.cli.workspace import Workspace, output_folder
from bench.errors import UserError
from bench.selection import TABLE


@click.command("score", short_help="Score distilled sets made elsewhere.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The name of the method on the board.")
@scoring_options
@execution_options
@settings_options
def command(folder: Path, name: str, **options: Any) -> int:
    """Score the sets in FOLDER: files, one a set, with the task's text fields and a label a row.

    JSONL, JSON, CSV, TSV and Parquet are read. A label is the name of a class or its number from 0, in the column
    `label` or --label-column; --text-columns names other columns of text, in the order of the task's fields.
    Choose one task with --tasks. A wrong field or label is refused with the right ones.
    """
    from bench.imported import LABEL, Columns, check_name, common_dpc, plan_imported, read_sets
    from bench.plan import planned_task
    from bench.store.results import ResultStore
    from bench.worker import Worker

    asked = options.pop("dpc")
    gpus = choose_device(options.pop("device"))
    flags = {key: options.pop(key) for key in ("out", "jobs", "timeout", "mlflow_uri", "no_mlflow")}
    label, texts = options["label_column"], options["text_columns"]
    work = Workspace.open(options, sets=True)
    check_name(name, work.registry.methods)
    if len(work.suite.tasks) != 1:
        labels = ", ".join(choice.label for choice in work.suite.tasks)
        raise UserError(f"choose the one task that the sets are for with --tasks (now: {labels})")
    choice = work.suite.tasks[0]
    task = planned_task(choice, work.assets)
    info = Worker(work.settings).load(task).info
    # What names the label of a user's table may name it in the sets; what `bench export` wrote has `label`.
    columns = (LABEL,) if not label else (label, LABEL) if choice.spec.name == TABLE else (label,)
    named = Columns(tuple(texts.split(",")) if texts else (), columns)
    found = read_sets(folder.expanduser().absolute(), info, named)
    dpc = common_dpc(found, info, asked)
    with ResultStore(output_folder(flags.pop("out")), "w") as store:
        plan = plan_imported(work.suite, task, found, named, name, dpc, work.assets, work.artifacts, store.records())
        work.fetch(plan)
        return execute(plan, work.settings, store, gpus=gpus, **flags)
