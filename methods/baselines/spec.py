"""What `bench list` and `bench info` know of the baselines of Wang et al. 2018."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from bench.api import MethodSpec
from methods.baselines.params import BestOfRandomParams, EmbeddedCentersParams, EmbeddedParams, MeanParams
from methods.baselines.parts import (
    CLASS_MEAN,
    KCENTERS_EMBEDDED,
    KMEANS_CENTROID,
    RANDOM_EMBEDDED,
    ranking_parts,
    steps_parts,
)

_PAPER = "Wang et al. 2018, 'Dataset distillation', section 4, 'Baselines'"
_GRID = (
    "Embedding level, league C, hard labels: for students with recipe=learned-sgd and the same encoder and frozen "
    "layers. Its steps are equal and on the whole set; size and number are chosen by a grid search on validation rows "
    "(diagnostics: grid, chosen_on), on a set of its own, for all sets of a dpc. The paper's grid, "
    "learning_rates=[0.001,0.003,0.01,0.03,0.1,0.3] and epochs=[1,3,5], is for small networks from scratch: minilm's "
    "best points on bbc lie outside it, at 0.03 to 0.1 and 30 to 200 steps, where validation accuracy is flat; the "
    "default grid goes that far. Diagnostic at_edge_of_grid names what a wider grid may better. A pair of word "
    "embeddings has no second segment."
)
_TEXT = (
    "form=text, league A: for each mean the nearest train row of its class (L2 between means over tokens) that no "
    "other mean has taken; no grid."
)


def specs() -> Sequence[MethodSpec]:
    """The random sets, the means, and the selections that stand beside them in league C."""
    embedded: dict[str, Any] = {
        "selects": True,
        "texts": lambda params: getattr(params, "form", "embeddings") == "text",
        "tags": ("embedding", "baseline"),
    }
    return [
        MethodSpec(
            name="best-of-random",
            summary="Random train rows, of the best fifth of many random sets by learners' accuracy on train rows.",
            target="methods.baselines.best_of_random:BestOfRandom",
            params=BestOfRandomParams,
            parts=ranking_parts,
            prepared_by="pool_seed",
            selects=True,
            tags=("coreset", "text", "baseline"),
            notes=f"{_PAPER}: 'Optimized'. `nets` learners are trained on each of `candidates` random sets, by the "
            "students' recipe in fewer steps, and scored on train rows that are the same for all; validation rows are "
            "not read. The paper has 20 nets and plain gradient descent. Each set picks one of those kept by its own "
            "seed, so two sets of a cell may be the same: the board counts them as one observation. The scoring is "
            "made once for all sets of a dpc, and its seconds are counted.",
        ),
        MethodSpec(
            name=CLASS_MEAN,
            parts=partial(steps_parts, CLASS_MEAN),
            summary="The mean of each class, position by position, repeated dpc times.",
            target="methods.baselines.embedded:ClassMean",
            params=MeanParams,
            deterministic=True,
            notes=f"{_PAPER}: 'Average real images'. Position l of the mean is over the rows that have it. The dpc "
            "copies are one observation: as steps are on the whole set, any dpc trains the same learner as dpc 1. "
            f"{_TEXT} {_GRID}",
            **embedded,
        ),
        MethodSpec(
            name=KMEANS_CENTROID,
            parts=partial(steps_parts, KMEANS_CENTROID),
            summary="The mean of each of dpc k-means clusters of a class, position by position.",
            target="methods.baselines.embedded:KMeansCentroid",
            params=MeanParams,
            notes=f"{_PAPER}: 'k-means'. k-means++, one initialisation, 300 iterations on the mean over tokens of each "
            "row; the centroid is the mean of the members at each position, no real row. Where a class has fewer "
            "distinct rows than dpc, single rows fill up (diagnostic `filled`). "
            f"{_TEXT} {_GRID}",
            **embedded,
        ),
        MethodSpec(
            name=RANDOM_EMBEDDED,
            parts=partial(steps_parts, RANDOM_EMBEDDED),
            summary="Random train rows of each class at embedding level.",
            target="methods.baselines.embedded:RandomEmbedded",
            params=EmbeddedParams,
            notes=f"{_PAPER}: 'Random real images'; the rule of `random`. {_GRID}",
            **embedded,
        ),
        MethodSpec(
            name=KCENTERS_EMBEDDED,
            parts=partial(steps_parts, KCENTERS_EMBEDDED),
            summary="The train rows that kcenters selects at embedding level.",
            target="methods.baselines.embedded:KCentersEmbedded",
            params=EmbeddedCentersParams,
            notes="The rule and the parameters of `kcenters` (Maekawa et al. 2024), with the learners' encoder, so "
            f"that league C has its row under the same training as the others. {_GRID}",
            **embedded,
        ),
    ]
