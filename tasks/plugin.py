"""Registers the built-in tasks."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import TaskSpec, hookimpl


@hookimpl
def bench_tasks() -> Sequence[TaskSpec]:
    """The tasks of this package."""
    return []
