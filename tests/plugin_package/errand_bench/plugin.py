"""Registers the plugin; nothing heavy is imported here, so that `bench list` stays quick."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from bench.api import MethodSpec, Params, TaskSpec, hookimpl

DATA = Path(__file__).parent / "data"


class LongestParams(Params):
    """Parameters of `longest`."""

    unit: Literal["words", "characters"] = Field(default="words", description="What the length of a text counts.")


@hookimpl
def bench_methods() -> Sequence[MethodSpec]:
    """The methods of this package."""
    return [
        MethodSpec(
            name="longest",
            summary="The longest texts of each class.",
            target="errand_bench.longest:Longest",
            params=LongestParams,
            tags=("coreset", "text"),
            deterministic=True,
        )
    ]


@hookimpl
def bench_tasks() -> Sequence[TaskSpec]:
    """The tasks of this package."""
    return [
        TaskSpec(
            name="errands",
            summary="Instruction -> where it is carried out: kitchen, garden or workshop.",
            target="errand_bench.errands:Errands",
            assets=lambda params: (str(DATA),),  # a local path stands in the identity by its files' hashes
            notes="Put together from 16 verbs, 14 objects and 8 endings a place.",
        )
    ]
