"""The boards of a result folder as files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.store.files import write_atomic
from bench.store.results import ResultStore
from bench.store.text import shown
from leaderboard.board import board_of
from leaderboard.ledger import load
from leaderboard.page import page
from leaderboard.replication import marked
from leaderboard.statistics import Correction
from leaderboard.text import csv_text, markdown

FORMATS = ("md", "csv", "html")


def write_boards(
    store: ResultStore,
    folder: Path,
    *,
    formats: Iterable[str] = FORMATS,
    tasks: list[str] | None = None,
    students: list[str] | None = None,
    baseline: str | None = None,
    correction: Correction = "none",
    published: str | None = None,
) -> str:
    """Write leaderboard.md, .csv and .html (those of `formats`) into `folder`; return the markdown text.

    published: a source whose numbers stand beside the rows (`leaderboard.ledger.load`).
    """
    board = board_of(store, tasks=tasks, students=students, baseline=baseline, correction=correction)
    if published is not None:
        board = marked(board, load(published), store.task)
    text = markdown(board)
    contents = {"md": lambda: text, "csv": lambda: csv_text(board), "html": lambda: page(board, store)}
    for name in formats:
        write_atomic(folder / f"leaderboard.{name}", shown(contents[name]()))
    return shown(text)
