"""Rows with what only their neighbours tell: ranks, differences, sizes; block by block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from leaderboard.dd_ranking import dd_ranking
from leaderboard.equivalent import equivalent_sizes
from leaderboard.groups import tie_groups
from leaderboard.ranks import apart, compare, ranks_left, to_best
from leaderboard.references import HOME
from leaderboard.row import RANDOM, Row, by_score
from leaderboard.statistics import Correction, differences, gap_closed, holm


def mark_outdated(rows: Sequence[Row]) -> list[Row]:
    """Mark the scored rows whose student is not the one that the newest row of the same task, student and dpc had."""
    newest: dict[tuple[Any, ...], tuple[str, str]] = {}
    for row in rows:
        if row.summary is not None:
            stamp = (row.finished, row.student_key or "")
            newest[row.names[:3]] = max(newest.get(row.names[:3], stamp), stamp)
    return [
        replace(row, outdated=True)
        if row.summary is not None and newest[row.names[:3]][1] != (row.student_key or "")
        else row
        for row in rows
    ]


def compared_rows(rows: list[Row], baseline: str | None, correction: Correction) -> list[Row]:
    """Add differences to the baseline, ranks and what they rest on, block by block; each block is corrected by itself.

    A row without a league or with an outdated student is compared with nothing.
    """
    blocks: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        blocks[row.block].append(row)
    full = {
        (row.league, row.task, row.student, row.student_key): row.summary.mean
        for row in rows
        if row.is_full and row.summary is not None
    }
    curves: dict[tuple[Any, ...], dict[int, Row]] = defaultdict(dict)
    for row in rows:
        if row.method == RANDOM and row.dpc is not None and row.summary is not None and not row.outdated:
            curves[row.league, row.task, row.student, row.student_key][row.dpc] = row
    compared: list[Row] = []
    for (league, task, student, dpc, version), members in blocks.items():
        if league is None or any(row.outdated for row in members):
            compared += members
            continue
        scored = [row for row in members if row.summary is not None and not row.is_full]
        scored.sort(key=by_score)
        compared_pairs = compare([row.scores for row in scored], correction)
        separated = apart(compared_pairs)
        letters = tie_groups(len(scored), separated) or [""] * len(scored)
        verdicts = to_best(len(scored), compared_pairs, _best(scored)) if len(scored) > 1 else [None] * len(scored)
        standing = zip(ranks_left(len(scored), separated), letters, verdicts, strict=True)
        places = dict(zip((row.method for row in scored), standing, strict=True))
        base = next((row for row in scored if row.method == baseline), None)
        others = [row for row in members if row.summary is not None and row is not base]
        to_base = differences([row.scores for row in others], base.scores) if base else []
        found = dict(zip((row.method for row in others), to_base, strict=False))
        curve = curves.get((league, task, student, version), {})
        sized = [row for row in members if row.summary is not None and dpc is not None and row.method != RANDOM]
        sizes = equivalent_sizes([row.scores for row in sized], {size: one.scores for size, one in curve.items()})
        equivalents = dict(zip((row.method for row in sized), sizes, strict=True))
        random = curve[dpc].summary if dpc in curve else None
        top = full.get((league, task, student, version))
        for row in members:
            extra: dict[str, Any] = {"difference": found.get(row.method), "equivalent": equivalents.get(row.method)}
            if row.method in places and dpc is not None:
                extra |= dict(zip(("rank", "group", "to_best"), places[row.method], strict=True))
            if row.summary is not None and top is not None:
                if row.method in found and base is not None and base.summary is not None:
                    extra["gap"] = gap_closed(row.summary.mean, base.summary.mean, top)
                if row.method in equivalents and league == HOME and random is not None:
                    extra["dd"] = dd_ranking(row.summary.mean, random.mean, top)
            compared.append(replace(row, **extra))
        for row in members:
            if row.method != RANDOM:
                row.scores.forget()
        if correction != "none":
            compared[-len(members) :] = _adjusted(compared[-len(members) :])
    for row in rows:
        row.scores.forget()
    return compared


def _best(rows: Sequence[Row]) -> int:
    """The place of the highest mean among complete rows, or among all where none is; 0 without rows."""
    means = [(row.complete, row.summary.mean if row.summary else 0.0) for row in rows]
    return max(range(len(rows)), key=means.__getitem__, default=0)


def _adjusted(rows: list[Row]) -> list[Row]:
    """The rows of a block, their differences to the baseline adjusted for each other."""
    places = [place for place, row in enumerate(rows) if row.difference is not None and not row.difference.undecided]
    p = holm([row.difference.p for row in (rows[place] for place in places) if row.difference is not None])
    for place, value in zip(places, p, strict=True):
        difference = rows[place].difference
        assert difference is not None
        rows[place] = replace(rows[place], difference=replace(difference, adjusted=value))
    return rows
