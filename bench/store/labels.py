"""The grammar of labels, as users type them and as records keep them: `name[key=value,...]`."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from bench.errors import UserError
from bench.store.identity import canonical

MOST_BRACKETS = 100  # of one value: its readers call themselves for each


def split(text: str, where: str, mend: str = "") -> list[str]:
    """Split at the commas that stand outside brackets and quotes. Raises UserError, with `mend`, for an unclosed one.

    A quote opens where a value begins; elsewhere it is a letter (`it's.csv`).
    """
    parts, start, depth, quote, escaped = [], 0, 0, "", False
    for position, letter in enumerate(text):
        if quote:
            if letter == quote and not escaped:
                quote = ""
            escaped = letter == "\\" and quote == '"' and not escaped
        elif letter in "\"'" and (text[:position].strip() or ",")[-1] in "=[,{":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
            if depth < 0:
                break
        elif letter == "," and not depth:
            parts.append(text[start:position])
            start = position + 1
    if depth or quote:
        raise UserError(f"{where} '{text}': {'a quote' if quote else 'a bracket'} is not closed or not opened{mend}")
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def value_of(text: str) -> Any:
    """A JSON or TOML value, a list of such, or else the text itself. UserError for one nested beyond all reason."""
    text = text.strip()
    if text.count("[") + text.count("{") > MOST_BRACKETS:
        raise UserError(f"'{text:.60}...' has {text.count('[') + text.count('{')} brackets; {MOST_BRACKETS} at most")
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        pass
    if text.startswith("[") and text.endswith("]"):
        return [value_of(part) for part in split(text[1:-1], "list")]
    try:
        value = tomllib.loads(f"value = {text}")["value"]
        canonical(value)
    except (ValueError, TypeError, KeyError, RecursionError):  # dotted keys nest without brackets
        return text
    return value


def written(value: Any) -> str:
    """A value as the grammar reads it back: bare where that is the same value, else JSON."""
    if isinstance(value, str) and re.fullmatch(r"[^\s,\[\]{}\"'=]+", value) and value_of(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
