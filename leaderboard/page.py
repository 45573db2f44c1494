"""Board -> one self-contained HTML file: no request leaves it, and a policy in its head forbids any."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from bench.store.results import ResultStore
from bench.store.text import shown
from leaderboard.board import Board
from leaderboard.cells import counted
from leaderboard.classes import ClassTable, class_tables
from leaderboard.diagram import diagram
from leaderboard.filters import filters, marker
from leaderboard.plot import Plot, cost_plot, plot
from leaderboard.protocol import protocol, remarks
from leaderboard.reports import reports
from leaderboard.row import METRICS, Row
from leaderboard.samples import SETS_SHOWN, samples, task_card
from leaderboard.tables import (
    TRANSFER,
    Section,
    Table,
    details,
    overview_tables,
    references,
    sections,
    transfer_tables,
    unranked,
)

if TYPE_CHECKING:
    from jinja2 import Environment

MANY = 300  # rows from which on a section is packed, and built when it is opened
FEW_SETS = 1  # that such a board shows of a cell


@cache
def environment() -> Environment:
    """The templates: every text that they are given is escaped, and a name that they are not given is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("leaderboard", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["px"] = "{:.1f}".format
    found.filters["packed"] = packed
    found.filters["marked"] = lambda place, marks: marks(place)
    found.filters["parts"] = _parts
    return found


def packed(text: str) -> str:
    """Markup as the page's script unpacks it: base64 of zlib; safe to show before that, for nobody can look into it."""
    return base64.b64encode(zlib.compress(shown(str(text)).encode(), 9)).decode()


def _parts(name: str) -> list[str]:
    """A label cut where it may wrap: between its parameters."""
    return re.split(r"(?<=[\[,=_])", name)


@dataclass(frozen=True)
class Block:
    """What the page shows of a section: its table, its drawings where there is something to draw, its classes."""

    section: Section
    table: Table
    plot: Plot | None
    costs: Plot | None
    classes: list[ClassTable]


def _levels(rows: Sequence[Row], beside: Sequence[Row], store: ResultStore) -> dict[str, float]:
    """The scores of all data and of none, and the share of the most frequent test label where the metric is accuracy.

    beside: rows of another league, whose names say so.
    """
    lines = {row.method: row.summary.mean for row in rows if row.dpc is None and row.summary is not None}
    for row in beside:
        if row.is_full and row.summary is not None:
            lines[f"{row.method} (league {row.league})"] = row.summary.mean
    card = task_card(store, rows[0])
    labels = card.test_labels if card is not None else ()
    if labels and rows[0].metric == "accuracy":
        lines["largest class"] = max(map(labels.count, set(labels))) / len(labels)
    return lines


def _block(board: Board, store: ResultStore, section: Section) -> Block:
    rows = section.rows
    metric = METRICS.get(rows[0].metric, rows[0].metric)
    return Block(
        section,
        details(board, section, "page"),
        plot(rows, board.methods, _levels(rows, references(board, section), store), metric, board.baseline),
        cost_plot(rows, board.methods, metric, board.baseline),
        class_tables(rows),
    )


def page(board: Board, store: ResultStore) -> str:
    """The HTML text. Sets, task facts and gold labels are read from `store`."""
    script = environment().get_template("board.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    facts = [
        counted(len(board.tasks), "task"),
        counted(len(board.methods), "method"),
        counted(len(board.students), "student"),
        counted(sum(row.ok for row in board.rows), "finished replicate"),
    ]
    choices, many = filters(board), len(board.rows) >= MANY
    sets = FEW_SETS if many else SETS_SHOWN
    return (
        environment()
        .get_template("page.html")
        .render(
            policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
            board=board,
            facts=", ".join(facts),
            filters=[each for each in choices if len(each.marks) > 1],
            marks=marker(choices),
            many=many,
            overviews=[(table, table.ranks and diagram(table.ranks)) for table in overview_tables(board)],
            transfer=TRANSFER,
            transfers=transfer_tables(board),
            blocks=(_block(board, store, section) for section in sections(board)),
            unranked=unranked(board),
            remarks=remarks(board),
            protocol=protocol(board, page=True),
            samples=samples(board, store, sets),
            reports=reports(board, store, sets),
        )
    )


def html_fragment(board: Board) -> str:
    """The tables of a board with a style of their own and no script, for a notebook to show."""
    return (
        environment()
        .get_template("fragment.html")
        .render(
            overviews=overview_tables(board),
            transfer=TRANSFER,
            transfers=transfer_tables(board),
            sections=[(section, details(board, section)) for section in sections(board)],
            unranked=unranked(board),
            remarks=remarks(board),
        )
    )
