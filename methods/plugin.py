"""Registers the built-in methods."""

from __future__ import annotations

from collections.abc import Sequence

from bench.api import Asset, MethodSpec, hookimpl
from methods.baselines import spec as baselines
from methods.demonstrations import spec as demonstrations
from methods.embedding import spec as embedding
from methods.gen_distill import spec as gen_distill
from methods.in_context import spec as in_context
from methods.params import FeatureParams, HerdingParams, KCenterGreedyParams
from methods.scores import spec as scores


@hookimpl
def bench_methods() -> Sequence[MethodSpec]:
    """The methods of this package."""
    return [
        MethodSpec(
            name="random",
            summary="Random train rows of each class, without replacement.",
            target="methods.random_:Random",
            selects=True,
            tags=("coreset", "text"),
            notes="The baseline of Maekawa et al. 2024 (DiLM), section 4. One generator a class, derived from the "
            "set's seed; no global generator is touched.",
        ),
        MethodSpec(
            name="kcenters",
            summary="k-means on frozen features of each class, then the row nearest to each cluster's mean.",
            target="methods.kcenters:KCenters",
            params=FeatureParams,
            selects=True,
            tags=("coreset", "text", "features"),
            notes="The 'K-centers' of Maekawa et al. 2024 (DiLM): scikit-learn KMeans with k-means++, one "
            "initialisation, 300 iterations. It is not the k-center problem; that is `kcenter-greedy`. A class with "
            "fewer distinct points than dpc gets its remaining rows by farthest-first traversal, counted in the "
            "diagnostic `filled`. An encoder that is also the student's favours this method: say so.",
        ),
        MethodSpec(
            name="kcenter-greedy",
            summary="Farthest-first traversal of frozen features (Sener and Savarese): covers the class.",
            target="methods.kcenter_greedy:KCenterGreedy",
            params=KCenterGreedyParams,
            deterministic=lambda params: params.start == "mean",
            selects=True,
            tags=("coreset", "text", "features"),
            notes="Sener and Savarese 2018, 'Active learning for convolutional neural networks: a core-set approach', "
            "algorithm 1 without the mixed-integer refinement: a 2-approximation of the smallest covering radius, so "
            "it also picks outliers. start=mean makes every set the same.",
        ),
        MethodSpec(
            name="herding",
            summary="Greedy rows whose mean follows the class mean of frozen features.",
            target="methods.herding:Herding",
            params=HerdingParams,
            deterministic=True,
            selects=True,
            tags=("coreset", "text", "features"),
            notes="variant=mean: Rebuffi et al. 2017 (iCaRL), algorithm 4. variant=welling: Welling 2009, 'Herding "
            "dynamical weights to learn', from w = mu; the published sequence may visit a row again, here the maximum "
            "is taken over the rows not yet selected. Deterministic: one set, all runs train on it.",
        ),
        MethodSpec(
            name="shuffled-labels",
            summary="Random train rows with their labels shuffled among them: what labels add to texts.",
            target="methods.shuffled_labels:ShuffledLabels",
            tags=("control", "text"),
            notes="For in-context students, which may read little more than the form of demonstrations (Min et al. "
            "2022, 'Rethinking the role of demonstrations'); one that trains falls to chance. The rows are drawn by "
            "the rule of `random`; as many examples of each class remain, and by chance some keep their label "
            "(diagnostic `kept`).",
        ),
        MethodSpec(
            name="zero-shot",
            summary="No example at all: what an in-context student knows without demonstrations.",
            target="methods.zero_shot:ZeroShot",
            deterministic=True,
            uses_dpc=False,
            examples=False,
            tags=("bound", "text"),
            notes="Not applicable to students that train.",
        ),
        MethodSpec(
            name="full",
            summary="All train rows: the upper bound.",
            target="methods.full:Full",
            deterministic=True,
            uses_dpc=False,
            tags=("bound", "text"),
        ),
        *gen_distill.specs(),
        *demonstrations.specs(),
        *scores.specs(),
        *baselines.specs(),
        *embedding.specs(),
        *in_context.specs(),
    ]


@hookimpl
def bench_assets() -> Sequence[Asset]:
    """The language models that gen-distill starts from."""
    return gen_distill.assets()
