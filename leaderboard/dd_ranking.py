"""The numbers of DD-Ranking (Li et al. 2024) that need no second recipe; all fractions, of hard labels."""

from __future__ import annotations

import math
from typing import NamedTuple

WEIGHT = 0.5  # w


class DDRanking(NamedTuple):
    """HLR: what is left to all data; IOR: what is gained over random rows; LRS: both on a scale from 0 to 1."""

    hlr: float
    ior: float
    lrs: float


def dd_ranking(score: float, random: float, full: float) -> DDRanking:
    """Of accuracies under one recipe, with hard labels.

    HLR = acc_full - acc, IOR = acc - acc_random, alpha = w IOR - (1 - w) HLR with w = 0.5, and
    LRS = (e^alpha - e^-1) / (e - e^-1).
    """
    hlr, ior = full - score, score - random
    alpha = WEIGHT * ior - (1 - WEIGHT) * hlr
    return DDRanking(hlr, ior, (math.exp(alpha) - math.exp(-1)) / (math.e - math.exp(-1)))
