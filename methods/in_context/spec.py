"""What `bench list` and `bench info` know of the methods that ask a language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.api import MethodSpec
from methods.in_context.params import BestDemonstrationsParams, LmGradMatchParams
from methods.in_context.parts import readings_parts, trials_parts

_MODEL = (
    "Prompts are those of the in-context students (`bench info icl`). A model that is also the student favours this "
    "method: say so. What the model was trained on is in `bench info` of its asset."
)


def specs() -> Sequence[MethodSpec]:
    """Gradients of a language model, and trials of random demonstrations."""
    shared: dict[str, Any] = {"selects": True, "tags": ("coreset", "text", "language model")}
    return [
        MethodSpec(
            name="lm-grad-match",
            summary="Greedy rows whose mean gradient in a language model's last layer follows the class's.",
            target="methods.in_context.grad_match:LmGradMatch",
            params=LmGradMatchParams,
            parts=readings_parts,
            prepared_by="pool_seed",
            deterministic=True,
            notes="The rule of `grad-match` on gradients of a model that is not trained: of -log p(label word) among "
            "the first tokens of all label words, without demonstrations, in the rows of the last linear map that "
            "stand for them. After the selection of demonstrations by a small model's last-layer gradients in arXiv "
            "2506.04579, whose gradients are of all tokens and projected at random; these are few enough to be exact. "
            f"No validation row is read. Deterministic: one set. {_MODEL}",
            **shared,
        ),
        MethodSpec(
            name="best-demonstrations",
            summary="Random train rows, of the best fifth of many random sets as demonstrations for train rows.",
            target="methods.in_context.best:BestDemonstrations",
            params=BestDemonstrationsParams,
            parts=trials_parts,
            prepared_by="pool_seed",
            notes="Best of N: each of `candidates` random sets is read in one order and labels `score_rows` train "
            "rows, the same for all and none of them in a candidate where rows are left; validation rows are not read. "
            "Each set picks one of those kept by its own seed, so two sets of a cell may be the same: the board counts "
            "them as one observation. The trials are made once for all sets of a dpc, and their seconds are counted. "
            f"{_MODEL}",
            **shared,
        ),
    ]
