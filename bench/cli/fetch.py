"""`bench fetch`: bring every asset that a selection needs, or the assets named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.options import opened, selection_options, settings_options
from bench.output import echo


@click.command(name="fetch")
@click.argument("names", nargs=-1, metavar="[ASSET]...")
@selection_options
@settings_options
def command(names: tuple[str, ...], **options: Any) -> None:
    """Download what a run with the same flags needs, so that it can work offline.

    With ASSET (a name of `bench list assets`, hub:org/name[@revision], or a path), only those.
    """
    from bench.data import install
    from bench.errors import UserError

    session = opened(options)
    suite, assets = session.suite, session.assets
    choices = (*suite.tasks, *suite.methods, *suite.students)
    wanted = names or [ref for choice in choices for ref in choice.spec.assets(choice.params)]
    wanted = tuple(dict.fromkeys(wanted))
    failures: list[UserError] = []
    for ref in wanted:
        try:
            before = assets.locate(ref)
            path = assets.fetch(ref, lambda line: echo(line, err=True))
            size = install.size_of(path) / 1e6
        except UserError as error:
            failures.append(error)
            echo(f"{ref}: failed")
            continue
        state = "fetched" if before is None else "local" if isinstance(assets.resolve(ref), Path) else "cached"
        echo(f"{ref}: {state}, {size:.1f} MB, {path}")
    if failures:
        for failure in failures[1:]:
            echo(f"bench: error: {failure}", err=True)
        raise failures[0]
