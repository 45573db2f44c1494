"""A row of a board: what is known of one cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from bench.store.record import Memory
from leaderboard.box import Box
from leaderboard.cells import (
    Names,
)
from leaderboard.confusion import Confusion
from leaderboard.cost import Cost
from leaderboard.crossed import Parts, bootstrap, parts
from leaderboard.dd_ranking import DDRanking
from leaderboard.equivalent import Equivalent
from leaderboard.ledger import Mark
from leaderboard.scores import Scores, numbered
from leaderboard.statistics import (
    LEVEL,
    Difference,
    Summary,
    Verdict,
)

LEAGUES = {
    "A": "text, hard labels",
    "B": "text with soft labels",
    "C": "embedding level: learned inputs, labels or step sizes",
    "D": "in-context learning",
}
METRICS = {"accuracy": "accuracy", "accuracy_f1": "mean of accuracy and F1"}
FULL = "full"  # the method that is the upper bound
RANDOM = "random"  # the method whose curve sizes are read from


@dataclass(frozen=True)
class Row:
    """One cell. `summary` is None when no replicate is ok; then `reason` says why. Scores are fractions.

    `league` is None while no replicate is ok, and when those that are disagree (`mixed`): such a row is not ranked.
    """

    league: str | None
    task: str
    revision: str
    student: str
    dpc: int | None
    method: str
    method_name: str
    metric: str
    planned: int
    statuses: Counter[str]
    reason: str | None = None
    summary: Summary | None = None
    metrics: dict[str, float] = field(default_factory=dict)  # means of all measured metrics
    difference: Difference | None = None  # to the baseline row of the same task, student and dpc
    rank: tuple[int, int] | None = None
    group: str = ""  # letters: rows of a block that share one are not separated
    to_best: Verdict | None = None  # of its difference to the best row of its block; None: not ranked, or alone there
    gap: float | None = None
    equivalent: Equivalent | None = None
    dd: DDRanking | None = None
    n_train: int | None = None
    n_bytes: int | None = None  # a set, in the mean over its different sets; None when a record does not say
    set_keys: tuple[str, ...] = ()  # one of each group of sets with equal content
    n_keys: int = 0  # sets that were made, with equal ones
    mixed: tuple[str, ...] = ()  # the leagues of a row whose replicates disagree
    student_key: str | None = None  # identity of the student; None: older records, which do not say
    student_name: str = ""
    method_params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    student_params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    learner: str = ""  # the student without its recipe; "": it has none
    outdated: bool = False  # measured with an older version of the student than its neighbours: not compared
    box: Box | None = None  # None: not known
    near_test: int | None = None  # examples of its sets that repeat a test text; None when nobody counted
    prepared_once: bool | None = False  # all its sets come from one prepared artifact; None: not known
    cost: Cost | None = None
    chosen_on: str | None = None  # the rows that its method chose something by, as its sets say
    train_share: float | None = None  # the part of the examples of its sets that are train rows; None: not known
    distil_memory: Memory | None = None  # the most that any set, or what it was made of, took; None: not known
    student_memory: Memory | None = None  # likewise, of the student's runs
    mark: Mark | None = None  # a published number
    finished: str = ""  # time of the newest record
    scores: Scores = field(default_factory=lambda: Scores.of({}), repr=False)
    confusion: Confusion | None = field(default=None, repr=False, compare=False)  # None without gold labels

    @property
    def ok(self) -> int:
        return self.statuses["ok"]

    @property
    def applicable(self) -> bool:
        return self.ok > 0 or not self.statuses["not_applicable"]

    @property
    def complete(self) -> bool:
        return self.ok == self.planned > 0

    @property
    def is_full(self) -> bool:
        return self.method_name == FULL

    @cached_property
    def bootstrap(self) -> tuple[float, float] | None:
        """Interval of the mean that assumes no distribution; None with fewer than two sets, or preparations."""
        if self.scores.n_units < 2:
            return None
        return bootstrap(self.scores.by_unit(self.scores.items is not None), LEVEL)

    @cached_property
    def parts(self) -> Parts | None:
        """Of the variance of its scores; None without single test rows, or a second set or preparation."""
        scores = self.scores
        if scores.items is None:
            return None
        preparations = np.array(scores.preparations) if scores.preparations else None
        return parts(scores.items[:], np.array(numbered(scores.sets)), preparations)

    @property
    def contents(self) -> frozenset[str]:
        """Names of the contents of the sets that its scores come from."""
        return frozenset(self.scores.sets)

    @property
    def block(self) -> tuple[Any, ...]:
        """Rows with the same one are compared."""
        return (self.league, self.task, self.student, self.dpc, self.student_key)

    @property
    def names(self) -> Names:
        return (self.task, self.student, self.dpc, self.method)

    @property
    def name(self) -> str:
        size = "no data" if self.size == "none" else dpc_text(self.dpc)
        return f"{self.task} {size} {self.method} {self.student}"

    @property
    def size(self) -> str:
        """dpc in a table: `all` for all data, `none` for sets without an example."""
        if self.dpc is not None:
            return str(self.dpc)
        return "none" if self.n_train == 0 else "all"


def dpc_text(dpc: int | None) -> str:
    return "all data" if dpc is None else f"dpc {dpc}"


def dpc_order(dpc: int | None) -> tuple[bool, int]:
    """Sort key: ascending, "all data" last."""
    return (dpc is None, dpc or 0)


def by_score(row: Row) -> tuple[bool, float, str]:
    """Sort key: best first, without a score last."""
    return (row.summary is None, -(row.summary.mean if row.summary else 0.0), row.method)


def missing(row: Row) -> str:
    """What a row that could be whole is not; "" when it is, or when it is not applicable."""
    if row.mixed:
        return f"its replicates are of leagues {' and '.join(row.mixed)}: the method mixes levels, not ranked"
    if row.complete or not row.applicable:
        return ""
    parts = [f"{n} {status.replace('_', ' ')}" for status, n in sorted(row.statuses.items()) if status != "ok"]
    absent = row.planned - sum(row.statuses.values())
    if absent > 0:
        parts.append(f"{absent} not run yet")
    counts = ", ".join(parts)
    first, _, rest = counts.partition(" ")
    tail = f": {row.reason}" if row.reason else ""
    return f"{first} of {row.planned} replicates {rest}{tail}"
