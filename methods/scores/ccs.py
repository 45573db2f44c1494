"""Coverage-centric selection: random rows of every stratum of difficulty, the hardest left out."""

from __future__ import annotations

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData
from methods.common import class_pools, rounded
from methods.scores.checkpoints import all_of, load_runs
from methods.scores.difficulty import SCORES
from methods.scores.params import CcsParams
from methods.scores.rules import stratified


class Ccs(Method):
    """CCS in each class, so that all classes give dpc rows."""

    params: CcsParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Rows from the easiest stratum to the hardest; each class has a generator of its own.

        Diagnostics by class: `score` of those taken, `class_score` of all.
        """
        p, pools = self.params, class_pools(data, dpc)
        scores = SCORES[p.score](all_of(load_runs(p, ctx)))
        rows = [
            pool.rows[stratified(scores[pool.rows], pool.dpc, p.beta, p.strata, ctx.rng("ccs", pool.name))]
            for pool in pools
        ]
        return DistilledSet.from_rows(
            data,
            np.concatenate(rows),
            score=[rounded(scores[taken].mean()) for taken in rows],
            class_score=[rounded(scores[pool.rows].mean()) for pool in pools],
        )
