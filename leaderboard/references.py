"""Rows of league A that may stand, marked, beside those of other leagues."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from leaderboard.row import FULL, RANDOM, Row

REFERENCES = (RANDOM, "kcenters", FULL)  # methods whose rows may stand, marked, beside those of other leagues
HOME = "A"  # the league of their sets: texts of the task with hard labels
Place = tuple[str, str, str, int | None]  # league, task, student, dpc: rows that stand together


def references_of(rows: Sequence[Row]) -> dict[Place, tuple[Row, ...]]:
    """What `REFERENCES` scored in league A, for the places of other leagues that have no such row themselves.

    Only with the same version of the student, or, where a recipe of it reads no texts, with its other recipes.
    `full` stands under dpc None, at the end of its task and student.
    """
    known: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row.league == HOME and row.method_name in REFERENCES and row.summary is not None and not row.outdated:
            known[row.task, row.student, row.student_key, row.dpc].append(row)
            if row.learner:
                known[row.task, row.learner, row.dpc].append(row)
    mine = {(row.league, *row.names) for row in rows}
    found: dict[Place, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        if row.league is None or row.league == HOME or row.summary is None or row.outdated:
            continue
        for dpc in dict.fromkeys((row.dpc, None)):
            place = (row.league, row.task, row.student, dpc)
            same = known.get((row.task, row.student, row.student_key, dpc), [])
            others = [one for one in known.get((row.task, row.learner, dpc), ()) if one.student != row.student]
            for one in (*same, *others):
                if (row.league, row.task, row.student, dpc, one.method) not in mine:
                    found[place].setdefault(one.method, one)
    return {place: tuple(members.values()) for place, members in found.items()}
