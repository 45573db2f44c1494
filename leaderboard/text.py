"""Board -> markdown and CSV."""

from __future__ import annotations

import csv
import io

from tabulate import tabulate

from leaderboard.board import Board
from leaderboard.columns import columns
from leaderboard.escape import plain_text, spreadsheet_cell
from leaderboard.protocol import Remarks, protocol, remarks
from leaderboard.tables import TRANSFER, Cell, Table, details, overview_tables, sections, transfer_tables, unranked


def _table(table: Table, level: int) -> list[str]:
    """Title, table and note, each followed by an empty line."""

    def texts(line: tuple[Cell, ...]) -> list[str]:
        return [plain_text(str(cell.shown)) for cell in line]

    body = tabulate(
        [*map(texts, table.lines), *map(texts, table.feet)],
        [plain_text(head) for head, _ in table.heads],
        tablefmt="pipe",
        colalign=["left" if kind == "name" else "right" for _, kind in table.heads],
        disable_numparse=True,
    )
    note = [plain_text(table.note), ""] if table.note else []
    return [f"{'#' * level} {plain_text(table.title)}", "", body, "", *note]


def _list(found: Remarks) -> list[str]:
    return [f"## {found.title}", "", *(f"- {plain_text(line)}" for line in found.lines), ""]


def markdown(board: Board) -> str:
    """The whole board as markdown, ending with one newline."""
    lines = ["# Leaderboard", ""]
    for table in overview_tables(board):
        lines += _table(table, 2)
    if found := transfer_tables(board):
        lines += [f"## {TRANSFER}", ""]
        for table in found:
            lines += _table(table, 3)
    league = None
    for section in sections(board):
        if section.league != league:
            league = section.league
            lines += [f"## League {plain_text(section.league_title)}", ""]
        lines += _table(details(board, section), 3)
    if (rest := unranked(board)) is not None:
        lines += _table(rest, 2)
    for remark in (*remarks(board), protocol(board)):
        lines += _list(remark)
    return "\n".join(lines)


def csv_text(board: Board) -> str:
    """One line a cell, fractions in full precision, empty where there is no value."""
    text = io.StringIO()
    mine = columns("csv")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in mine])
    writer.writerows([spreadsheet_cell(column.value(board, row)) for column in mine] for row in board.rows)
    return text.getvalue()
