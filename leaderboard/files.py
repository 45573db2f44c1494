"""The boards of a result folder as files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.store.files import write_atomic
from bench.store.results import ResultStore
from bench.store.text import shown
from leaderboard.board import board_of
from leaderboard.latex import latex
from leaderboard.ledger import load
from leaderboard.page import page
from leaderboard.replication import marked
from leaderboard.statistics import Correction
from leaderboard.text import csv_text, markdown

FILES = {"md": "leaderboard.md", "csv": "leaderboard.csv", "html": "leaderboard.html", "latex": "leaderboard.tex"}
READ = ("md", "csv", "latex")


def write_boards(
    store: ResultStore,
    folder: Path,
    *,
    formats: Iterable[str] = tuple(FILES),
    tasks: list[str] | None = None,
    students: list[str] | None = None,
    methods: list[str] | None = None,
    dpcs: list[int] | None = None,
    baseline: str | None = None,
    correction: Correction = "none",
    published: str | None = None,
) -> str:
    """Write leaderboard.md, .csv, .html and .tex (those of `formats`) into `folder`; return the text to print.

    That is the one format that is asked for, if it is a text to read, else the markdown.

    published: a source whose numbers stand beside the rows (`leaderboard.ledger.load`).
    """
    board = board_of(
        store, tasks=tasks, students=students, methods=methods, dpcs=dpcs, baseline=baseline, correction=correction
    )
    if published is not None:
        board = marked(board, load(published), store.task)
    text = markdown(board)
    contents = {
        "md": lambda: text,
        "csv": lambda: csv_text(board),
        "html": lambda: page(board, store),
        "latex": lambda: latex(board),
    }
    written = {name: shown(contents[name]()) for name in formats}
    for name, content in written.items():
        write_atomic(folder / FILES[name], content)
    only = next(iter(written)) if len(written) == 1 else "md"
    return written[only] if only in READ and only in written else shown(text)
