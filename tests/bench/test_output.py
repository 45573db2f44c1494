"""All output of the engine goes through `echo`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bench
from bench.output import echo

FOLDER = Path(bench.__path__[0])
ASIDE = re.compile(r"\bclick\.s?echo\(|\bprint\(|\bsys\.(stdout|stderr)\.write\(")


def test_nothing_prints_past_it() -> None:
    sources = {str(path.relative_to(FOLDER)): path.read_text() for path in FOLDER.rglob("*.py")}
    assert [name for name, text in sources.items() if ASIDE.search(text)] == ["output.py"]


def test_orders_to_the_terminal_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    echo("a\x1b[2Jb\u202e", err=True)
    echo("fine,\nin two lines")
    assert capsys.readouterr() == ("fine,\nin two lines\n", "a\\u001b[2Jb\\u202e\n")
