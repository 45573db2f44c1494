"""Registers the built-in methods."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import MethodSpec, hookimpl


@hookimpl
def bench_methods() -> Sequence[MethodSpec]:
    """The methods of this package."""
    return []
