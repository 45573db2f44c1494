"""Names from outside: no markup in markdown, no formula in a spreadsheet, no order in LaTeX."""

from __future__ import annotations

import csv
import io
import string
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.store.text import shown
from leaderboard.board import build
from leaderboard.escape import code_span, latex_text, spreadsheet_cell
from leaderboard.text import csv_text, markdown
from tests.leaderboard.records import cell, plugin, record, student, task
from tests.leaderboard.tex import ACCENTS, printed


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


ASCII = string.printable.strip()
KNOWN = "àéîõüåçčžőāăżñíĵßæÆœŒøØłŁı–—…‘’“”±−×≤≥≠"


def quotes(text: str) -> str:
    """As TeX prints them."""
    return text.replace("'", "’").replace("`", "‘")


@given(st.text(ASCII + KNOWN + " \n\t"))
def test_latex_prints_the_text_as_it_stands(text: str) -> None:
    found = latex_text(text)
    assert found.isascii()
    assert printed(found) == quotes(unicodedata.normalize("NFC", " ".join(text.split())))


def has_a_font(letter: str) -> bool:
    """ASCII, known, or an ASCII letter under one accent that TeX has."""
    parts = unicodedata.normalize("NFD", letter)
    accented = len(parts) == 2 and parts[0] in string.ascii_letters and parts[1] in ACCENTS.values()
    return letter.isascii() or letter in KNOWN or accented


@given(st.text())
def test_latex_obeys_no_text(text: str) -> None:
    """`printed` refuses active characters, unknown commands and unbalanced braces; what no font has is written out."""
    line = unicodedata.normalize("NFC", shown(" ".join(text.split())))
    expected = "".join(each if has_a_font(each) else f"\\u{ord(each):04x}" for each in line)
    assert printed(latex_text(text)) == quotes(expected)
    assert not latex_text(text).startswith(("[", "*")), "the end of the line before would read it as its option"


def test_each_special_is_escaped_and_no_ligature_is_left() -> None:
    assert latex_text("#$%&_{}") == r"\#\$\%\&\_\{\}"
    assert latex_text("~^\\") == r"\textasciitilde{}\textasciicircum{}\textbackslash{}"
    assert latex_text("a--b ''c ,,") == "a-{}-b '{}'c ,{},"
    assert latex_text("é í 中 \x1b[31m") == r"\'{e} \'{\i} \textbackslash{}u4e2d \textbackslash{}u001b[31m"
    assert latex_text("-1 ±2 −3") == r"-1 $\pm$2 $-$3"


@pytest.mark.parametrize("tex", ["a_b", "50%", "a & b", "{", "}", r"\input{x}", "~", "<", '"', "é"])
def test_the_reader_of_these_tests_refuses_what_latex_would_obey(tex: str) -> None:
    with pytest.raises(AssertionError):
        printed(tex)
