"""Random sets that a language model has been found to label train rows well with."""

from __future__ import annotations

from bench.api import Context, DistilledSet, Method, TrainData, UserError
from methods.baselines.best_of_random import chosen_of
from methods.baselines.ranking import load_ranking
from methods.in_context.params import BestDemonstrationsParams
from methods.in_context.parts import trials_part


class BestDemonstrations(Method):
    """One of the best random sets, by the accuracy on train rows of a model that reads them as demonstrations."""

    params: BestDemonstrationsParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """The set's seed picks one of those kept, each as likely as any other."""
        if dpc is None or dpc < 1:
            raise UserError(f"dpc must be 1 or more, not {dpc}")
        return chosen_of(load_ranking(ctx.part(trials_part(self.params, dpc))), self.params.keep, data, ctx)
