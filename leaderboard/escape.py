"""Names from outside in files that others open: no markup in markdown, no formula in a spreadsheet."""

from __future__ import annotations

from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of a formula


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
