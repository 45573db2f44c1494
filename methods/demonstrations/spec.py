"""What `bench list` and `bench info` know of the methods that select demonstrations without a learner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.api import MethodSpec
from methods.demonstrations.params import DppParams, VoteKParams

_PER_CLASS = "in each class by itself, so that dpc holds"
_WHITE_BOX = "An encoder that is also the student's favours this method: say so."


def specs() -> Sequence[MethodSpec]:
    """Coverage by votes, and diversity by a determinant."""
    shared: dict[str, Any] = {"selects": True, "tags": ("coreset", "text", "features")}
    return [
        MethodSpec(
            name="vote-k",
            summary="Rows that many of their class have as a neighbour; answered votes count a tenth (fast vote-k).",
            target="methods.demonstrations.vote_k:VoteK",
            params=VoteKParams,
            deterministic=True,
            notes="Su et al. 2022, 'Selective annotation makes language models better few-shot learners', section 2: "
            "the fast variant, the greedy step on the graph of nearest rows alone, rho = 10. The full algorithm takes "
            "most of its rows in a second step, by a language model's confidence; that is not here. The paper selects "
            f"from unlabelled rows, at most 3,000, to be labelled afterwards; here rows are selected {_PER_CLASS}. Its "
            "embeddings are those of a sentence encoder. Of equal rows the lowest index wins. Deterministic: one set, "
            f"all runs train on it. {_WHITE_BOX}",
            **shared,
        ),
        MethodSpec(
            name="dpp",
            summary="Rows of each class that span the largest volume: greedy MAP of a determinantal point process.",
            target="methods.demonstrations.dpp:Dpp",
            params=DppParams,
            deterministic=lambda params: params.start == "mean",
            notes="Chen, Zhang and Zhou 2018, 'Fast greedy MAP inference for determinantal point process', algorithm "
            "1, with the kernel (1 + cosine) / 2, as the DPP baselines for demonstrations have it (Ye et al. 2023, "
            "CEIL), but one fixed set and no query: the quality of all rows is 1, nothing draws towards typical rows, "
            f"and outliers are taken. Rows are selected {_PER_CLASS}. The diagonal of the kernel is the same for all "
            "rows, so the first one is `start`'s, not an argmax of rounding errors; start=mean makes every set the "
            "same. Where no row adds volume (more rows than dimensions + 1, repeated texts) the rest is filled by "
            f"farthest-first traversal, counted in the diagnostic `filled`. {_WHITE_BOX}",
            **shared,
        ),
    ]
