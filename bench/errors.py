"""Errors with one clear line for the user; anything else is a bug and keeps its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend: one line that says what is wrong, where, and the mend."""

    exit_code = 1


class PluginError(UserError):
    """A plugin that the command needs is broken, blocked or clashes with another."""

    exit_code = 3


class NotApplicable(Exception):
    """Raised by a method or student that cannot work on this task or set: the cell is a row, not a zero."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the known names when none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(names)}" if names else ""
