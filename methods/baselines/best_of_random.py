"""Random sets that learners have found to be good ('Optimized' of Wang et al. 2018)."""

from __future__ import annotations

import math

from bench.api import Context, DistilledSet, Method, TrainData, UserError
from methods.baselines.params import BestOfRandomParams
from methods.baselines.parts import ranking_part
from methods.baselines.ranking import Ranking, load_ranking
from methods.common import rounded


class BestOfRandom(Method):
    """One of the best random sets, by the accuracy on train rows of learners that were trained on them."""

    params: BestOfRandomParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """The set's seed picks one of those kept, each as likely as any other."""
        if dpc is None or dpc < 1:
            raise UserError(f"dpc must be 1 or more, not {dpc}")
        return chosen_of(load_ranking(ctx.part(ranking_part(self.params, dpc))), self.params.keep, data, ctx)


def chosen_of(ranking: Ranking, keep: float, data: TrainData, ctx: Context) -> DistilledSet:
    """One of the best candidates, by the seed; keep: the part of them that it is drawn from."""
    kept = how_many(keep, len(ranking.rows))
    rank = int(ctx.rng("best of random").integers(kept))
    return DistilledSet.from_rows(
        data,
        ranking.rows[rank],
        chosen_on="train",
        rank=rank + 1,
        kept=kept,
        candidates=len(ranking.rows),
        train_accuracy=rounded(ranking.accuracy[rank]),
        median_train_accuracy=rounded(ranking.accuracy[len(ranking.rows) // 2]),
    )


def how_many(keep: float, candidates: int) -> int:
    """The part `keep` of the candidates, rounded down, at least one."""
    return max(1, math.floor(keep * candidates + 1e-9))  # in floats 0.29 * 100 is less than 29
