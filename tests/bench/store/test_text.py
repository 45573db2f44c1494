"""Text from outside: what is shown of it, and what is kept."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.store.text import excerpt, message, one_line, shown, trace, unwritable

ANY = st.text(st.characters(codec=None, exclude_categories=()))  # with surrogates, unlike hypothesis' default


@given(ANY)
def test_what_is_shown_can_be_written_and_gives_no_order(text: str) -> None:
    found = shown(text)
    found.encode()
    kinds = {unicodedata.category(letter) for letter in found}
    assert not kinds & {"Cs", "Zl", "Zp"}
    assert not any(unicodedata.category(letter) == "Cc" and letter not in "\t\n" for letter in found)
    assert not set(found) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert shown(found) == found
    if not unwritable(text):  # inside JSON the escapes are JSON's own: nothing is lost
        assert json.loads(shown(json.dumps(text, ensure_ascii=False))) == text


@given(ANY, st.integers(1, 50))
def test_a_reason_is_one_short_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert line == shown(line)
    assert len(line.splitlines()) <= 1
    assert len(line) <= limit + len(f" ... ({len(text)} characters) ... ")


def test_plain_text_stays_as_it_is() -> None:
    text = "Grüße, 你好, مرحبا, 👩‍🔬, a\tb"
    assert shown(text) == text
    assert one_line("two\nlines  and\r\nmore") == "two lines and more"
    assert shown("\x1b[31mred\x00 \u202eexe.txt \ud800") == r"\u001b[31mred\u0000 \u202eexe.txt \ud800"


def test_long_text_is_cut_and_says_so() -> None:
    assert one_line("cannot read " + "x" * 5_000_000 + ": no such file", 40) == (
        "cannot read xxxxxxxx ... (5000026 characters) ... xxxxxx: no such file"
    )
    cut = excerpt("a" * 60 + "b" * 60, 100)
    assert cut == f"{'a' * 50}\n... (20 characters left out) ...\n{'b' * 50}"


def test_errors_that_cannot_be_shown() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    assert message(Silent()) == "its message cannot be read (RuntimeError)"
    assert "Silent" in trace(Silent())
    assert len(trace(ValueError("x" * 5_000_000))) < 25_000


@pytest.mark.parametrize(("text", "found"), [("a", False), ("é👩", False), ("\ud83d", True), ("a\udcff", True)])
def test_unwritable(text: str, found: bool) -> None:
    assert unwritable(text) is found
