"""The hooks of the entry-point group `bench`. A plugin module implements any of them with `@hookimpl`."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from bench.api import Asset, MethodSpec, StudentSpec, TaskSpec

hookspec = pluggy.HookspecMarker("bench")


@hookspec
def bench_tasks() -> Sequence[TaskSpec]:  # type: ignore[empty-body]
    """Tasks that this plugin adds."""


@hookspec
def bench_methods() -> Sequence[MethodSpec]:  # type: ignore[empty-body]
    """Distillation methods that this plugin adds."""


@hookspec
def bench_students() -> Sequence[StudentSpec]:  # type: ignore[empty-body]
    """Students that this plugin adds."""


@hookspec
def bench_assets() -> Sequence[Asset]:  # type: ignore[empty-body]
    """Data and weights that this plugin's tasks, methods and students refer to by name."""
