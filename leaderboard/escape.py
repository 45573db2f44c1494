"""Names from outside in files that others open: no markup in markdown, no formula in a spreadsheet, no LaTeX order."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from bench.store.text import shown

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of a formula
LATEX = {letter: f"\\{letter}" for letter in "#$%&_{}"}
LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}  # other signs in TeX's old font encoding
LATEX |= {'"': r"{\char34}", "`": "{}`{}"}  # the first gives orders to some languages of babel
LATEX |= {"–": "--{}", "—": "---{}", "…": r"\dots{}", "‘": "{}`{}", "’": "'{}", "“": "{}``{}", "”": "''{}"}
LATEX |= {"±": r"$\pm$", "−": "$-$", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$"}
LATEX |= {"ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}"}
LATEX |= {"ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}"}
ACCENTS = dict(zip(map(chr, (0x300, 0x301, 0x302, 0x303, 0x308)), "`'^~\"", strict=True))
ACCENTS |= dict(zip(map(chr, (0x304, 0x306, 0x307, 0x30A, 0x30B, 0x30C, 0x327)), "=u.rHvc", strict=True))
LIGATURE = re.compile(r"-(?=-)|'(?=')|,(?=,)")


def plain_text(text: str) -> str:
    """Text that cannot break a markdown table or line or start markup."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def code_span(text: str) -> str:
    """Text as code in markdown; a backtick in it, which would end the code, becomes an apostrophe."""
    inside = text.replace("`", "'").replace("\n", " ")
    return f"`{inside}`"


def spreadsheet_cell(value: Any) -> Any:
    """A CSV value: a text that would be a formula is quoted as spreadsheets do, with an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def latex_text(text: str) -> str:
    """ASCII that LaTeX prints as the text stands, in any of its engines; letters that it may lack as `\\uXXXX`."""
    line = unicodedata.normalize("NFC", shown(" ".join(text.split())))
    found = "".join(map(_latex_letter, LIGATURE.sub(lambda match: f"{match[0]}\0", line)))
    return f"{{}}{found}" if found.startswith(("[", "*")) else found  # `\\\\` before it would read these


def _latex_letter(letter: str) -> str:
    if letter == "\0":  # no other is left: here a ligature is undone
        return "{}"
    if letter in LATEX:
        return LATEX[letter]
    if letter.isascii():
        return letter
    parts = unicodedata.normalize("NFD", letter)
    base, accents = parts[0], parts[1:]
    if base.isascii() and base.isalpha() and accents in ACCENTS:
        dotless = "\\" if base in "ij" else ""
        return f"\\{ACCENTS[accents]}{{{dotless}{base}}}"
    return f"{LATEX[chr(92)]}u{ord(letter):04x}"
