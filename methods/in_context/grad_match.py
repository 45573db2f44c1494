"""Demonstrations whose mean gradient in a language model's last layer follows that of their class."""

from __future__ import annotations

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData
from methods.common import rounded
from methods.in_context.params import LmGradMatchParams
from methods.in_context.parts import readings_part
from methods.in_context.readings import load_readings
from methods.scores.checkpoints import pools_of
from methods.scores.grad_match import mean_error
from methods.scores.matching import Gradients, match_mean


class LmGradMatch(Method):
    """Greedy matching of each class's mean gradient."""

    params: LmGradMatchParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Rows in the order of selection; `mean_error` by class as of `grad-match`."""
        rows, gradients = load_readings(ctx.part(readings_part(self.params)))
        picked, errors = [], []
        for pool in pools_of(data, dpc, rows):
            own = [gradients.at(pool.places)]
            chosen = match_mean(Gradients(own), pool.dpc)
            picked.append(pool.rows[chosen])
            errors.append(rounded(mean_error(own, chosen)))
        return DistilledSet.from_rows(data, np.concatenate(picked), mean_error=errors)
