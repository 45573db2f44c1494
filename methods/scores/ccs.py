"""Coverage-centric selection: random rows of every stratum of difficulty, the hardest left out."""

from __future__ import annotations

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData
from methods.common import rounded
from methods.scores.checkpoints import load_trainings, pools_of
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
        p, trainings = self.params, load_trainings(self.params, ctx)
        scores = SCORES[p.score](trainings.all())
        rows, means, class_means = [], [], []
        for pool in pools_of(data, dpc, trainings.rows):
            own = scores[pool.places]
            picked = stratified(own, pool.dpc, p.beta, p.strata, ctx.rng("ccs", pool.name))
            rows.append(pool.rows[picked])
            means.append(rounded(own[picked].mean()))
            class_means.append(rounded(own.mean()))
        return DistilledSet.from_rows(data, np.concatenate(rows), score=means, class_score=class_means)
