"""`bench leaderboard`: the board of a result folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import result_folder, whole_numbers
from bench.output import echo

if TYPE_CHECKING:
    from leaderboard.statistics import Correction

CORRECTIONS: tuple[Correction, ...] = ("none", "holm")
FORMATS = ("md", "csv", "html", "latex")


def _names(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Names, each option with one or several: `a,b[x=1,y=2]`."""
    from bench.store.labels import split

    found = tuple(name for value in values for name in split(value, str(option.opts[0])))
    if values and not found:
        raise click.BadParameter("no name in it")
    return found


def _dpcs(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...]:
    return (whole_numbers(context, option, ",".join(values)) or ()) if values else ()


@click.command()
@result_folder
@click.option(
    "--task",
    "tasks",
    multiple=True,
    callback=_names,
    metavar="NAME[,NAME]",
    help="Only these tasks, as `bench run` or the board names them.",
)
@click.option(
    "--student", "students", multiple=True, callback=_names, metavar="NAME[,NAME]", help="Only these students."
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    callback=_names,
    metavar="NAME[,NAME]",
    help="Show only these methods, compared with all.",
)
@click.option("--dpc", "dpcs", multiple=True, callback=_dpcs, metavar="N[,N]", help="Show only these dpc.")
@click.option("--baseline", metavar="METHOD", help="Method that the differences are taken to  [random]")
@click.option(
    "--correction",
    type=click.Choice(CORRECTIONS),
    default=CORRECTIONS[0],
    show_default=True,
    help="For many comparisons, within a task, student and dpc.",
)
@click.option(
    "--published", metavar="NAME", help="Numbers to show beside the rows: a source (`dilm-2024`) or a TOML file."
)
@click.option("--format", "wanted", type=click.Choice([*FORMATS, "all"]), default="all", show_default=True)
@click.option("--output", metavar="DIR", type=click.Path(path_type=Path), help="Folder for the files  [OUT]")
def command(
    out: str,
    tasks: tuple[str, ...],
    students: tuple[str, ...],
    methods: tuple[str, ...],
    dpcs: tuple[int, ...],
    baseline: str | None,
    correction: Correction,
    published: str | None,
    wanted: str,
    output: Path | None,
) -> None:
    """Print the board of the result folder OUT (default: bench-out) and write it as
    leaderboard.md, leaderboard.csv, leaderboard.html and leaderboard.tex."""
    from bench.session import pass_on, results
    from bench.store.results import ResultStore
    from leaderboard.files import write_boards

    store = ResultStore(results(out).out)
    text = write_boards(
        store,
        output or store.out,
        formats=FORMATS if wanted == "all" else (wanted,),
        tasks=list(tasks),
        students=list(students),
        methods=list(methods),
        dpcs=list(dpcs),
        baseline=baseline,
        correction=correction,
        published=published,
    )
    pass_on(store)
    echo(text, nl=False)
