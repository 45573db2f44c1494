"""The one registry of what a board says of a row: markdown, CSV, the page and MLflow take their columns from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.store.identity import canonical, key_of
from leaderboard.board import Board
from leaderboard.box import EMBEDDED
from leaderboard.figures import (
    NOTHING,
    coverage,
    difference_text,
    equivalent_text,
    interval_text,
    mark_text,
    marks,
    metric_text,
    mixed_text,
    percent,
    rank_text,
    row_state,
    seconds,
    sets_text,
    size,
)
from leaderboard.row import Row
from leaderboard.statistics import Difference, Summary

View = Literal["csv", "details", "page", "unranked", "mlflow"]  # details, unranked: tables; page: details, and more
Kind = Literal["name", "text", "number"]  # name: the head of its line
Value = float | int | str | None
Style = Literal["", "strong", "soft"]


@dataclass(frozen=True)
class Shown:
    """What a table shows of a value: pieces of text, which a page may set apart and plain text joins."""

    pieces: tuple[tuple[Style, str], ...]
    kind: str = ""  # class of the cell in a page
    title: str = ""  # what a page tells when the cell is pointed at

    def __str__(self) -> str:
        return "".join(text for _, text in self.pieces).strip()


def plain(text: str, kind: str = "", title: str = "") -> Shown:
    """A text in one piece."""
    return Shown((("", text),), kind, title)


@dataclass(frozen=True)
class Column:
    """One column. Its functions take the board and a row of it; `heading` and `when` the rows of one table."""

    name: str  # in CSV
    value: Callable[[Board, Row], Value]  # in full precision, fractions; None when there is none
    views: frozenset[View]
    kind: Kind = "number"
    title: str | Callable[[Board, Sequence[Row]], str] = ""  # head of the column in tables; "": its name
    text: Callable[[Board, Row], Shown] | None = None  # None: the value as it is
    sort: Callable[[Board, Row], float | None] | None = None  # None: the value, when it is a number
    when: Callable[[Board, Sequence[Row]], bool] = lambda board, rows: True  # whether a table has it
    metric: str = ""  # name in MLflow; "": its name
    late: bool = False  # behind the others in tables
    compares: bool = False  # tells of the row among its neighbours, so nothing of a reference
    folded: bool = False  # rarely needed: a page shows it when it is asked for more columns
    upwards: bool = False  # the lowest come first when a reader sorts by it

    @property
    def measure(self) -> str:
        """Its name in MLflow."""
        return self.metric or self.name

    def heading(self, board: Board, rows: Sequence[Row]) -> str:
        """Head of the column in a table of these rows."""
        title = self.title(board, rows) if callable(self.title) else self.title
        return title or self.name

    def shown(self, board: Board, row: Row) -> Shown:
        """What a table shows of the row."""
        if self.text is not None:
            return self.text(board, row)
        value = self.value(board, row)
        return plain(NOTHING if value is None else str(value))

    def order(self, board: Board, row: Row) -> float | None:
        """What a table sorts the row by; None stays last."""
        if self.sort is not None:
            return self.sort(board, row)
        value = self.value(board, row)
        return None if value is None or isinstance(value, str) else float(value)


def _score(board: Board, row: Row) -> Shown:
    """`58.1±5.2 [55.0, 61.2]`, marked, or what stands in its place; without a league also why it has no rank."""
    if row.summary is None:
        return plain(row_state(row), "state")
    tail = " ".join(part for part in (marks(row), mixed_text(row)) if part)
    summary = row.summary
    return Shown(
        (
            ("strong", percent(summary.mean)),
            ("", f"±{percent(summary.std)} "),
            ("soft", interval_text(summary.interval)),
            ("", f" {tail}" if tail and summary.interval else tail),
        ),
        "" if row.league else "state",
    )


def _difference(board: Board, row: Row) -> Shown:
    if row.method == board.baseline:
        return plain("baseline", "muted")
    difference = row.difference
    return plain(NOTHING) if difference is None else plain(difference_text(difference), difference.verdict)


def _rank(board: Board, row: Row) -> Shown:
    """`1–2 a`: the places left open, and the letters that it shares with rows that are not separated from it."""
    if row.rank is None:
        return plain(NOTHING)
    return Shown((("", rank_text(row.rank)), ("soft", f" {row.group}" if row.group else "")))


def _cost(board: Board, row: Row) -> Shown:
    """Seconds a set, with their parts in the title."""
    if row.cost is None:
        return plain(NOTHING)
    parts = {"distilling": row.cost.distil, "prepared": row.cost.prepare, "features": row.cost.features}
    return plain(seconds(row.cost.total), title=", ".join(f"{name} {seconds(part)}" for name, part in parts.items()))


def _memory(board: Board, row: Row) -> Shown:
    """`612.0 MB, student 1.2 GB`."""
    parts = {"": row.distil_memory, "student ": row.student_memory}
    found = [
        f"{name}{size(each.process)}" + ("" if each.gpu is None else f" and {size(each.gpu)} GPU")
        for name, each in parts.items()
        if each is not None
    ]
    return plain(", ".join(found) or NOTHING)


def _ends(part: Summary | Difference | None) -> tuple[float | None, float | None, str | None]:
    """Ends of an interval and what it is over; None three times where there is no interval."""
    interval = part.interval if part else None
    return (interval.low, interval.high, interval.over) if interval else (None, None, None)


def tells_boxes(rows: Sequence[Row]) -> bool:
    """Whether some of the rows are white or black boxes and others are not."""
    found = {row.box for row in rows if row.summary is not None}
    return len(found) > 1 and not found.isdisjoint({"white", "black"})


def _state(row: Row) -> str:
    if row.mixed:
        return "mixed_leagues"
    return "ok" if row.complete else ("incomplete" if row.applicable else "not_applicable")


def _column(
    name: str, value: Callable[[Row], Value], *views: View, kind: Kind = "number", metric: str = "", late: bool = False
) -> Column:
    """A column whose value is the row's alone and stands in tables as it is; always in CSV."""
    return Column(name, lambda board, row: value(row), frozenset({"csv", *views}), kind, metric=metric, late=late)


COLUMNS: tuple[Column, ...] = (
    _column("league", lambda row: row.league),
    _column("task", lambda row: row.task, "unranked", kind="text"),
    _column("task_revision", lambda row: row.revision),
    _column("student", lambda row: row.student, "unranked", kind="text"),
    Column(
        "dpc",
        lambda board, row: row.dpc,
        frozenset({"csv", "details", "unranked"}),
        text=lambda board, row: plain(row.size),
        sort=lambda board, row: row.dpc or (0 if row.size == "none" else float("inf")),
        upwards=True,
    ),
    _column("method", lambda row: row.method, "details", "unranked", kind="name"),
    _column("metric", lambda row: row.metric),
    Column(
        "mean",
        lambda board, row: row.summary.mean if row.summary else None,
        frozenset({"csv", "details", "unranked", "mlflow"}),
        title=lambda board, rows: f"{metric_text(rows)}, % [95 %]" if rows[0].league else "score",
        text=_score,
        metric="score_mean",
    ),
    _column("std", lambda row: row.summary.std if row.summary else None, "mlflow", metric="score_std"),
    _column("ci_low", lambda row: _ends(row.summary)[0], "mlflow", metric="score_ci_low"),
    _column("ci_high", lambda row: _ends(row.summary)[1], "mlflow", metric="score_ci_high"),
    _column("ci_over", lambda row: _ends(row.summary)[2]),
    _column("bootstrap_low", lambda row: row.bootstrap[0] if row.bootstrap else None),
    _column("bootstrap_high", lambda row: row.bootstrap[1] if row.bootstrap else None),
    _column("preparation_std", lambda row: row.parts.preparation if row.parts else None),
    _column("preparation_item_std", lambda row: row.parts.preparation_item if row.parts else None),
    _column("set_std", lambda row: row.parts.set if row.parts else None),
    _column("run_std", lambda row: row.parts.run if row.parts else None),
    _column("item_std", lambda row: row.parts.item if row.parts else None),
    _column("set_item_std", lambda row: row.parts.set_item if row.parts else None),
    _column("rest_std", lambda row: row.parts.rest if row.parts else None),
    Column(
        "sets",
        lambda board, row: row.summary.n_sets if row.summary else 0,
        frozenset({"csv", "details", "mlflow"}),
        text=lambda board, row: plain(sets_text(row.summary)),
        late=True,
    ),
    _column("preparations", lambda row: row.summary.n_preparations if row.summary else None),
    _column("sets_made", lambda row: row.n_keys),
    _column("sets_content", lambda row: key_of(sorted(row.contents)) if row.contents else None),
    Column(
        "ok",
        lambda board, row: row.ok,
        frozenset({"csv", "details", "unranked", "mlflow"}),
        text=lambda board, row: plain(coverage(row)),
        sort=lambda board, row: row.ok / row.planned if row.applicable else None,
        late=True,
    ),
    _column("planned", lambda row: row.planned, "mlflow"),
    Column("baseline", lambda board, row: board.baseline if row.difference else None, frozenset({"csv"})),
    Column(
        "difference",
        lambda board, row: row.difference.mean if row.difference else None,
        frozenset({"csv", "details"}),
        title=lambda board, rows: f"vs {board.baseline}",
        text=_difference,
        sort=lambda board, row: (
            0.0 if row.method == board.baseline else row.difference.mean if row.difference else None
        ),
        when=lambda board, rows: board.baseline is not None,
        compares=True,
    ),
    _column("difference_low", lambda row: _ends(row.difference)[0]),
    _column("difference_high", lambda row: _ends(row.difference)[1]),
    _column("difference_pairs", lambda row: row.difference.n_pairs if row.difference else None),
    _column("difference_sets", lambda row: row.difference.n_units if row.difference else None),
    _column("difference_p", lambda row: row.difference.p if row.difference else None),
    _column("difference_p_adjusted", lambda row: row.difference.adjusted if row.difference else None),
    _column("verdict", lambda row: row.difference.verdict if row.difference else None),
    Column(
        "rank_best",
        lambda board, row: row.rank[0] if row.rank else None,
        frozenset({"csv", "details"}),
        title="rank",
        text=_rank,
        sort=lambda board, row: sum(row.rank) if row.rank else None,
        upwards=True,
        compares=True,
    ),
    _column("rank_worst", lambda row: row.rank[1] if row.rank else None),
    _column("tie_group", lambda row: row.group or None),
    Column(
        "gap_closed",
        lambda board, row: row.gap,
        frozenset({"csv", "details"}),
        title="gap closed",
        text=lambda board, row: plain(NOTHING if row.gap is None else f"{percent(row.gap)} %"),
        when=lambda board, rows: any(row.gap is not None for row in rows),
        compares=True,
    ),
    Column(
        "random_dpc",
        lambda board, row: row.equivalent.size if row.equivalent else None,
        frozenset({"csv", "details"}),
        title="as random dpc",
        text=lambda board, row: plain(equivalent_text(row.equivalent) if row.equivalent else NOTHING),
        when=lambda board, rows: any(row.equivalent is not None for row in rows),
        compares=True,
    ),
    _column("random_dpc_low", lambda row: row.equivalent.low if row.equivalent else None),
    _column("random_dpc_high", lambda row: row.equivalent.high if row.equivalent else None),
    Column(
        "published",
        lambda board, row: row.mark.number.score if row.mark else None,
        frozenset({"csv", "details"}),
        title=lambda board, rows: str(board.ledger),
        text=lambda board, row: plain(mark_text(row), "muted"),
        when=lambda board, rows: any(row.mark is not None for row in rows),
        compares=True,
    ),
    _column("published_std", lambda row: row.mark.number.deviation if row.mark else None),
    _column("published_where", lambda row: row.mark.number.where if row.mark else None),
    _column("published_method", lambda row: row.mark.number.method if row.mark else None),
    _column("published_student", lambda row: row.mark.number.student if row.mark else None),
    _column("published_verdict", lambda row: row.mark.verdict if row.mark else None),
    _column("hlr", lambda row: row.dd.hlr if row.dd else None),
    _column("ior", lambda row: row.dd.ior if row.dd else None),
    _column("lrs", lambda row: row.dd.lrs if row.dd else None),
    Column(
        "box",
        lambda board, row: row.box,
        frozenset({"csv", "details"}),
        kind="text",
        when=lambda board, rows: tells_boxes(rows),
    ),
    _column("n_train", lambda row: row.n_train),
    Column(
        "bytes",
        lambda board, row: row.n_bytes,
        frozenset({"csv", "details"}),
        title="size a set",
        text=lambda board, row: plain(NOTHING if row.n_bytes is None else size(row.n_bytes)),
        when=lambda board, rows: any(row.league == EMBEDDED and row.n_bytes is not None for row in rows),
        folded=True,
    ),
    _column("near_test", lambda row: row.near_test, "mlflow"),
    Column(
        "chosen_on",
        lambda board, row: row.chosen_on,
        frozenset({"csv", "page"}),
        kind="text",
        title="chosen on",
        when=lambda board, rows: any(row.chosen_on is not None for row in rows),
        folded=True,
    ),
    Column(
        "train_share",
        lambda board, row: row.train_share,
        frozenset({"csv", "page"}),
        title="train copies",
        text=lambda board, row: plain(NOTHING if row.train_share is None else f"{percent(row.train_share)} %"),
        when=lambda board, rows: any(row.train_share is not None for row in rows),
        folded=True,
    ),
    Column(
        "set_s",
        lambda board, row: row.cost.total if row.cost else None,
        frozenset({"csv", "details", "mlflow"}),
        title="s a set",
        text=_cost,
        upwards=True,
        when=lambda board, rows: any(row.cost is not None for row in rows),
        folded=True,
    ),
    _column("distil_s", lambda row: row.cost.distil if row.cost else None, "mlflow", metric="set_distil_s"),
    _column("prepare_s", lambda row: row.cost.prepare if row.cost else None, "mlflow", metric="set_prepare_s"),
    _column("features_s", lambda row: row.cost.features if row.cost else None, "mlflow", metric="set_features_s"),
    Column(
        "distil_memory",
        lambda board, row: row.distil_memory.process if row.distil_memory else None,
        frozenset({"csv", "page", "mlflow"}),
        title="peak memory",
        text=_memory,
        upwards=True,
        when=lambda board, rows: any(row.distil_memory or row.student_memory for row in rows),
        folded=True,
    ),
    _column("distil_memory_gpu", lambda row: row.distil_memory.gpu if row.distil_memory else None, "mlflow"),
    _column("student_memory", lambda row: row.student_memory.process if row.student_memory else None, "mlflow"),
    _column("student_memory_gpu", lambda row: row.student_memory.gpu if row.student_memory else None, "mlflow"),
    _column("student_key", lambda row: row.student_key),
    _column("student_outdated", lambda row: int(row.outdated)),
    _column("metric_accuracy", lambda row: row.metrics.get("accuracy"), "mlflow", metric="accuracy_mean"),
    _column("metric_f1", lambda row: row.metrics.get("f1"), "mlflow", metric="f1_mean"),
    Column(
        "metric_accuracy_f1",
        lambda board, row: row.metrics.get("accuracy_f1"),
        frozenset({"mlflow"}),  # in CSV it would repeat `mean`
        metric="accuracy_f1_mean",
    ),
    _column("method_params", lambda row: canonical(dict(row.method_params)) if row.method_params else None),
    _column("student_params", lambda row: canonical(dict(row.student_params)) if row.student_params else None),
    _column("state", _state),
    _column("reason", lambda row: row.reason),
)


def columns(view: View) -> list[Column]:
    """The columns of a view, in its order."""
    wanted = {view, "details"} if view == "page" else {view}
    found = [column for column in COLUMNS if wanted & column.views]
    return found if view in {"csv", "mlflow"} else sorted(found, key=lambda column: column.late)
