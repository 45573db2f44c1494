"""Board -> one self-contained HTML file: no request leaves it, and a policy in its head forbids any."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from leaderboard.board import LEAGUES, METRICS, Board, Overview, Row, overviews
from leaderboard.cells import counted
from leaderboard.plot import legend, plot
from leaderboard.render import (
    NOTHING,
    UNRANKED,
    coverage,
    difference_text,
    interval_text,
    marks,
    metric_text,
    overview_note,
    overview_title,
    percent,
    protocol,
    rank_text,
    row_score,
    seconds,
    sections,
    short_score,
    unranked,
)
from leaderboard.reports import reports
from leaderboard.samples import samples, task_card

if TYPE_CHECKING:
    from bench.store.results import ResultStore


def _breakable(name: str) -> str:
    """A label as HTML that may wrap between its parameters."""
    return re.sub(r"([\[,=_])", r"\1<wbr>", escape(name))


def _head(name: str, numeric: bool = True) -> str:
    kind = ' class="number"' if numeric else ""
    return f'<th scope="col"{kind}><button type="button">{_breakable(name)}</button></th>'


def _number(value: float | None, shown: str, extra: str = "") -> str:
    """A cell that sorts by `value`; without one it stays at the end. `shown` is HTML."""
    stored = "" if value is None else repr(float(value))
    return f'<td class="number{extra}" data-value="{stored}">{shown}</td>'


def _table(heads: Sequence[str], rows: Sequence[str], foot: str = "", kind: str = "") -> str:
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    foot = f"<tfoot><tr>{foot}</tr></tfoot>" if foot else ""
    return (
        f'<div class="scroll"><table class="sortable{kind}"><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{body}</tbody>{foot}</table></div>"
    )


def _short(row: Row | None) -> str:
    value = row.summary.mean if row is not None and row.summary is not None else None
    return _number(value, escape(short_score(row)))


def _overview(table: Overview) -> str:
    many = len(table.columns) > 1
    heads = [_head("method", False), *(_head(f"{task} {dpc}") for task, dpc in table.columns)]
    heads += [_head("mean")] if many else []
    rows = []
    for method, cells, mean in table.rows:
        tail = _number(mean, NOTHING if mean is None else f"<b>{percent(mean)}</b>") if many else ""
        rows.append(f'<th scope="row">{_breakable(method)}</th>{"".join(map(_short, cells))}{tail}')
    foot = ""
    if table.full:
        full = "".join(_short(table.full.get(task)) for task, _ in table.columns)
        foot = f'<th scope="row">all data</th>{full}{"<td></td>" if many else ""}'
    note = overview_note(table)
    below = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(overview_title(table))}</h2>{_table(heads, rows, foot, ' overview')}{below}</section>"


def _score(row: Row) -> str:
    assert row.summary is not None, "a row with a league has a score"
    shown = f"<b>{percent(row.summary.mean)}</b>±{percent(row.summary.std)}"
    interval = interval_text(row.summary.interval)
    return _number(row.summary.mean, f'{shown} <span class="interval">{escape(interval)}</span>{marks(row)}')


def _cost(row: Row) -> str:
    """Seconds a set, with their parts in the title."""
    if row.cost is None:
        return _number(None, NOTHING)
    parts = {"distilling": row.cost.distil, "prepared": row.cost.prepare, "features": row.cost.features}
    title = ", ".join(f"{name} {seconds(value)}" for name, value in parts.items())
    return _number(row.cost.total, f'<span title="{escape(title)}">{seconds(row.cost.total)}</span>')


def _against(board: Board, row: Row) -> str:
    if row.method == board.baseline:
        return _number(0.0, "baseline", " muted")
    difference = row.difference
    if difference is None:
        return _number(None, NOTHING)
    return _number(difference.mean, escape(difference_text(difference)), f" {difference.verdict}")


def _details(board: Board, rows: list[Row]) -> str:
    gaps = any(row.gap is not None for row in rows)
    costs = any(row.cost is not None for row in rows)
    heads = [_head("dpc"), _head("method", False), _head(f"{metric_text(rows)}, %")]
    heads += [_head(f"vs {board.baseline}")] if board.baseline else []
    heads += [_head("rank"), *([_head("gap closed")] if gaps else [])]
    heads += [*([_head("s a set")] if costs else []), _head("sets"), _head("ok")]
    lines = []
    for row in rows:
        cells = [
            _number(float("inf") if row.dpc is None else row.dpc, "all" if row.dpc is None else str(row.dpc)),
            f'<th scope="row">{_breakable(row.method)}</th>',
            _score(row),
        ]
        if board.baseline:
            cells.append(_against(board, row))
        cells.append(_number(sum(row.rank) if row.rank else None, rank_text(row.rank)))
        if gaps:
            cells.append(_number(row.gap, NOTHING if row.gap is None else f"{percent(row.gap)} %"))
        if costs:
            cells.append(_cost(row))
        sets = row.summary.n_sets if row.summary else None
        cells.append(_number(sets, NOTHING if sets is None else str(sets)))
        cells.append(_number(row.ok / row.planned if row.applicable else None, coverage(row)))
        lines.append("".join(cells))
    return _table(heads, lines)


def _reference_lines(rows: Sequence[Row], store: ResultStore) -> dict[str, float]:
    """The scores of `full`, and the share of the most frequent test label where the metric is accuracy."""
    lines = {row.method: row.summary.mean for row in rows if row.is_full and row.summary is not None}
    card = task_card(store, rows[0])
    labels = card.test_labels if card is not None else ()
    if labels and rows[0].metric == "accuracy":
        lines["largest class"] = max(map(labels.count, set(labels))) / len(labels)
    return lines


def _section(board: Board, store: ResultStore, league: str, task: str, student: str, rows: list[Row]) -> str:
    metric = METRICS.get(rows[0].metric, rows[0].metric)
    drawing = plot(rows, board.methods, _reference_lines(rows, store), metric)
    figure = f"<figure>{drawing}{legend(rows, board.methods)}</figure>" if drawing else ""
    tag = f" <small>league {escape(league)}: {escape(LEAGUES.get(league, 'other'))}</small>"
    return (
        f'<section class="cellblock"><h2>{escape(task)}, {escape(student)}{tag}</h2>'
        f"{_details(board, rows)}{figure}</section>"
    )


def _unranked(rows: Sequence[Row]) -> str:
    """The rows without a league, in one table."""
    lines = [
        f"<td>{_breakable(row.task)}</td><td>{_breakable(row.student)}</td>"
        + _number(float("inf") if row.dpc is None else row.dpc, "all" if row.dpc is None else str(row.dpc))
        + f'<th scope="row">{_breakable(row.method)}</th><td class="state">{escape(row_score(row))}</td>'
        + _number(row.ok / row.planned if row.applicable else None, coverage(row))
        for row in rows
    ]
    heads = [_head("task", False), _head("student", False), _head("dpc"), _head("method", False)]
    table = _table([*heads, _head("score", False), _head("ok")], lines)
    return f'<section class="unranked"><h2>{UNRANKED}</h2>{table}</section>' if rows else ""


def _list(title: str, items: Sequence[str], kind: str) -> str:
    lines = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f'<section class="{kind}"><h2>{title}</h2><ul>{lines}</ul></section>' if items else ""


def page(board: Board, store: ResultStore) -> str:
    """The HTML text. Sets and task facts are read from `store`; every text from outside is escaped."""
    source = files("leaderboard")
    script = (source / "board.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    facts = [
        counted(len(board.tasks), "task"),
        counted(len(board.methods), "method"),
        counted(len(board.students), "student"),
        counted(sum(row.ok for row in board.rows), "finished replicate"),
    ]
    body = [
        _list("Sets that repeat test texts", board.overlaps, "holes overlaps"),
        _list("Holes", board.holes, "holes"),
        *(_overview(table) for table in overviews(board) if table.rows),
        *(_section(board, store, *section) for section in sections(board)),
        _unranked(unranked(board)),
        _list("Not applicable", board.not_applicable, "plain"),
        _list("Notes", board.notes, "plain"),
        samples(board, store),
        reports(board, store),
        _list("How to read this", protocol(board), "protocol"),
    ]
    return Template((source / "board.html").read_text(encoding="utf-8")).substitute(
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        suite=escape(", ".join(board.suites)),
        facts=escape(", ".join(facts)),
        finished=escape(board.finished),
        style=(source / "board.css").read_text(encoding="utf-8"),
        script=script,
        body="\n".join(part for part in body if part),
    )
