"""`bench score`: the same students, seeds and board for distilled sets made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.arguments import folder_of
from bench.cli.options import opened, scoring_options, settings_options
from bench.cli.run import execution, execution_options, show
from bench.errors import UserError
from bench.session import choose_device


@click.command("score", short_help="Score distilled sets made elsewhere.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The name of the method on the board.")
@scoring_options
@execution_options
@settings_options
def command(folder: Path, name: str, **options: Any) -> int:
    """Score the sets in FOLDER: files, one a set, with the task's text fields and a label a row.

    JSONL, JSON, CSV, TSV and Parquet are read, and the .safetensors files that `bench export` writes of sets with soft
    labels or of the embedding level. A label is the name of a class or its number from 0, in the column
    `label` or --label-column; --text-columns names other columns of text, in the order of the task's fields.
    Choose one task with --tasks. A wrong field or label is refused with the right ones.
    """
    from bench.imported import LABEL, Columns, check_name, common_dpc, plan_imported, read_sets
    from bench.plan import planned_task
    from bench.store.results import ResultStore
    from bench.work.worker import Worker

    asked = options.pop("dpc")
    gpus = choose_device(options.pop("device"))
    flags, out = execution(options), folder_of(options.pop("out"))
    label, texts = options["label_column"], options["text_columns"]
    session = opened(options, elsewhere=("text_columns", "label_column"))
    check_name(name, session.registry.methods)
    if len(session.suite.tasks) != 1:
        labels = ", ".join(choice.label for choice in session.suite.tasks)
        raise UserError(f"choose the one task that the sets are for with --tasks (now: {labels})")
    choice = session.suite.tasks[0]
    task = planned_task(choice, session.assets)
    info = Worker(session.settings).load(task).info
    # What names the label of a user's table may name it in the sets; what `bench export` wrote has `label`.
    of_a_table = "label_column" in session.registry.tasks[choice.spec.name].flags
    columns = (LABEL,) if not label else (label, LABEL) if of_a_table else (label,)
    named = Columns(tuple(texts.split(",")) if texts else (), columns)
    found = read_sets(folder.expanduser().absolute(), info, named)
    dpc = common_dpc(found, info, asked)
    with ResultStore(out, "w") as store:
        plan = plan_imported(
            session.suite, task, found, named, name, dpc, session.assets, session.artifacts, store.records()
        )
        session.fetch(plan)
        done = session.execute(plan, store, gpus=gpus, **flags)
        show(done)
        return done.summary.exit_code
