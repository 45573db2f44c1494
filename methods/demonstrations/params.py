"""Parameters of the methods that select demonstrations without a learner. No heavy import."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from methods.params import FeatureParams, KCenterGreedyParams


class VoteKParams(FeatureParams):
    """Parameters of `vote-k`."""

    normalize: Literal[True] = Field(
        default=True, description="Always true: rows are compared by their cosine, as in the paper."
    )
    neighbours: int = Field(
        default=150,
        ge=1,
        description="k: rows of its class that a row votes for, those with the largest cosine. The paper's 150 are of "
        "a pool of 3,000; a class must have k + 2 rows.",
    )


class DppParams(KCenterGreedyParams):
    """Parameters of `dpp`."""

    normalize: Literal[True] = Field(
        default=True, description="Always true: the kernel is made of cosines, as in the paper."
    )
