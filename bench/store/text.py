"""Text from outside (plugins, data, arguments) made safe to keep and to show."""

from __future__ import annotations

import re
import traceback

HALF = "half of a surrogate pair, which is no character"
LINE = 1000  # characters that a reason keeps
TRACE = 20_000  # characters that a traceback keeps
# What a terminal or a browser obeys instead of showing it: control characters but tab and newline, line and paragraph
# separators, marks that turn the direction of writing; and halves of surrogate pairs, which no encoding can write.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def shown(text: str) -> str:
    """The text with every character that is obeyed rather than shown written as `\\uXXXX`, as JSON writes it."""
    return _OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def one_line(text: str, limit: int = LINE) -> str:
    """The text on one line, safe to show; a longer one is cut in the middle and says how long it was."""
    line = shown(" ".join(text.split()))
    if len(line) <= limit:
        return line
    half = limit // 2
    return f"{line[:half]} ... ({len(text)} characters) ... {line[len(line) - half :]}"


def excerpt(text: str, limit: int = TRACE) -> str:
    """The lines of a text, safe to show; a longer one is cut in the middle and says how much is left out."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]}\n... ({len(text) - 2 * half} characters left out) ...\n{text[-half:]}"
    return shown(text)


def message(error: BaseException) -> str:
    """What an error says, on one line; also of one that cannot say it."""
    try:
        return one_line(str(error))
    except Exception as another:
        return f"its message cannot be read ({type(another).__name__})"


def trace(error: BaseException) -> str:
    """The traceback of an error, safe to show and cut in the middle when it is very long."""
    return excerpt("".join(traceback.format_exception(error)))


def unwritable(text: str) -> bool:
    """Whether it holds half of a surrogate pair (HALF): no file can keep it, no tokenizer can read it."""
    return not text.isascii() and _SURROGATE.search(text) is not None
