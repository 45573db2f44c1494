"""The trained sets as parts: methods that train alike share them, set by set. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.api import Part
from methods.embedding.params import UnrolledParams, group_count


def parts(params: Any, dpc: int | None, seed: int) -> Sequence[Part]:
    """What a set is made of: its training. Raises UserError where dpc is too small for its groups."""
    if dpc is not None:
        group_count(params, dpc)
    return (training(params, dpc, seed),)


def training(params: Any, dpc: int | None, seed: int) -> Part:
    """A training of a set: dpc examples a class, seeded by the set's `common_seed`."""
    fields = {name: getattr(params, name) for name in UnrolledParams.model_fields}
    return Part(
        kind="embedding-set",
        fields=fields | {"dpc": dpc, "seed": seed},
        make="methods.embedding.make:make",
        assets=("encoder",),
    )


def params_of(part: Part) -> UnrolledParams:
    """The parameters of a training."""
    return UnrolledParams(**{name: part.fields[name] for name in UnrolledParams.model_fields})
