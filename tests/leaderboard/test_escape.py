"""Names from outside: no markup in markdown, no formula in a spreadsheet."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from leaderboard.board import build
from leaderboard.escape import code_span, spreadsheet_cell
from leaderboard.render import csv_text, markdown
from tests.leaderboard.records import cell, plugin, record, student, task


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_a_text_is_no_formula_and_a_number_stays(sign: str) -> None:
    assert spreadsheet_cell(f"{sign}1+1") == f"'{sign}1+1"
    assert [spreadsheet_cell(value) for value in (-0.5, 5, None, "", "all", "a=b")] == [-0.5, 5, None, "", "all", "a=b"]


def test_names_are_neither_markup_nor_formulas_on_the_board() -> None:
    evil = "<img src=x onerror=alert(1)>"
    table = task("table", f"table:{evil}.csv")
    rows = [*cell("random", dpc=5), *cell("random", dpc=20), *cell("herding", dpc=5)]
    records = [replace(one, task=table, student=student("s", f"=cmd()|{evil}")) for one in rows]
    failed = record(None, method=plugin("m", f"@{evil}"), status="failed", reason="=1+1")
    board = build([*records, replace(failed, task=table)])
    assert "<" not in markdown(board)
    lines = list(csv.DictReader(io.StringIO(csv_text(board))))
    assert {row["student"][:6] for row in lines} == {"'=cmd(", "minilm"}
    assert not [text for row in lines for text in row.values() if text.startswith(("=", "@", "+"))]
    assert any(float(row["difference"] or 0) for row in lines), "numbers with a sign stay numbers"


def test_a_backtick_does_not_end_the_code() -> None:
    assert code_span("a`<b>\n`c") == "`a'<b> 'c`"
