"""Benchmark suite for text dataset distillation.

import bench

results = bench.run(tasks="bbc", methods="kcenters,random", dpc=2)
results.frame()  # one row a replicate
results.board()  # the board, which shows itself
bench.results("bench-out")  # of an earlier run
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.errors import PluginError, UserError

if TYPE_CHECKING:
    from bench.session import Results, results, run

__all__ = ["PluginError", "Results", "UserError", "results", "run"]
DOOR = ("Results", "results", "run")


def __getattr__(name: str) -> Any:
    """The front door loads when somebody knocks: `bench list` does without it."""
    if name in DOOR:
        from bench import session

        return getattr(session, name)
    raise AttributeError(f"module 'bench' has no attribute '{name}'")
