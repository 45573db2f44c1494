"""Whether two means agree within a margin: two one-sided tests, either way, at 5 %."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtrit

Verdict = Literal["agrees", "differs", "undecided"]

ERROR = 0.05  # of "agrees", and of "differs"
MOST_SETS = 10_000


@dataclass(frozen=True)
class Mean:
    """A mean of n independent values with their standard deviation (ddof 1); n is 2 at least."""

    mean: float
    deviation: float
    n: int

    @property
    def variance(self) -> float:
        """Of the mean."""
        return self.deviation**2 / self.n


@dataclass(frozen=True)
class Agreement:
    """ours - theirs, and the interval of which each end leaves `ERROR` outside.

    The verdict is "agrees" when the interval lies within the margin, "differs" when it lies wholly beyond it. further:
    how many more values of ours would decide, if difference and spread stayed as they are; 0 when decided, None when no
    number would.
    """

    difference: float
    low: float
    high: float
    verdict: Verdict
    further: int | None


def agreement(ours: Mean, theirs: Mean, margin: float) -> Agreement:
    """Welch's two one-sided t tests (Schuirmann 1987), and their mirror image beyond the margin."""
    difference = ours.mean - theirs.mean

    def half(n: int) -> float:
        own = ours.deviation**2 / n
        return _quantile(own, n, theirs.variance, theirs.n) * math.sqrt(own + theirs.variance)

    def verdict(n: int) -> Verdict:
        return _verdict(abs(difference), half(n), margin)

    width = half(ours.n)
    return Agreement(difference, difference - width, difference + width, verdict(ours.n), _further(verdict, ours.n))


def _verdict(size: float, half: float, margin: float) -> Verdict:
    if size + half < margin:
        return "agrees"
    return "differs" if size - half > margin else "undecided"


def _quantile(a: float, n: int, b: float, m: int) -> float:
    """Student's, for the Welch-Satterthwaite degrees of freedom of two variances of means."""
    if a + b == 0:
        return 0.0
    return float(stdtrit((a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1)), 1 - ERROR))


def _further(verdict: Callable[[int], Verdict], n: int) -> int | None:
    """The fewest more values with a verdict: the interval narrows with n."""
    more = bisect_left(range(n, MOST_SETS), True, key=lambda number: verdict(number) != "undecided")
    return more if n + more < MOST_SETS else None
