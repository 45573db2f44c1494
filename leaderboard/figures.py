"""Figures of a board as short texts, as papers print them; every view shows them alike."""

from __future__ import annotations

from collections.abc import Iterable
from math import isinf

from leaderboard.equivalent import Equivalent
from leaderboard.ledger import Number
from leaderboard.mean_ranks import MeanRanks
from leaderboard.row import METRICS, Row
from leaderboard.statistics import Difference, Interval, Summary

ONE_SET = "†"  # beside an interval over the runs of one set
ONE_RUN = "°"  # beside an interval over test rows alone
OVER = {"runs": ONE_SET, "items": ONE_RUN}
OVERLAP = "‡"  # beside a score of sets that repeat test texts
OUTDATED = "§"  # beside a score of another version of the student
PREPARED = "¶"  # beside a score whose sets all come from one prepared artifact
WHITE = " w"  # beside a score in a transfer table: of a set that the student's own model helped to make
UNKNOWN = "?"  # there: whether it did is not known
OTHER_SETS = "≠"  # there, beside a method: its sets are not the same under all students
NOTHING = "–"
NOT_RUN = "not run yet"


def percent(fraction: float, signed: bool = False) -> str:
    """One decimal, as papers print it; never "-0.0"."""
    value = round(fraction * 100, 1) + 0.0
    return f"{value:+.1f}" if signed else f"{value:.1f}"


def interval_text(interval: Interval | None, signed: bool = False) -> str:
    """`[55.0, 61.2]`, or nothing."""
    if interval is None:
        return ""
    mark = OVER.get(interval.over, "")
    return f"[{percent(interval.low, signed)}, {percent(interval.high, signed)}]{mark}"


def score_text(summary: Summary) -> str:
    """`58.1±5.2 [55.0, 61.2]`."""
    return f"{percent(summary.mean)}±{percent(summary.std)} {interval_text(summary.interval)}".strip()


def short_score(row: Row | None) -> str:
    """`58.1±5.2`, with a star when replicates are missing, and the row's `marks`."""
    if row is None or row.summary is None:
        return NOTHING if row is None or row.applicable else "n/a"
    interval = row.summary.interval
    over = "" if interval is None else OVER.get(interval.over, "")
    return f"{percent(row.summary.mean)}±{percent(row.summary.std)}{'' if row.complete else '*'}{over}{marks(row)}"


def marks(row: Row) -> str:
    """What stands beside a score that is not to be read like its neighbours."""
    found = {OVERLAP: row.near_test, OUTDATED: row.outdated, PREPARED: row.prepared_once}
    return "".join(mark for mark, holds in found.items() if holds)


def box_mark(row: Row | None) -> str:
    """What stands beside a score in a transfer table."""
    if row is None or row.summary is None or row.box in ("black", "none"):
        return ""
    return WHITE if row.box == "white" else UNKNOWN


def mixed_text(row: Row) -> str:
    """Why a row with a score has no league, or nothing."""
    return f"leagues {' and '.join(row.mixed)} mixed: not ranked" if row.mixed else ""


def seconds(value: float) -> str:
    """`0.03`, `2.7`, `540`."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 or value == 0 else f"{value:.2f}"


def size(count: int) -> str:
    """`612 B`, `24.6 kB`, `1.3 MB`: powers of 1000, rounded."""
    value, units = float(count), ("B", "kB", "MB", "GB")
    place = 0
    while place + 1 < len(units) and round(value, 1 if place else 0) >= 1000:
        value, place = value / 1000, place + 1
    return f"{value:.0f} B" if place == 0 else f"{value:.1f} {units[place]}"


def difference_text(difference: Difference) -> str:
    """`+7.5 [+2.1, +12.9] above`, `+6.0 [+5.9, +6.1] undecided: 2 sets`, `+2.0 [+0.1, +3.9] tie by Holm`."""
    verdict = f"undecided: {difference.undecided}" if difference.undecided else difference.verdict
    if difference.overruled:
        verdict += " by Holm"
    parts = (percent(difference.mean, True), interval_text(difference.interval, True), verdict)
    return " ".join(part for part in parts if part)


def equivalent_text(equivalent: Equivalent) -> str:
    """`7.3 [5.1, >10]`, `≤5 [≤5, 6.2]`: examples a class, open where random was not measured."""
    low, size, high = (
        f"≤{equivalent.measured[0]}" if value == 0 else f">{equivalent.measured[1]}" if isinf(value) else f"{value:.1f}"
        for value in (equivalent.low, equivalent.size, equivalent.high)
    )
    return f"{size} [{low}, {high}]"


def published_score(number: Number) -> str:
    """`70.8±4.1`, `92.7`."""
    deviation = "" if number.deviation is None else f"±{percent(number.deviation)}"
    return f"{percent(number.score)}{deviation}"


def mark_text(row: Row) -> str:
    """`70.8±4.1 bert-base, not comparable`; a published variant of the method by its name there."""
    if row.mark is None:
        return NOTHING
    number = row.mark.number
    variant = "" if number.method == row.method_name else f" {number.method},"
    return f"{published_score(number)}{variant} {number.student}, {row.mark.verdict}"


def rank_text(rank: tuple[int, int]) -> str:
    """`2`, `1–3`."""
    return f"{rank[0]}" if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"


def mean_ranks_text(found: MeanRanks) -> str:
    """`Mean ranks over 3 tasks: kcenters 1.3, random 2.7; ...`, with what they separate."""
    ranks = ", ".join(f"{method} {rank:.2f}" for method, rank in zip(found.methods, found.ranks, strict=True))
    head = f"Mean ranks over {found.n_tasks} tasks: {ranks}."
    if found.powerless:
        return f"{head} So few tasks separate no two methods, however they come out."
    pairs = ", ".join(f"{found.methods[i]} from {found.methods[j]}" for i, j in found.apart)
    tested = f"Friedman's test: chi2 = {found.chi2:.2f}, {p_text(found.p)} by permutations"
    outcome = f"it separates {pairs}" if pairs else "it separates none"
    return f"{head} {tested}; critical difference (Nemenyi) {found.critical:.2f}: {outcome}."


def p_text(p: float) -> str:
    """`p = 0.032`, `p under 0.001`."""
    return f"p = {p:.3f}" if p >= 0.001 else "p under 0.001"


def row_state(row: Row) -> str:
    """What stands in place of a score that is not there."""
    if not row.applicable:
        return f"not applicable: {row.reason}"
    if not row.statuses:
        return NOT_RUN
    counts = [f"{n} {status.replace('_', ' ')}" for status, n in sorted(row.statuses.items())]
    return f"no score ({', '.join(counts)})"


def sets_text(summary: Summary | None) -> str:
    """`10`, `6 of 3`: different sets, and of how many preparations where these are the observations."""
    if summary is None:
        return "0"
    return f"{summary.n_sets}" + ("" if summary.n_preparations is None else f" of {summary.n_preparations}")


def coverage(row: Row) -> str:
    """`9/10`: replicates that finished, of those planned."""
    return f"{row.ok}/{row.planned}" if row.applicable else "n/a"


def metric_text(rows: Iterable[Row]) -> str:
    """The metrics of some rows, each once."""
    return " / ".join(dict.fromkeys(METRICS.get(row.metric, row.metric) for row in rows))
