"""Rows of a board against published numbers: what differs in the protocol, and whether the means agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from bench.store.record import TaskCard
from leaderboard.board import Board
from leaderboard.equivalence import Agreement, Mean, agreement
from leaderboard.ledger import NOTHING, Ledger, Mark, Number, Setting, Verdict
from leaderboard.row import Row
from leaderboard.statistics import FEWEST_SETS

MARGIN = 0.02  # of agreement, a fraction
ROWS = 0.02  # part of the train rows by which two protocols may differ: a validation split of one's own, say
NOT_STATED = "not stated"
NOT_NOTED = "not noted"  # records of before there was such a parameter, or a ledger that calls it otherwise


@dataclass(frozen=True)
class Mismatch:
    """A field of the protocol in which a row and a published number differ."""

    name: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.name} {self.ours}, published {self.theirs}"


@dataclass(frozen=True)
class Replication:
    """A row with a score, and the published number whose protocol is nearest to it.

    mismatches: why the two are not comparable; reason: why nothing can be said though they are.
    """

    row: Row
    number: Number | None = None
    mismatches: tuple[Mismatch, ...] = ()
    agreement: Agreement | None = None
    reason: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.number is None:
            return "not published"
        if self.mismatches:
            return "not comparable"
        return self.agreement.verdict if self.agreement is not None else "undecided"


def replications(board: Board, ledger: Ledger, card: Callable[[str], TaskCard], margin: float) -> list[Replication]:
    """Every row with a score, in the order of the board; margin: of agreement, a fraction.

    card: revision of a task -> its card.
    """
    return [
        _replication(row, ledger, card(row.revision), margin)
        for row in board.rows
        if row.summary is not None and not row.outdated
    ]


def marked(board: Board, ledger: Ledger, card: Callable[[str], TaskCard]) -> Board:
    """The board with a published number beside each row whose task and dpc has one for its method.

    It is ranked nowhere, and stands there whether it is comparable or not: the verdict says which. One of another
    variant of the method than the row's stands nowhere.
    """
    variants = _variants(ledger)
    marks = {}
    for each in replications(board, ledger, card, MARGIN):
        names = {mismatch.name for mismatch in each.mismatches}
        others = {"task", "dpc", *(f"method's {name}" for name in variants[each.row.method_name])}
        if each.number is not None and names.isdisjoint(others):
            marks[each.row.names] = Mark(each.number, each.verdict)
    return replace(board, ledger=ledger.id, rows=tuple(replace(row, mark=marks.get(row.names)) for row in board.rows))


def _variants(ledger: Ledger) -> dict[str, set[str]]:
    """Method -> the parameters by which a ledger tells variants of it apart."""
    stated: dict[str, dict[str, Setting]] = defaultdict(dict)
    for number in ledger.numbers:
        stated[number.method_name][number.method] = number.method_setting
    found: dict[str, set[str]] = defaultdict(set)
    for name, settings in stated.items():
        for parameter in {each for setting in settings.values() for each in setting.params}:
            values = [setting.params[parameter] for setting in settings.values() if parameter in setting.params]
            if any(value != values[0] for value in values):
                found[name].add(parameter)
    return found


def _replication(row: Row, ledger: Ledger, card: TaskCard, margin: float) -> Replication:
    found = [
        (number, tuple(_mismatches(row, card, number)))
        for number in ledger.numbers
        if number.method_name == row.method_name
    ]
    if not found:
        return Replication(row)
    number, mismatches = min(found, key=lambda each: _distance(*each))
    if mismatches:
        return Replication(
            row, number, tuple(_whole(each, [number for number, _ in found], number) for each in mismatches)
        )
    ours, theirs = _ours(row, number), _theirs(number)
    if isinstance(ours, str) or isinstance(theirs, str):
        return Replication(row, number, reason=ours if isinstance(ours, str) else str(theirs))
    return Replication(row, number, agreement=agreement(ours, theirs, margin))


def _whole(mismatch: Mismatch, numbers: Sequence[Number], nearest: Number) -> Mismatch:
    """A mismatch of task or dpc with all that the method was published with, on the nearest number's task."""
    if mismatch.name == "task":
        return replace(mismatch, theirs=", ".join(dict.fromkeys(number.task for number in numbers)))
    if mismatch.name == "dpc":
        here = [number.dpc for number in numbers if number.task == nearest.task]
        return replace(mismatch, theirs=", ".join(dict.fromkeys(map(_size, here))))
    return mismatch


def _size(dpc: int | None) -> str:
    return "all data" if dpc is None else str(dpc)


def _distance(number: Number, mismatches: Sequence[Mismatch]) -> tuple[int, ...]:
    """Of two numbers with as much in common the one that states more of it is nearer."""
    names = [mismatch.name for mismatch in mismatches]
    stated = len(number.method_setting.params) + len(number.student_setting.params)
    return (*(name in names for name in ("task", "dpc", "student")), 2 * len(names) - stated)


def _mismatches(row: Row, card: TaskCard, number: Number) -> Iterator[Mismatch]:
    task = row.task.partition("[")[0].partition(":")[0]
    if task != number.task:
        yield Mismatch("task", task, number.task)
    else:
        yield from _data(row, card, number)
    if row.dpc != number.dpc:
        yield Mismatch("dpc", _size(row.dpc), _size(number.dpc))
    if row.league != number.method_setting.league:
        yield Mismatch("league", str(row.league), number.method_setting.league)
    yield from _settings("method", row.method_params, number.method_setting)
    if row.student_name != number.student_name:
        yield Mismatch("student", row.student_name, number.student_name)
    else:
        yield from _settings("student", row.student_params, number.student_setting)


def _data(row: Row, card: TaskCard, number: Number) -> Iterator[Mismatch]:
    if row.metric != number.facts.metric:
        yield Mismatch("metric", row.metric, number.facts.metric)
    if card.n_test != number.facts.test_rows:
        yield Mismatch("test rows", f"{card.n_test:,}", f"{number.facts.test_rows:,}")
    if abs(card.n_train - number.facts.train_rows) > ROWS * number.facts.train_rows:
        yield Mismatch("train rows", f"{card.n_train:,}", f"{number.facts.train_rows:,}")


def _settings(whose: str, params: Mapping[str, Any], setting: Setting) -> Iterator[Mismatch]:
    for name, wanted in setting.params.items():
        choices = wanted if isinstance(wanted, list) else [wanted]
        if name not in params or not any(_same(params[name], each) for each in choices):
            ours = _text(params[name]) if name in params else _not_noted(name, params)
            yield Mismatch(f"{whose}'s {name}", ours, " or ".join(map(_text, choices)))
    for name in setting.unstated:
        yield Mismatch(f"{whose}'s {name}", _text(params[name]) if name in params else "ours", NOT_STATED)


def _not_noted(name: str, params: Mapping[str, Any]) -> str:
    """Of a parameter that the records lack; one of a like name may be meant."""
    close = get_close_matches(name, params, n=1, cutoff=0.7)
    return f"{NOT_NOTED} (did you mean '{close[0]}'?)" if close else NOT_NOTED


def _same(ours: Any, theirs: Any) -> bool:
    if theirs == NOTHING:
        return ours is None
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return bool(np.isclose(ours, theirs, rtol=1e-9, atol=0))
    return bool(ours == theirs)


def _text(value: Any) -> str:
    return NOTHING if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _ours(row: Row, number: Number) -> Mean | str:
    """The mean over sets (or preparations); over the runs of the one set of a method that has one, as published."""
    values = row.scores.by_unit(items=False)[:, 0]
    if len(values) == 1 and number.sets == 1:
        values = row.scores.scores
    if len(values) < FEWEST_SETS:
        what = "preparation" if row.scores.preparations else "run" if number.sets == 1 else "set"
        return f"{len(values)} {what}{'s' * (len(values) != 1)} of ours"
    return Mean(float(values.mean()), float(values.std(ddof=1)), len(values))


def _theirs(number: Number) -> Mean | str:
    """The mean over sets, between which the whole published deviation is taken to lie: the most that it can say."""
    n = number.sets if number.sets > 1 else number.runs
    if number.deviation is None:
        return "no deviation is published"
    return Mean(number.score, number.deviation, n) if n > 1 else "one published run"
