"""What sets share: what the model says of train rows, and how well random sets serve it. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import Part, UserError
from methods.in_context.params import BestDemonstrationsParams, LmGradMatchParams


def readings_part(params: LmGradMatchParams) -> Part:
    """Gradients of a pool of train rows, for all dpc."""
    return Part(
        kind="lm-readings",
        fields=params.model_dump(mode="json"),
        make="methods.in_context.readings:make",
        assets=("model",),
    )


def readings_parts(params: LmGradMatchParams, dpc: int | None, seed: int) -> Sequence[Part]:
    """What a set of `lm-grad-match` needs. Raises UserError where a pool is smaller than a set."""
    if dpc is not None and params.pool_rows is not None and params.pool_rows < dpc:
        raise UserError(f"pool_rows={params.pool_rows} is less than dpc {dpc}; raise it or ask for a smaller --dpc")
    return [readings_part(params)]


def trials_part(params: BestDemonstrationsParams, dpc: int | None) -> Part:
    """The accuracies of random sets of a size; `keep` only says how many of them are used."""
    return Part(
        kind="demonstration-trials",
        fields=params.model_dump(mode="json", exclude={"keep"}) | {"dpc": dpc},
        make="methods.in_context.trials:make",
        assets=("model",),
    )


def trials_parts(params: BestDemonstrationsParams, dpc: int | None, seed: int) -> Sequence[Part]:
    """What a set of `best-demonstrations` needs."""
    return [trials_part(params, dpc)]
