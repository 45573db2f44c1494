"""What `bench list` and `bench info` know of the methods that judge rows by a learner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.api import MethodSpec
from methods.scores.params import CcsParams, CheckpointParams, GradMatchParams, RankedParams
from methods.scores.parts import parts

_LEARNER = (
    "The learner is trained on a pool of train rows (pool_rows a class: the papers score all), R times from new "
    "heads; its last layer is read without dropout at K checkpoints. These trainings are shared by el2n, grand, "
    "moderate, ccs and grad-match, and by all sets and dpc (learner_seed): intervals over sets do not contain the luck "
    "of the trainings. No validation row is read. A learner that is also the student favours the method: say so."
)
_ONE_SET = "Deterministic: one set, all runs train on it. "


def specs() -> Sequence[MethodSpec]:
    """Difficulty scores, coverage of them, and gradient matching."""
    shared: dict[str, Any] = {"parts": parts, "selects": True, "tags": ("coreset", "text", "scores")}
    shared["prepared_by"] = "learner_seed"
    ranked: dict[str, Any] = {"params": RankedParams, "deterministic": True, **shared}
    collapse = (
        "order=hard is the paper's, made for keeping half of a large image set; at a few rows a class it takes "
        "mislabelled and odd rows and falls to chance or below. order=easy takes typical rows. "
    )
    return [
        MethodSpec(
            name="el2n",
            summary="Rows of each class with the largest norm of the softmax error, early in training.",
            target="methods.scores.ranked:El2n",
            notes="Paul et al. 2021, 'Deep learning on a data diet', definition 2.2 (EL2N): ||softmax - onehot||_2, "
            f"mean over checkpoints and runs. {collapse}{_ONE_SET}{_LEARNER}",
            **ranked,
        ),
        MethodSpec(
            name="grand",
            summary="Rows of each class with the largest gradient of the last layer, early in training.",
            target="methods.scores.ranked:Grand",
            notes="Paul et al. 2021, definition 2.1 (GraNd), of the last linear map alone, where it is "
            "EL2N sqrt(1 + ||h||^2) at each checkpoint (h: what the map reads; the 1 is its bias); the paper takes all "
            f"weights. {collapse}{_ONE_SET}{_LEARNER}",
            **ranked,
        ),
        MethodSpec(
            name="moderate",
            summary="Rows of each class whose distance to the class mean is nearest to the median.",
            target="methods.scores.moderate:Moderate",
            params=CheckpointParams,
            deterministic=True,
            notes="Xia et al. 2023, 'Moderate coreset'. Features are what the trained learner's last linear map reads "
            "at the last checkpoint; distances (L2) are averaged over runs. The rows it takes are alike in distance, "
            f"not in place. {_ONE_SET}{_LEARNER}",
            **shared,
        ),
        MethodSpec(
            name="ccs",
            summary="Random rows of equal-width strata of difficulty, the hardest rows dropped.",
            target="methods.scores.ccs:Ccs",
            params=CcsParams,
            notes="Zheng et al. 2023, 'Coverage-centric coreset selection for high pruning rates', algorithm 1, in "
            "each class by itself so that dpc holds. With fewer rows than strata only the fullest strata give any, so "
            "at low dpc it is a random choice among usual difficulties; the paper tunes beta for each size, here it is "
            f"fixed. {_LEARNER}",
            **shared,
        ),
        MethodSpec(
            name="grad-match",
            summary="Greedy rows whose mean last-layer gradient follows the class's, over learner checkpoints.",
            target="methods.scores.grad_match:GradMatch",
            params=GradMatchParams,
            deterministic=True,
            notes="The greedy rule of herding (Rebuffi et al. 2017, algorithm 4) on the last layer's gradients of the "
            "true labels, those of all checkpoints in one vector; the objective is that of Killamsetty et al. 2021 "
            "(GRAD-MATCH) with equal weights instead of orthogonal matching pursuit. Exact products cost n T (C + q) "
            "a row taken; heads with more than `projection` entries are projected by random signs (learner_seed), much "
            f"as in the cheap selectors for language models (arXiv 2506.04579). {_ONE_SET}{_LEARNER}",
            **shared,
        ),
    ]
