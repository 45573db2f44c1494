"""Registers the built-in students."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import StudentSpec, hookimpl


@hookimpl
def bench_students() -> Sequence[StudentSpec]:
    """The students of this package."""
    return []
