"""Records -> board: one row a task, student, dpc and method, with coverage, holes and comparisons."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from bench.errors import UserError, did_you_mean
from bench.store.collector import collector_paused
from bench.store.record import PlannedCell, Record
from bench.store.results import ResultStore
from leaderboard.cells import (
    content_of,
    counted,
    gather,
)
from leaderboard.compared import compared_rows, mark_outdated
from leaderboard.cost import uses
from leaderboard.names import normal
from leaderboard.overlap import overlap_lines
from leaderboard.references import Place, references_of
from leaderboard.row import RANDOM, Row, by_score, dpc_order, dpc_text, missing
from leaderboard.rows import Golds, row_of
from leaderboard.scope import Scope
from leaderboard.statistics import (
    Correction,
)


@dataclass(frozen=True)
class Board:
    """Rows in reading order: league, task, student, dpc (all data last), then best first."""

    rows: tuple[Row, ...]
    baseline: str | None  # method label that `Row.difference` compares to; None when no row has it
    holes: tuple[str, ...]  # one line a cell with missing or failed replicates
    not_applicable: tuple[str, ...]
    notes: tuple[str, ...]
    overlaps: tuple[str, ...]  # one line a cell whose sets repeat test texts
    suites: tuple[str, ...]
    base_seeds: tuple[int, ...]
    environments: tuple[str, ...]
    finished: str  # time of the newest record, ISO; "" when there is none
    correction: Correction = "none"  # of verdicts and ranks, for many comparisons
    ledger: str | None = None  # source of the rows' published numbers
    # Rows of league A to show, marked, beside those of another league: never ranked there, compared with nothing.
    references: Mapping[Place, tuple[Row, ...]] = field(default_factory=dict)
    scope: Scope = field(default_factory=Scope)
    hidden: tuple[Row, ...] = ()  # rows that are not shown by choice; the others are compared with them all the same
    n_elsewhere: int = 0  # rows of tasks and students that were not chosen

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.task for row in self.rows))

    @property
    def students(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.student for row in self.rows))

    @property
    def leagues(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.league for row in self.rows if row.league is not None))

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.method for row in self.rows))


def board_of(store: ResultStore, **choices: Any) -> Board:
    """The board of an output folder; choices: see `build`."""
    with collector_paused():
        return build(store.records(), store.cells(), gold=store.gold, **choices)


def build(
    records: Iterable[Record],
    planned: Iterable[PlannedCell] = (),
    *,
    gold: Golds = lambda revision: None,
    tasks: Sequence[str] | None = None,
    students: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    dpcs: Sequence[int] | None = None,
    baseline: str | None = None,
    correction: Correction = "none",
) -> Board:
    """The board of some result records (bench.store.record), whatever their order.

    `planned`: the planned cells (`ResultStore.cells`), so that what never ran is named. `gold`: revision of a task ->
    its gold labels; without them the figures hold for the test rows as they are. `tasks`, `students`, `methods` and
    `dpcs`: show these labels (or plugin names) only, and rows of these dpc or of none. This changes no figure of a row:
    methods that are not shown are compared all the same, and the baseline may be one of them. `correction`: for many
    comparisons, within a task, student and dpc: of the differences to the baseline, and of all pairs behind ranks.
    Raises UserError for a name that no record has.
    """
    scope = Scope(tuple(tasks or ()), tuple(students or ()), tuple(methods or ()), tuple(dpcs or ()))
    cells, left_out = gather(records, planned)
    gathered = [record for cell in cells for record in cell.records]
    contents, used = content_of(gathered), uses(gathered)  # of all students and tasks, also of those not shown
    n_cells, cells = len(cells), scope.compared(cells)
    compared = [record for cell in cells for record in cell.records]
    metrics = {record.task.label: record.metric for record in compared if record.metric}
    revisions = {record.task.label: record.task.revision for record in compared}
    rows = [
        row_of(cell, revisions.get(cell.names[0], ""), metrics.get(cell.names[0], "accuracy"), contents, used, gold)
        for cell in sorted(cells, key=lambda cell: repr(cell.names))
    ]
    chosen = _pick_baseline(rows, baseline) if rows else None
    if correction not in get_args(Correction):
        raise UserError(f"correction '{correction}': choose {' or '.join(get_args(Correction))}")
    rows = compared_rows(mark_outdated(rows), chosen, correction)
    names = scope.shown(cells)
    hidden = [row for row in rows if row.names not in names]
    rows = [row for row in rows if row.names in names]
    kept = [record for cell in cells if cell.names in names for record in cell.records]
    rows.sort(
        key=lambda row: (
            *(row.league is None, row.league or "", row.task, row.student, dpc_order(row.dpc)),
            *by_score(row),
        )
    )
    shown = {row.task for row in rows}
    notes = [
        f"{task}: {counted(n, 'record')} left out: newer ones with other data, code, base seed or parameters stand."
        for task, n in sorted(left_out.items())
        if task in shown
    ]
    if rows and chosen is None:
        notes.append("No row of the baseline `random`, so no differences to it are shown.")
    elif chosen is not None:
        notes += _baseline_notes(rows, chosen)
    notes += _student_notes(rows) + _equal_notes(rows)
    alone = Counter({row.name: row.difference.n_left_out for row in rows if row.difference})
    notes += [
        f"{name}: {counted(n, 'replicate')} without a partner left out of the difference to {chosen}."
        for name, n in alone.items()
        if n
    ]
    environments = {environment_text(one) for one in {id(each.environment): each.environment for each in kept}.values()}
    return Board(
        rows=tuple(rows),
        baseline=chosen,
        correction=correction,
        holes=tuple(hole for hole in map(_hole, rows) if hole),
        not_applicable=tuple(f"{row.name}: not applicable: {row.reason}" for row in rows if not row.applicable),
        notes=tuple(notes),
        overlaps=tuple(overlap_lines(kept)),
        suites=tuple(sorted({record.suite for record in kept})),
        base_seeds=tuple(sorted({record.seed.base for record in kept})),
        environments=tuple(sorted(environments - {""})),
        finished=max((record.time.finished for record in kept), default=""),
        references=references_of(rows),
        scope=scope,
        hidden=tuple(hidden),
        n_elsewhere=n_cells - len(cells),
    )


def _pick_baseline(rows: Sequence[Row], wanted: str | None) -> str | None:
    """The label of the baseline: `wanted`, a label or the name of one selected method; by default random."""
    labels = {normal(row.method): row.method for row in rows}
    name = normal(wanted or RANDOM)
    if name in labels:
        return labels[name]
    of_name = dict.fromkeys(row.method for row in rows if row.method_name == name)
    if len(of_name) == 1:
        return next(iter(of_name))
    if wanted is None:
        return None
    raise UserError(f"no method '{wanted}' in these results to compare with{did_you_mean(wanted, labels)}")


def _hole(row: Row) -> str | None:
    """`rt dpc 20 herding minilm: 1 of 5 replicates failed: reason`, or None when nothing is missing."""
    lack = missing(row)
    return f"{row.name}: {lack}" if lack else None


def _student_notes(rows: Sequence[Row]) -> list[str]:
    """One line a task and student whose rows do not all have the same version of the student."""
    old: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        if row.outdated:
            old[row.task, row.student].append(f"{row.method} {dpc_text(row.dpc)}")
    return [
        f"{task} {student}: another version of the student made the scores of {', '.join(names)}; the newer rows "
        "beside them are compared with each other, these with nothing. Run them again to compare them."
        for (task, student), names in old.items()
    ]


def _baseline_notes(rows: Sequence[Row], baseline: str) -> list[str]:
    """One line for all places where rows with a score have no row of the baseline beside them."""
    places: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for row in rows:
        if row.summary is not None and row.league is not None and row.dpc is not None and not row.outdated:
            places[row.league, row.task, row.student].add("+" if row.difference or row.method == baseline else "-")
    alone = [
        f"{task} {student} (league {league})" for (league, task, student), found in places.items() if "+" not in found
    ]
    return [f"No row of the baseline {baseline}, so no differences to it: {', '.join(alone)}."] if alone else []


def _equal_notes(rows: Sequence[Row]) -> list[str]:
    """One line a row whose sets are not all different."""
    return [
        f"{row.name}: {counted(row.n_keys, 'set')} made, {len(row.set_keys)} different: equal ones count as one "
        "in its interval and differences, so these are not of the printed means, which are over all runs, as ± is."
        for row in rows
        if len(row.set_keys) < row.n_keys
    ]


def environment_text(environment: Mapping[str, str | None]) -> str:
    """`python 3.11.4, torch 2.6.0, ...` of a record's environment, names sorted."""
    return ", ".join(f"{name} {value}" for name, value in sorted(environment.items()) if value is not None)
