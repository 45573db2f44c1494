"""Board -> one self-contained HTML file: no request leaves it, and a policy in its head forbids any."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from bench.store.results import ResultStore
from leaderboard.board import METRICS, Board, Row
from leaderboard.cells import counted
from leaderboard.plot import Plot, plot
from leaderboard.protocol import protocol, remarks
from leaderboard.reports import reports
from leaderboard.samples import samples, task_card
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
    found.filters["parts"] = _parts
    return found


def _parts(name: str) -> list[str]:
    """A label cut where it may wrap: between its parameters."""
    return re.split(r"(?<=[\[,=_])", name)


@dataclass(frozen=True)
class Block:
    """What the page shows of a section: its table, and accuracy against dpc where that can be drawn."""

    section: Section
    table: Table
    plot: Plot | None


def _levels(rows: Sequence[Row], beside: Sequence[Row], store: ResultStore) -> dict[str, float]:
    """The scores of `full`, and the share of the most frequent test label where the metric is accuracy.

    beside: rows of another league, whose names say so.
    """
    lines = {row.method: row.summary.mean for row in rows if row.is_full and row.summary is not None}
    for row in beside:
        if row.is_full and row.summary is not None:
            lines[f"{row.method} (league {row.league})"] = row.summary.mean
    card = task_card(store, rows[0])
    labels = card.test_labels if card is not None else ()
    if labels and rows[0].metric == "accuracy":
        lines["largest class"] = max(map(labels.count, set(labels))) / len(labels)
    return lines


def _block(board: Board, store: ResultStore, section: Section) -> Block:
    metric = METRICS.get(section.rows[0].metric, section.rows[0].metric)
    drawing = plot(section.rows, board.methods, _levels(section.rows, references(board, section), store), metric)
    return Block(section, details(board, section), drawing)


def page(board: Board, store: ResultStore) -> str:
    """The HTML text. Sets and task facts are read from `store`."""
    script = environment().get_template("board.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    facts = [
        counted(len(board.tasks), "task"),
        counted(len(board.methods), "method"),
        counted(len(board.students), "student"),
        counted(sum(row.ok for row in board.rows), "finished replicate"),
    ]
    return (
        environment()
        .get_template("page.html")
        .render(
            policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
            board=board,
            facts=", ".join(facts),
            overviews=overview_tables(board),
            transfer=TRANSFER,
            transfers=transfer_tables(board),
            blocks=[_block(board, store, section) for section in sections(board)],
            unranked=unranked(board),
            remarks=remarks(board),
            protocol=protocol(board),
            samples=samples(board, store),
            reports=reports(board, store),
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
