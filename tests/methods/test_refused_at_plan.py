"""Parameters that cannot be at a dpc: refused in one line before anything is computed, for the whole plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli.plan import command
from bench.errors import UserError

GROUPS = "method 'tdd[groups=5]': groups=5: with dpc 2 there are not enough examples; ask for 2 at most"
POOL = "method 'el2n[pool_rows=3]': pool_rows=3 is less than dpc 5; raise it or ask for a smaller --dpc"


@pytest.mark.parametrize(
    ("method", "dpc", "said"),
    [
        ("tdd[groups=5]", 2, GROUPS),
        ("tdd[groups=5]", 5, ""),
        ("el2n[pool_rows=3]", 5, POOL),
        ("el2n[pool_rows=3]", 3, ""),
    ],
)
def test_what_cannot_be_at_a_dpc(method: str, dpc: int, said: str, tmp_path: Path) -> None:
    words = ["--tasks", "bbc", "--dpc", str(dpc), "--cache", str(tmp_path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(command, ["--methods", f"random,{method}", *words], standalone_mode=False)
    assert ("" if done.exception is None else str(done.exception)) == said
    assert done.exception is None or isinstance(done.exception, UserError)
