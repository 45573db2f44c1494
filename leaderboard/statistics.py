"""Statistics of replicated scores. Knows scores, sets, runs and test items; nothing of records, files or the runner.

A cell has S distilled sets with R runs each, all scored on the same I test items. Runs that trained on one set share
that set's luck, so the S sets and not the S x R runs are the independent observations: scores are averaged per set
first. And all of them share the luck of the items: see `leaderboard.crossed`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from leaderboard.crossed import half_widths, p_values
from leaderboard.scores import Scores, group_means, numbered

LEVEL = 0.95
NO_WIDTH = 1e-12  # of an interval between equal values
FEWEST_SETS = 3  # different ones, on one side of a comparison at least: two agree by chance too often

Correction = Literal["none", "holm"]
Over = Literal["sets", "runs", "items"]
Verdict = Literal["above", "below", "tie", "undecided"]


@dataclass(frozen=True)
class Interval:
    """A two-sided interval at level `LEVEL`.

    over: "sets", or "runs" when there is one set only, or "items" when neither varied. items: whether what other test
    items would change is in it; without it, it holds for these items.
    """

    low: float
    high: float
    over: Over
    items: bool


@dataclass(frozen=True)
class Summary:
    """`mean` and `std` (ddof 0) over runs, as papers report them; `interval` of the mean over sets."""

    mean: float
    std: float
    n_runs: int
    n_sets: int
    interval: Interval | None


@dataclass(frozen=True)
class Difference:
    """a - b over paired replicates: mean over sets, its interval. `n_pairs` entered, `n_left_out` did not.

    `n_sets`: different sets on the side that has more of them, among those that entered. p: two-sided, of no
    difference; adjusted: the same among the comparisons that it is one of, None where it stands alone.
    """

    mean: float
    interval: Interval | None
    n_pairs: int
    n_left_out: int
    n_sets: int
    p: float = 1.0
    adjusted: float | None = None

    @property
    def undecided(self) -> str | None:
        """Why nothing can be said of the difference, or None: too few different sets, or not a bit of spread."""
        if self.n_sets < FEWEST_SETS:
            return "1 set" if self.n_sets == 1 else f"{self.n_sets} sets"
        return "no spread" if self.interval is None or self.interval.over == "items" else None

    @property
    def verdict(self) -> Verdict:
        """Separated ("above", "below") when the interval leaves out zero and an adjusted p is small; else "tie"."""
        if self.interval is None or self.undecided:
            return "undecided"
        if self.adjusted is not None and self.adjusted >= 1 - LEVEL:
            return "tie"
        if self.interval.low > 0:
            return "above"
        return "below" if self.interval.high < 0 else "tie"


def interval_of(values: np.ndarray, groups: Sequence[int]) -> Interval | None:
    """Interval of the mean of the groups' means; over the runs when all belong to one group.

    values [n, I] of n runs on I items ([n, 1]: as a whole); groups: number of each run's set. None where nothing
    varied: an interval without width would claim that there is no chance at all.
    """
    rows = group_means(values, groups)
    over: Over = "sets"
    if len(rows) == 1:
        rows, over = values.astype(np.float64), "runs"
    widths = half_widths(rows, LEVEL)
    half, items = float(widths.both), values.shape[1] > 1
    if 2 * half <= NO_WIDTH:
        return None
    if 2 * float(widths.row) <= NO_WIDTH:
        over = "items"
    centre = float(rows.mean())
    return Interval(centre - half, centre + half, over, items)


def summarise(scores: Scores) -> Summary:
    """Summary of one cell with a replicate at least. The ends of the interval are cut at 0 and 1."""
    interval = interval_of(scores.values(range(len(scores)), scores.items is not None), numbered(scores.sets))
    if interval is not None:
        interval = Interval(max(0.0, interval.low), min(1.0, interval.high), interval.over, interval.items)
    return Summary(
        mean=float(np.mean(scores.scores)),
        std=float(np.std(scores.scores)),
        n_runs=len(scores),
        n_sets=len(set(scores.sets)),
        interval=interval,
    )


def paired_difference(a: Scores, b: Scores) -> Difference | None:
    """a - b over the replicates that both have; None when they share none.

    Run seeds do not depend on the method, so a replicate's two students began alike, and they label the same items:
    what makes both right or wrong cancels. Differences are averaged per pair of sets, then the interval; with one pair
    of sets (two deterministic methods) it is over runs. Pairs that share a set are one observation, unless it is the
    only one of its side.
    """
    found = paired(a, b)
    if found is None:
        return None
    interval = interval_of(found.values, found.groups)
    varied = interval is not None and interval.over == "sets"
    p = float(p_values(group_means(found.values, found.groups))) if varied else 1.0
    return Difference(
        mean=float(group_means(found.scores[:, None], found.groups).mean()),
        interval=interval,
        n_pairs=len(found.scores),
        n_left_out=len({*a.replicates, *b.replicates}) - len(found.scores),
        n_sets=found.n_sets,
        p=float(f"{p:.6g}"),  # digits behind depend on the machine
    )


@dataclass(frozen=True)
class Paired:
    """a - b, replicate by replicate: scores [n], values [n, I] (or [n, 1]) and the number of the group of each."""

    scores: np.ndarray
    values: np.ndarray
    groups: list[int]
    n_sets: int  # different ones, on the side that has more of them


def paired(a: Scores, b: Scores) -> Paired | None:
    """The replicates that both have; None when they share none."""
    shared = sorted(set(a.replicates) & set(b.replicates))
    if not shared:
        return None
    places = [[dict(zip(each.replicates, range(len(each)), strict=True))[one] for one in shared] for each in (a, b)]
    pairs = [(a.sets[mine], b.sets[other]) for mine, other in zip(*places, strict=True)]
    items = a.items is not None and b.items is not None
    mine, other = (each.values(own, items).astype(np.float64) for each, own in zip((a, b), places, strict=True))
    return Paired(
        a.scores[places[0]] - b.scores[places[1]],
        mine - other,
        _connected(pairs),
        max(len(set(side)) for side in zip(*pairs, strict=True)),
    )


def _connected(pairs: Sequence[tuple[str, str]]) -> list[int]:
    """A number for each pair of sets, the same for pairs that a chain of shared sets connects."""
    alone = [len(set(side)) == 1 for side in zip(*pairs, strict=True)]
    numbers: dict[tuple[int, str], int] = {}
    found: list[int] = []
    for place, pair in enumerate(pairs):
        ends = [(side, name) for side, name in enumerate(pair) if not alone[side]]
        known = {numbers[end] for end in ends if end in numbers}
        number = min(known, default=place if ends else 0)
        if len(known) > 1:
            numbers = {end: number if old in known else old for end, old in numbers.items()}
            found = [number if old in known else old for old in found]
        numbers |= dict.fromkeys(ends, number)
        found.append(number)
    return numbered(found)


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values of Holm 1979: that any of the comparisons is wrongly called has probability 5 % at most."""
    order, found, largest = sorted(range(len(p)), key=p.__getitem__), [1.0] * len(p), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        found[place] = largest
    return found


def rank_ranges(rows: Sequence[Scores], correction: Correction = "none") -> list[tuple[int, int]]:
    """Best and worst rank that the paired differences leave open to each row (1 = highest score).

    Best rank: 1 + the rows that are separated above it; worst: the number of rows less those separated below it.
    correction: for all pairs of these rows.
    """
    return _ranges(len(rows), _corrected(rows, correction))


def standings(
    rows: Sequence[Scores], best: int, correction: Correction = "none"
) -> tuple[list[tuple[int, int]], list[Verdict]]:
    """`rank_ranges`, and the verdict of each row less row `best` by the same comparisons.

    "undecided" also where the two share no replicate; for `best` itself "tie", or "undecided" when all others are.
    """
    found = _corrected(rows, correction)
    mirrored: dict[Verdict, Verdict] = {"above": "below", "below": "above"}
    to_best = {one: verdict for one, other, verdict in found if other == best}
    to_best |= {other: mirrored.get(verdict, verdict) for one, other, verdict in found if one == best}
    to_best[best] = "undecided" if set(to_best.values()) <= {"undecided"} else "tie"
    return _ranges(len(rows), found), [to_best.get(place, "undecided") for place in range(len(rows))]


def _ranges(n: int, verdicts: Sequence[tuple[int, int, Verdict]]) -> list[tuple[int, int]]:
    lower, higher = [0] * n, [0] * n  # rows that are separated below it, above it
    for one, other, verdict in verdicts:
        if verdict != "tie" and verdict != "undecided":
            up, down = (one, other) if verdict == "above" else (other, one)
            lower[up] += 1
            higher[down] += 1
    return [(1 + above, n - below) for above, below in zip(higher, lower, strict=True)]


Groups = tuple[int, ...]  # number of the group of each replicate


def _corrected(rows: Sequence[Scores], correction: Correction) -> list[tuple[int, int, Verdict]]:
    found = list(_verdicts(rows, p=correction != "none"))
    if correction == "none":
        return [(i, j, verdict) for i, j, verdict, _ in found]
    decided = [place for place, (_, _, verdict, _) in enumerate(found) if verdict != "undecided"]
    adjusted = dict(zip(decided, holm([found[place][3] for place in decided]), strict=True))
    return [
        (i, j, "tie" if adjusted.get(place, 0.0) >= 1 - LEVEL else verdict)
        for place, (i, j, verdict, _) in enumerate(found)
    ]


def _verdicts(rows: Sequence[Scores], p: bool) -> Iterator[tuple[int, int, Verdict, float]]:
    """(i, j, verdict of row i - row j, its p-value if asked) for each two rows that share a replicate, i < j.

    Rows with the same replicates, whose sets group them alike, are compared many at once.
    """
    layouts = [tuple(numbered(row.sets)) for row in rows]
    items = all(row.items is not None for row in rows)
    means: dict[tuple[int, Groups], np.ndarray] = {}
    for i, row in enumerate(rows):
        alike: dict[Groups, list[int]] = defaultdict(list)
        for j in range(i + 1, len(rows)):
            groups = _common(layouts[i], layouts[j]) if row.replicates == rows[j].replicates else None
            if groups is not None:
                alike[groups].append(j)
            elif (difference := paired_difference(row, rows[j])) is not None:
                yield i, j, difference.verdict, difference.p
        for groups, members in alike.items():
            for k in (i, *members):
                if (k, groups) not in means:
                    means[k, groups] = group_means(rows[k].values(range(len(rows[k])), items), groups)
            differences = means[i, groups] - np.stack([means[j, groups] for j in members])
            p_of = p_values(differences) if p and differences.shape[1] > 1 else np.ones(len(differences))
            for j, verdict, value in zip(members, _many_verdicts(differences), p_of.tolist(), strict=True):
                yield i, j, verdict, value


def _common(mine: Groups, others: Groups) -> Groups | None:
    """`_connected` for two rows with the same replicates, and these numbers of sets, where it is that of one; or None.

    A row with one set is grouped as the other one is.
    """
    groups = mine if any(mine) else others
    return groups if mine == others or not (any(mine) and any(others)) else None


def _many_verdicts(differences: np.ndarray) -> list[Verdict]:
    """`Difference.verdict` of each of k paired differences of two rows, [k, groups, items]."""
    if differences.shape[1] < FEWEST_SETS:
        return ["undecided"] * len(differences)
    widths, centre = half_widths(differences, LEVEL), differences.mean(axis=(1, 2))
    flat = 2 * widths.row <= NO_WIDTH
    found: list[Verdict] = np.select(
        [flat, centre - widths.both > 0, centre + widths.both < 0], ["undecided", "above", "below"], "tie"
    ).tolist()
    return found


def gap_closed(score: float, baseline: float, full: float) -> float | None:
    """(score - baseline) / (full - baseline), a fraction; None when all data are no better than the baseline."""
    return (score - baseline) / (full - baseline) if full > baseline else None
