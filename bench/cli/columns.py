"""Plain text in aligned columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.output import echo
from bench.plugins import Registry

WIDTH = 110
LEAST = 30  # letters of a last column that goes on below itself


def columns(rows: Sequence[Sequence[str]], indent: int = 2) -> list[str]:
    """Rows of cells as lines; every column but the last is as wide as its longest cell."""
    return _lines(rows, indent)


def wrapped(rows: Sequence[Sequence[str]], indent: int = 2) -> list[str]:
    """As `columns`, but a long last cell goes on below itself."""
    heads = [row[:-1] for row in rows]
    room = WIDTH - max(map(len, _lines(heads, indent)), default=0) - 2
    widths = [None] * (len(rows[0]) - 1) if rows else []
    return _lines(rows, indent, maxcolwidths=[*widths, max(room, LEAST)])


def _lines(rows: Sequence[Sequence[str]], indent: int, **options: Any) -> list[str]:
    from tabulate import tabulate

    if not rows or not rows[0]:
        return []
    text = tabulate(
        rows,
        tablefmt="plain",
        disable_numparse=True,
        preserve_whitespace=True,
        break_long_words=False,
        break_on_hyphens=False,
        **options,
    )
    return [(" " * indent + line).rstrip() for line in text.split("\n")]


def warn(registry: Registry) -> None:
    """One line on stderr for each plugin that is not in order."""
    for line in registry.warnings():
        echo(f"bench: warning: {line}", err=True)
