"""Parameters of the built-in methods. No heavy import: `bench list` and `bench info` read this."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bench.api import AssetRef, Params


class FeatureParams(Params):
    """Where the features of a coreset come from."""

    encoder: Annotated[str, AssetRef()] = Field(
        default="bert-base",
        min_length=1,
        description="Encoder whose frozen features are compared: a registered asset, hub:org/name, or a folder.",
    )
    pooling: Literal["cls", "mean"] = Field(
        default="cls", description="'cls': vector of the [CLS] token, as in the paper; 'mean': mean over tokens."
    )
    normalize: bool = Field(
        default=False,
        description="Scale features to unit length, as sentence encoders are meant to be compared; the paper does not.",
    )
    max_length: int = Field(default=512, ge=4, le=8192, description="Texts are cut to this many tokens.")


class KCenterGreedyParams(FeatureParams):
    """Parameters of `kcenter-greedy`."""

    start: Literal["random", "mean"] = Field(
        default="random",
        description="First point: a seeded random row (sets differ), or the row nearest to the class mean.",
    )


class HerdingParams(FeatureParams):
    """Parameters of `herding`."""

    variant: Literal["mean", "welling"] = Field(
        default="mean",
        description="'mean': greedy mean matching of iCaRL, as in the paper; 'welling': the original weight update.",
    )
