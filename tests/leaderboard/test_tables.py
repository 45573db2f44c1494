"""Tables of a board: references of another league stand beside its rows, marked, and say nothing they should not."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import replace

from bench.store.record import Record
from bench.store.results import ResultStore
from leaderboard.board import Board, build
from leaderboard.figures import score_text
from leaderboard.page import html_fragment, page
from leaderboard.tables import details, overview_tables, references, sections
from leaderboard.text import csv_text, markdown
from tests.leaderboard.records import cell, record

MARK = "(reference, league A)"
SOFT = [replace(one, league="B") for dpc in (5, 20) for one in cell("kcenters", dpc=dpc)]
HARD = [*cell("random"), *cell("herding"), *cell("random", dpc=20), *cell("full", dpc=None)]


def lines_of(board: Board, league: str) -> list[list[str]]:
    """Cells of the league's first details table as texts, heads first."""
    section = next(section for section in sections(board) if section.league == league)
    table = details(board, section)
    return [[head for head, _ in table.heads], *([str(cell.shown) for cell in line] for line in table.lines)]


def test_references_stand_behind_the_rows_of_their_dpc_and_are_compared_with_nothing() -> None:
    board = build([*HARD, *SOFT])
    heads, *lines = lines_of(board, "B")
    assert [(line[0], line[1]) for line in lines] == [
        ("5", "kcenters"),
        ("5", f"random {MARK}"),
        ("20", "kcenters"),
        ("20", f"random {MARK}"),
        ("all", f"full {MARK}"),
    ]
    scores = {(row.method, row.dpc): row.summary for row in board.rows if row.league == "A"}
    for line in (line for line in lines if MARK in line[1]):
        summary = scores[line[1].removesuffix(f" {MARK}"), None if line[0] == "all" else int(line[0])]
        assert summary is not None
        assert line[2] == score_text(summary)
        assert [line[heads.index(name)] for name in ("vs random", "rank")] == ["–", "–"]
        assert line[-1] == "10/10"


def test_the_own_league_shows_none_and_csv_has_a_line_a_cell() -> None:
    board = build([*HARD, *SOFT])
    assert not any(MARK in cell for line in lines_of(board, "A") for cell in line)
    assert lines_of(board, "A") == lines_of(build(HARD), "A"), "digit for digit"
    assert len(list(csv.DictReader(io.StringIO(csv_text(board))))) == len(board.rows) == 6


def test_every_view_shows_and_explains_them(results: Callable[[Iterable[Record]], ResultStore]) -> None:
    store = results([*HARD, *SOFT])
    board = build(store.records())
    html = page(board, store)
    assert markdown(board).count(MARK) == html.count(MARK) == html_fragment(board).count(MARK) == 3
    assert markdown(board).count("- reference: a row of another league") == 1
    assert "full (league A) 7" in html, "a level in the drawing"
    assert "reference" not in markdown(build(HARD))


def test_a_section_names_each_reference_once() -> None:
    board = build([*HARD, *SOFT])
    section = next(section for section in sections(board) if section.league == "B")
    assert [row.names for row in references(board, section)] == [
        ("bbc", "minilm", 5, "random"),
        ("bbc", "minilm", 20, "random"),
        ("bbc", "minilm", None, "full"),
    ]


def test_a_method_without_a_mean_that_leads_where_it_was_run_is_named() -> None:
    def score(value: float, method: str, dpc: int) -> Record:
        return record(value, method=method, dpc=dpc)

    whole = [score(value, method, dpc) for method, value in (("random", 0.5), ("kcenters", 0.6)) for dpc in (5, 20)]
    for value, named in ((0.7, "herding (1 of 2)"), (0.55, "")):
        (table,) = overview_tables(build([*whole, score(value, "herding", 5)]))
        assert "No mean, because a cell is missing or incomplete: herding." in table.note
        assert (f"over the columns that they have: {named}." in table.note) == bool(named)
        assert ("ahead" in table.note) == bool(named)
