"""Records -> board: one row a task, student, dpc and method, with coverage, holes and comparisons."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from bench.errors import UserError, did_you_mean
from bench.store.cards import Gold
from bench.store.identity import canonical
from bench.store.record import PlannedCell, Record
from bench.store.results import ResultStore
from leaderboard.box import Box, box_of
from leaderboard.cells import (
    CellRecords,
    Names,
    content_of,
    counted,
    gather,
    replicate_of,
)
from leaderboard.confusion import Confusion, confusion
from leaderboard.cost import Cost, cost, shared, uses
from leaderboard.crossed import Parts, bootstrap, parts
from leaderboard.dd_ranking import DDRanking, dd_ranking
from leaderboard.equivalent import Equivalent, equivalent_sizes
from leaderboard.groups import tie_groups
from leaderboard.items import item_scores
from leaderboard.ledger import Mark
from leaderboard.names import normal
from leaderboard.overlap import overlap_lines, repeats
from leaderboard.ranks import apart, compare, ranks_left, to_best
from leaderboard.scope import Scope
from leaderboard.scores import Hits, Replicate, Scores
from leaderboard.statistics import (
    LEVEL,
    Correction,
    Difference,
    Summary,
    Verdict,
    differences,
    gap_closed,
    holm,
    summarise,
)

LEAGUES = {
    "A": "text, hard labels",
    "B": "text with soft labels",
    "C": "embedding level: learned inputs, labels or step sizes",
    "D": "in-context learning",
}
FULL = "full"  # the method that is the upper bound
RANDOM = "random"  # the method whose curve sizes are read from
REFERENCES = (RANDOM, "kcenters", FULL)  # methods whose rows may stand, marked, beside those of other leagues
HOME = "A"  # the league of their sets: texts of the task with hard labels
RECIPE = "recipe"  # the parameter by which a student trains in another way on what only some sets have
Golds = Callable[[str], Gold | None]  # revision of a task -> its gold labels, where they are known
METRICS = {"accuracy": "accuracy", "accuracy_f1": "mean of accuracy and F1"}


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
    prepared_once: bool = False  # its sets, more than one, are all made of the same prepared artifact
    cost: Cost | None = None
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
        """Interval of the mean that assumes no distribution; None with fewer than two sets."""
        if self.scores.n_sets < 2:
            return None
        return bootstrap(self.scores.by_set(self.scores.items is not None), LEVEL)

    @cached_property
    def parts(self) -> Parts | None:
        """Of the variance of its scores; None without single test rows or a second set."""
        return None if self.scores.items is None else parts(self.scores.items[:], np.array(self.scores.groups))

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


Place = tuple[str, str, str, int | None]  # league, task, student, dpc: rows that stand together


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


def dpc_text(dpc: int | None) -> str:
    return "all data" if dpc is None else f"dpc {dpc}"


def dpc_order(dpc: int | None) -> tuple[bool, int]:
    """Sort key: ascending, "all data" last."""
    return (dpc is None, dpc or 0)


def _row(
    cell: CellRecords, revision: str, metric: str, contents: Mapping[str, str], used: Mapping[str, int], gold: Golds
) -> Row:
    """The row of a cell, not yet compared; `revision` and `metric` are the task's.

    contents: `content_of` the board's records; used: `uses` of them.
    """
    task, student, dpc, method = cell.names
    records = cell.records
    ok = [record for record in records if record.finished]
    troubled = [record for record in records if not record.finished]
    made = {(record.set_key, contents[record.key]): record for record in records if record.set_key}
    different: dict[str, str] = {}
    for key, content in made:
        different.setdefault(content, key)
    counted_near = any(record.near_test is not None for record in records)
    row = Row(
        league=cell.leagues[0] if len(cell.leagues) == 1 else None,
        task=task,
        revision=revision,
        student=student,
        dpc=dpc,
        method=method,
        method_name=cell.plugin("method"),
        metric=metric,
        planned=cell.planned,
        statuses=Counter(record.status for record in records),
        reason="; ".join(dict.fromkeys(record.reason or record.status for record in troubled)) or None,
        set_keys=tuple(different.values()),
        n_keys=len(made),
        mixed=cell.leagues if len(cell.leagues) > 1 else (),
        student_key=cell.student_key,
        student_name=cell.plugin("student"),
        method_params=records[0].method.params if records else {},
        student_params=records[0].student.params if records else {},
        learner=_learner(records),
        box=box_of(records),
        near_test=sum(repeats(records).values()) if counted_near else None,
        prepared_once=bool(shared(ok)),
        cost=cost(ok, used),
        finished=max((record.time.finished for record in records), default=""),
    )
    if not ok:
        return row
    labels = gold(revision)
    answers = None if labels is None else _answers(ok)
    scores = _scores(ok, contents, labels, answers)
    names = set.intersection(*(set(record.metrics) for record in ok))
    return replace(
        row,
        summary=summarise(scores),
        metrics={name: sum(record.metrics[name] for record in ok) / len(ok) for name in sorted(names)},
        n_train=ok[0].n_train,
        n_bytes=_mean_bytes({contents[record.key]: record.n_bytes for record in ok}),
        confusion=None if labels is None or answers is None else confusion(answers, labels),
        scores=scores,
    )


def _answers(records: Sequence[Record]) -> np.ndarray:
    """Predicted labels of finished records [n, I], in the smallest type that all have."""
    return np.stack([record.predictions.raw() for record in records if record.predictions is not None])


def _scores(
    records: Sequence[Record], contents: Mapping[str, str], gold: Gold | None, answers: np.ndarray | None
) -> Scores:
    """Of finished records in order of replicate; gold: the labels of their task's test rows; answers: theirs."""
    items: np.ndarray | Hits | None = None
    if gold is not None and answers is not None:
        found = item_scores(gold.metric, gold.labels, answers)
        items = Hits(found) if found.dtype == bool else found
    return Scores(
        _one_object(tuple(replicate_of(record) for record in records)),
        tuple(contents[record.key] for record in records),
        np.array([record.score for record in records], dtype=np.float64),
        items,
    )


@lru_cache(maxsize=4096)
def _one_object(replicates: tuple[Replicate, ...]) -> tuple[Replicate, ...]:
    """The same object for equal ones: most rows of a board have the same replicates."""
    return replicates


def _mean_bytes(sizes: Mapping[str, int | None]) -> int | None:
    """The mean of the sizes of different sets, to a byte; None when one is not known."""
    known = [size for size in sizes.values() if size is not None]
    return round(sum(known) / len(known)) if len(known) == len(sizes) else None


def _learner(records: Sequence[Record]) -> str:
    """The student of some records by its name and parameters but the recipe; "" for one without recipes."""
    if not records or RECIPE not in records[0].student.params:
        return ""
    student = records[0].student
    return canonical([student.name, {name: value for name, value in student.params.items() if name != RECIPE}])


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


def _mark_outdated(rows: Sequence[Row]) -> list[Row]:
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


def _by_score(row: Row) -> tuple[bool, float, str]:
    """Sort key: best first, without a score last."""
    return (row.summary is None, -(row.summary.mean if row.summary else 0.0), row.method)


def _compare(rows: list[Row], baseline: str | None, correction: Correction) -> list[Row]:
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
        scored.sort(key=_by_score)
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


def _references(rows: Sequence[Row]) -> dict[Place, tuple[Row, ...]]:
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


def _hole(row: Row) -> str | None:
    """`rt dpc 20 herding minilm: 1 of 5 replicates failed: reason`, or None when nothing is missing."""
    lack = missing(row)
    return f"{row.name}: {lack}" if lack else None


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


def _equal_notes(rows: Sequence[Row]) -> list[str]:
    """One line a row whose sets are not all different."""
    return [
        f"{row.name}: {counted(row.n_keys, 'set')} made, {len(row.set_keys)} different: equal ones count as one."
        for row in rows
        if len(row.set_keys) < row.n_keys
    ]


def environment_text(environment: Mapping[str, str | None]) -> str:
    """`python 3.11.4, torch 2.6.0, ...` of a record's environment, names sorted."""
    return ", ".join(f"{name} {value}" for name, value in sorted(environment.items()) if value is not None)


def board_of(store: ResultStore, **choices: Any) -> Board:
    """The board of an output folder; choices: see `build`."""
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
        _row(cell, revisions.get(cell.names[0], ""), metrics.get(cell.names[0], "accuracy"), contents, used, gold)
        for cell in sorted(cells, key=lambda cell: repr(cell.names))
    ]
    chosen = _pick_baseline(rows, baseline) if rows else None
    rows = _compare(_mark_outdated(rows), chosen, correction)
    names = scope.shown(cells)
    hidden = [row for row in rows if row.names not in names]
    rows = [row for row in rows if row.names in names]
    kept = [record for cell in cells if cell.names in names for record in cell.records]
    rows.sort(
        key=lambda row: (
            *(row.league is None, row.league or "", row.task, row.student, dpc_order(row.dpc)),
            *_by_score(row),
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
        references=_references(rows),
        scope=scope,
        hidden=tuple(hidden),
        n_elsewhere=n_cells - len(cells),
    )


@dataclass(frozen=True)
class Overview:
    """Methods x (task, dpc) of one league and student; a mean over columns for rows without a hole only."""

    league: str
    student: str
    columns: tuple[tuple[str, int], ...]
    rows: tuple[tuple[str, tuple[Row | None, ...], float | None], ...]  # method, cells, mean or None
    left_out: tuple[str, ...]  # methods without a mean, because a cell is missing, incomplete or of another student
    full: dict[str, Row]  # task -> the row of all data


def overviews(board: Board) -> list[Overview]:
    """One table a league and student, best mean first; methods without a mean at the end."""
    tables = []
    for league in board.leagues:
        for student in sorted({row.student for row in board.rows if row.league == league}):
            mine = [row for row in board.rows if (row.league, row.student) == (league, student)]
            columns = tuple(dict.fromkeys((row.task, row.dpc) for row in mine if row.dpc is not None))
            cells = {(row.method, row.task, row.dpc): row for row in mine}
            found = []
            for method in dict.fromkeys(row.method for row in mine if row.dpc is not None):
                line = tuple(cells.get((method, *column)) for column in columns)
                fit = [row for row in line if row is not None and row.complete and not row.outdated]
                whole = [row.summary.mean for row in fit if row.summary]
                mean = sum(whole) / len(whole) if len(whole) == len(columns) else None
                found.append((method, line, mean))
            found.sort(key=lambda item: (item[2] is None, -(item[2] or 0.0), item[0]))
            tables.append(
                Overview(
                    league=league,
                    student=student,
                    columns=columns,
                    rows=tuple(found),
                    left_out=tuple(method for method, _, mean in found if mean is None),
                    full={row.task: row for row in mine if row.is_full},
                )
            )
    return tables
