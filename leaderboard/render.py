"""Board -> markdown and CSV; `write_boards` writes all three formats into a folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from leaderboard.board import LEAGUES, METRICS, Board, Overview, Row, build, overviews
from leaderboard.escape import plain_text as _cell
from leaderboard.escape import spreadsheet_cell
from leaderboard.statistics import FEWEST_SETS, Difference, Interval, Summary

if TYPE_CHECKING:
    from bench.store.results import ResultStore

ONE_SET = "†"  # beside an interval over the runs of one set
OVERLAP = "‡"  # beside a score of sets that repeat test texts
OUTDATED = "§"  # beside a score of another version of the student
NOTHING = "–"
NOT_RUN = "not run yet"
UNRANKED = "No league yet"
FORMATS = ("md", "csv", "html")


def percent(fraction: float, signed: bool = False) -> str:
    """One decimal, as papers print it; never "-0.0"."""
    value = round(fraction * 100, 1) + 0.0
    return f"{value:+.1f}" if signed else f"{value:.1f}"


def interval_text(interval: Interval | None, signed: bool = False) -> str:
    if interval is None:
        return ""
    mark = ONE_SET if interval.over == "runs" else ""
    return f"[{percent(interval.low, signed)}, {percent(interval.high, signed)}]{mark}"


def score_text(summary: Summary) -> str:
    """`58.1±5.2 [55.0, 61.2]`."""
    return f"{percent(summary.mean)}±{percent(summary.std)} {interval_text(summary.interval)}".strip()


def short_score(row: Row | None) -> str:
    """`58.1±5.2`, with a star when replicates are missing, and the marks of `row_score`."""
    if row is None or row.summary is None:
        return NOTHING if row is None or row.applicable else "n/a"
    return f"{percent(row.summary.mean)}±{percent(row.summary.std)}" + ("" if row.complete else "*") + marks(row)


def marks(row: Row) -> str:
    """What stands beside a score that is not to be read like its neighbours."""
    return (OVERLAP if row.near_test else "") + (OUTDATED if row.outdated else "")


def row_score(row: Row) -> str:
    """`58.1±5.2 [55.0, 61.2]`, marked, or what stands in its place; without a league also why it has no rank."""
    if row.summary is None:
        return row_state(row)
    tail = f"leagues {' and '.join(row.mixed)} mixed: not ranked" if row.mixed else ""
    return " ".join(part for part in (f"{score_text(row.summary)} {marks(row)}".strip(), tail) if part)


def seconds(value: float) -> str:
    """`0.03`, `2.7`, `540`."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 or value == 0 else f"{value:.2f}"


def difference_text(difference: Difference | None) -> str:
    """`+7.5 [+2.1, +12.9] above`, `+6.0 [+5.9, +6.1] undecided: 2 sets`."""
    if difference is None:
        return NOTHING
    verdict = f"undecided: {difference.undecided}" if difference.undecided else difference.verdict
    parts = (percent(difference.mean, True), interval_text(difference.interval, True), verdict)
    return " ".join(part for part in parts if part)


def rank_text(rank: tuple[int, int] | None) -> str:
    if rank is None:
        return NOTHING
    return f"{rank[0]}" if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"


def row_state(row: Row) -> str:
    """What stands in place of a score that is not there."""
    if not row.applicable:
        return f"not applicable: {row.reason}"
    if not row.statuses:
        return NOT_RUN
    counts = [f"{n} {status.replace('_', ' ')}" for status, n in sorted(row.statuses.items())]
    return f"no score ({', '.join(counts)})"


def coverage(row: Row) -> str:
    return f"{row.ok}/{row.planned}" if row.applicable else "n/a"


def metric_text(rows: Iterable[Row]) -> str:
    return " / ".join(dict.fromkeys(METRICS.get(row.metric, row.metric) for row in rows))


def protocol(board: Board) -> list[str]:
    """How to read the figures, and under which conditions they were measured; one sentence or two a line."""
    lines = [
        "a±b: mean and standard deviation (ddof 0) over runs, in percent.",
        "[low, high]: 95 % Student-t interval of the mean. Runs that trained on one distilled set, or on equal ones, "
        "count as one observation: scores are averaged per set first.",
        "Intervals, verdicts and ranks hold for these test rows: how much other test rows would change is not in them.",
        f"{ONE_SET} one set only (a deterministic method): the interval shows learner noise only.",
    ]
    if board.baseline is not None:
        lines.append(
            f"vs {board.baseline}: paired difference (replicates with the same learner seed), 95 % interval over sets; "
            f"above and below are separated from it, tie is not; undecided: fewer than {FEWEST_SETS} different sets on "
            "both sides, or no spread at all. Each comparison stands alone: no correction for many."
        )
    shown = [part for row in board.rows for part in (row.summary, row.difference) if part is not None]
    if any(part.interval is None for part in shown):
        lines.append("No interval: nothing was repeated at random (a single run), or all sets or runs score the same.")
    lines += [
        "rank: the best and worst place that the paired differences leave open within task, student and dpc.",
        "ok: replicates that finished, of those planned; only these enter a figure. A star marks an incomplete cell.",
    ]
    if any(row.near_test for row in board.rows):
        lines.append(f"{OVERLAP} some examples of its sets repeat test texts, word for word or nearly.")
    if any(row.outdated for row in board.rows):
        lines.append(f"{OUTDATED} scored by another version of the student than its neighbours: compared with nothing.")
    if any(row.cost is not None for row in board.rows):
        lines.append(
            "s a set: seconds to make a set, all in: distilling it, and its share of what was prepared for several (a "
            "trained generator, say) and of the frozen features, each shared out over the sets here that use it."
        )
    if any(row.gap is not None for row in board.rows):
        lines.append(f"gap closed: (score - {board.baseline}) / (all data - {board.baseline}).")
    seeds = ", ".join(map(str, board.base_seeds))
    lines.append(f"Suite {', '.join(board.suites)}; base seed {seeds}; newest record {board.finished}.")
    lines.extend(f"Measured with {environment}." for environment in board.environments)
    return lines


def overview_title(table: Overview) -> str:
    return f"Overview: {table.student}, league {table.league} ({LEAGUES.get(table.league, 'other')})"


def overview_note(table: Overview) -> str:
    if not table.left_out or len(table.columns) < 2:
        return ""
    return f"No mean, because a cell is missing or incomplete: {', '.join(table.left_out)}."


def _table(rows: list[list[str]], headers: list[str]) -> str:
    align = ["left" if head == "method" else "right" for head in headers]
    cells = [[_cell(cell) for cell in row] for row in rows]
    return tabulate(cells, [_cell(head) for head in headers], tablefmt="pipe", colalign=align, disable_numparse=True)


def _overview(table: Overview) -> list[str]:
    many = len(table.columns) > 1
    headers = ["method", *(f"{task} {dpc}" for task, dpc in table.columns), *(["mean"] if many else [])]
    rows = []
    for method, cells, mean in table.rows:
        tail = [NOTHING if mean is None else percent(mean)] if many else []
        rows.append([method, *map(short_score, cells), *tail])
    if table.full:
        rows.append(["all data", *(short_score(table.full.get(task)) for task, _ in table.columns), *[""] * many])
    lines = [f"## {_cell(overview_title(table))}", "", _table(rows, headers), ""]
    if note := overview_note(table):
        lines += [_cell(note), ""]
    return lines


def _details(board: Board, rows: list[Row]) -> list[str]:
    first = rows[0]
    gaps = any(row.gap is not None for row in rows)
    costs = any(row.cost is not None for row in rows)
    headers = ["dpc", "method", f"{metric_text(rows)}, % [95 %]"]
    headers += [f"vs {board.baseline}"] if board.baseline else []
    headers += ["rank", *(["gap closed"] if gaps else []), *(["s a set"] if costs else []), "sets", "ok"]
    lines = []
    for row in rows:
        line = ["all" if row.dpc is None else str(row.dpc), row.method]
        line.append(row_score(row))
        if board.baseline:
            line.append("baseline" if row.method == board.baseline else difference_text(row.difference))
        line.append(rank_text(row.rank))
        if gaps:
            line.append(NOTHING if row.gap is None else f"{percent(row.gap)} %")
        if costs:
            line.append(NOTHING if row.cost is None else seconds(row.cost.total))
        line += [str(row.summary.n_sets) if row.summary else NOTHING, coverage(row)]
        lines.append(line)
    return [f"### {_cell(f'{first.task}, {first.student}')}", "", _table(lines, headers), ""]


def sections(board: Board) -> list[tuple[str, str, str, list[Row]]]:
    """(league, task, student, rows) in reading order, of the rows with a league."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in board.rows:
        if row.league is not None:
            groups.setdefault((row.league, row.task, row.student), []).append(row)
    return [(*place, rows) for place, rows in groups.items()]


def unranked(board: Board) -> list[Row]:
    """The rows without a league: nobody has seen yet what their sets are, or their replicates disagree."""
    return [row for row in board.rows if row.league is None]


def _unranked(rows: list[Row]) -> list[str]:
    lines = [
        [row.task, row.student, "all" if row.dpc is None else str(row.dpc), row.method, row_score(row), coverage(row)]
        for row in rows
    ]
    table = _table(lines, ["task", "student", "dpc", "method", "score", "ok"])
    return [f"## {UNRANKED}", "", table, ""] if rows else []


def markdown(board: Board) -> str:
    """The whole board as markdown, ending with one newline."""
    lines = ["# Leaderboard", ""]
    for table in overviews(board):
        if table.rows:
            lines += _overview(table)
    league = None
    for place, _, _, rows in sections(board):
        if place != league:
            league = place
            lines += [f"## League {place}: {LEAGUES.get(place, 'other')}", ""]
        lines += _details(board, rows)
    lines += _unranked(unranked(board))
    for title, items in (
        ("Sets that repeat test texts", board.overlaps),
        ("Holes", board.holes),
        ("Not applicable", board.not_applicable),
        ("Notes", board.notes),
    ):
        if items:
            lines += [f"## {title}", "", *(f"- {_cell(item)}" for item in items), ""]
    lines += ["## How to read this", "", *(f"- {_cell(line)}" for line in protocol(board))]
    return "\n".join(lines) + "\n"


def _state(row: Row) -> str:
    if row.mixed:
        return "mixed_leagues"
    return "ok" if row.complete else ("incomplete" if row.applicable else "not_applicable")


def _csv_row(board: Board, row: Row) -> Mapping[str, Any]:
    summary, difference, components = row.summary, row.difference, row.components
    interval = summary.interval if summary else None
    apart = difference.interval if difference else None
    spent = row.cost
    return {
        "league": row.league,
        "task": row.task,
        "task_revision": row.revision,
        "student": row.student,
        "dpc": row.dpc,
        "method": row.method,
        "metric": row.metric,
        "mean": summary.mean if summary else None,
        "std": summary.std if summary else None,
        "ci_low": interval.low if interval else None,
        "ci_high": interval.high if interval else None,
        "ci_over": interval.over if interval else None,
        "bootstrap_low": row.bootstrap[0] if row.bootstrap else None,
        "bootstrap_high": row.bootstrap[1] if row.bootstrap else None,
        "set_std": components.set_std if components else None,
        "run_std": components.run_std if components else None,
        "sets": summary.n_sets if summary else 0,
        "sets_made": row.n_keys,
        "ok": row.ok,
        "planned": row.planned,
        "baseline": board.baseline if difference else None,
        "difference": difference.mean if difference else None,
        "difference_low": apart.low if apart else None,
        "difference_high": apart.high if apart else None,
        "difference_pairs": difference.n_pairs if difference else None,
        "difference_sets": difference.n_sets if difference else None,
        "verdict": difference.verdict if difference else None,
        "rank_best": row.rank[0] if row.rank else None,
        "rank_worst": row.rank[1] if row.rank else None,
        "gap_closed": row.gap,
        "n_train": row.n_train,
        "near_test": row.near_test,
        "set_s": spent.total if spent else None,
        "distil_s": spent.distil if spent else None,
        "prepare_s": spent.prepare if spent else None,
        "features_s": spent.features if spent else None,
        "student_key": row.student_key,
        "student_outdated": int(row.outdated),
        **{f"metric_{name}": row.metrics.get(name) for name in ("accuracy", "f1")},
        "state": _state(row),
        "reason": row.reason,
    }


def csv_text(board: Board) -> str:
    """One line a cell, fractions in full precision, empty where there is no value."""
    rows = [_csv_row(board, row) for row in board.rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["task"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: spreadsheet_cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def write_boards(
    store: ResultStore,
    folder: Path,
    *,
    formats: Iterable[str] = FORMATS,
    tasks: list[str] | None = None,
    students: list[str] | None = None,
    baseline: str | None = None,
) -> str:
    """Write leaderboard.md, .csv and .html (those of `formats`) into `folder`; return the markdown text."""
    from bench.store.files import write_atomic
    from bench.store.text import shown

    board = build(store.records(), store.cells(), tasks=tasks, students=students, baseline=baseline)
    text = markdown(board)
    contents = {"md": lambda: text, "csv": lambda: csv_text(board), "html": lambda: _html(board, store)}
    for name in formats:
        write_atomic(folder / f"leaderboard.{name}", shown(contents[name]()))
    return shown(text)


def _html(board: Board, store: ResultStore) -> str:
    from leaderboard.page import page

    return page(board, store)
