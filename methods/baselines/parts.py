"""What sets share: steps chosen by a grid search, and the scores of random sets. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.api import Part
from methods.baselines.params import BestOfRandomParams, EmbeddedCentersParams, EmbeddedParams, MeanParams

CLASS_MEAN, KMEANS_CENTROID = "class-mean", "kmeans-centroid"
RANDOM_EMBEDDED, KCENTERS_EMBEDDED = "random-embedded", "kcenters-embedded"
PARAMS: dict[str, type[EmbeddedParams]] = {
    CLASS_MEAN: MeanParams,
    KMEANS_CENTROID: MeanParams,
    RANDOM_EMBEDDED: EmbeddedParams,
    KCENTERS_EMBEDDED: EmbeddedCentersParams,
}


def steps_part(method: str, params: EmbeddedParams, dpc: int | None) -> Part:
    """The steps of all sets of a baseline and dpc; of `class-mean` for any dpc, as its copies train like one."""
    size = 1 if method == CLASS_MEAN else dpc
    return Part(
        kind="baseline-steps",
        fields=params.model_dump(exclude={"form"}) | {"method": method, "dpc": size},
        make="methods.baselines.steps:make",
        assets=("encoder",),
    )


def ranking_part(params: BestOfRandomParams, dpc: int | None) -> Part:
    """The scores of random sets of a size; `keep` only says how many of them are used."""
    return Part(
        kind="best-of-random",
        fields=params.model_dump(exclude={"keep"}) | {"dpc": dpc},
        make="methods.baselines.ranking:make",
        assets=("encoder",),
    )


def steps_parts(method: str, params: Any, dpc: int | None, seed: int) -> Sequence[Part]:
    """What a set of a baseline at embedding level needs: nothing in its text form."""
    return [] if getattr(params, "form", "embeddings") == "text" else [steps_part(method, params, dpc)]


def ranking_parts(params: BestOfRandomParams, dpc: int | None, seed: int) -> Sequence[Part]:
    """What a set of `best-of-random` needs."""
    return [ranking_part(params, dpc)]


def ranking_fields(part: Part) -> tuple[BestOfRandomParams, int]:
    """The parameters that a ranking follows, and dpc."""
    fields = dict(part.fields)
    dpc = int(fields.pop("dpc"))
    return BestOfRandomParams(**fields), dpc


def steps_fields(part: Part) -> tuple[str, EmbeddedParams, int]:
    """The baseline whose steps are wanted, the parameters that they follow, and dpc."""
    fields = dict(part.fields)
    method, dpc = str(fields.pop("method")), int(fields.pop("dpc"))
    return method, PARAMS[method](**fields), dpc
