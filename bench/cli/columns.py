"""Plain text in aligned columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from bench.output import echo
from bench.plugins import Registry

WIDTH = 110


def columns(rows: Sequence[Sequence[str]], indent: int = 2) -> list[str]:
    """Rows of cells as lines; every column but the last is as wide as its longest cell."""
    if not rows:
        return []
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [
        (" " * indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def wrapped(rows: Sequence[Sequence[str]], indent: int = 2) -> list[str]:
    """As `columns`, but a long last cell goes on below itself."""
    if not rows:
        return []
    heads = columns([row[:-1] for row in rows], indent)
    start = max(map(len, heads)) + 2
    lines = []
    for head, row in zip(heads, rows, strict=True):
        parts = textwrap.wrap(row[-1], max(WIDTH - start, 30), break_long_words=False, break_on_hyphens=False) or [""]
        lines.append(f"{head.ljust(start)}{parts[0]}".rstrip())
        lines += [" " * start + part for part in parts[1:]]
    return lines


def warn(registry: Registry) -> None:
    """One line on stderr for each plugin that is not in order."""
    for line in registry.warnings():
        echo(f"bench: warning: {line}", err=True)
