"""`bench compare`: results against published numbers, or against other results."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from bench.errors import UserError
from bench.output import echo

if TYPE_CHECKING:
    from bench.store.results import ResultStore

DIFFERS = 4  # exit code


def _finite(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if math.isnan(value):
        raise click.BadParameter("nan is no number of points")
    return value


@click.command()
@click.argument("folders", nargs=-1, metavar="OUT [OTHER]")
@click.option(
    "--published", metavar="NAME", help="Published numbers: a name (`dilm-2024`) or a TOML file of one's own."
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 100, min_open=True),
    default=2.0,
    show_default=True,
    callback=_finite,
    help="Points within which a score agrees with a published one.",
)
def command(folders: tuple[str, ...], published: str | None, margin: float) -> None:
    """Compare the results in OUT (default: bench-out) with published numbers, or cell by cell with those in OTHER.

    Exit code 4 when a score differs from the published one by more than the margin, or a cell moved."""
    from bench.session import pass_on, results
    from bench.store.results import ResultStore

    if len(folders) > 2 or (len(folders) == 2) is (published is not None):
        raise UserError("name one result folder and --published NAME, or two result folders")
    stores = [ResultStore(results(folder).out) for folder in folders or ("bench-out",)]
    text, differs = _against(stores[0], published, margin / 100) if published is not None else _two(*stores)
    for store in stores:
        pass_on(store)
    echo(text, nl=False)
    if differs:
        raise SystemExit(DIFFERS)


def _against(store: ResultStore, published: str, margin: float) -> tuple[str, bool]:
    from leaderboard.board import board_of
    from leaderboard.comparison import published_text
    from leaderboard.ledger import load
    from leaderboard.replication import replications

    ledger = load(published)
    found = replications(board_of(store), ledger, store.task, margin)
    return published_text(found, ledger, margin), any(each.verdict == "differs" for each in found)


def _two(one: ResultStore, other: ResultStore) -> tuple[str, bool]:
    from leaderboard.comparison import moves_text
    from leaderboard.moves import moves

    found = moves(one, other)
    return moves_text(found, (str(one.out), str(other.out))), any(cell.verdict == "moved" for cell in found.cells)
