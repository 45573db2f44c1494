"""Readable samples of the distilled sets, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.store.record import SetCard, TaskCard
from leaderboard.board import Board, Row, dpc_order, dpc_text

if TYPE_CHECKING:
    from bench.store.results import ResultStore

SETS_SHOWN = 3  # of a cell; with the next two it keeps a board of 1,000 sets under about a megabyte
ROWS_SHOWN = 10  # of a set, spread over its classes
TEXT_SHOWN = 240  # characters of a field


def task_card(store: ResultStore, row: Row) -> TaskCard | None:
    """The card of the row's task; None when this folder has none (labels are then numbers)."""
    try:
        return store.task(row.revision)
    except UserError:
        return None


def _spread(rows: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """At most `most` rows, taken from the classes in turn, in their old order."""
    turns: dict[int, int] = {}
    ranked = []
    for place, row in enumerate(rows):
        turns[row["label"]] = turns.get(row["label"], -1) + 1
        ranked.append((turns[row["label"]], place))
    return [rows[place] for _, place in sorted(sorted(ranked)[:most], key=lambda item: item[1])]


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_SHOWN else text[: TEXT_SHOWN - 1].rstrip() + "…"


def _example(row: Mapping[str, Any], fields: Sequence[str], names: Sequence[str]) -> str:
    label = row["label"]
    name = names[label] if 0 <= label < len(names) else str(label)
    texts = []
    for field in fields:
        head = f'<span class="field">{escape(field)}</span> ' if len(fields) > 1 else ""
        texts.append(f"<p>{head}{escape(_cut(str(row.get(field, ''))))}</p>")
    return f'<li><span class="label">{escape(name)}</span><div>{"".join(texts)}</div></li>'


def _set(found: SetCard, names: Sequence[str]) -> str:
    head = f"set {found.set}, {found.n} examples"
    if not found.fields:
        return f"<h4>{escape(head)}</h4><p>no text level</p>"
    if found.near_test:
        head += f", {found.near_test} of them near-duplicates of test texts"
    rows = _spread(found.rows, ROWS_SHOWN)
    if len(rows) < found.n:
        head += f", {len(rows)} shown"
    items = "".join(_example(row, found.fields, names) for row in rows)
    return f'<h4>{escape(head)}</h4><ul class="examples">{items}</ul>'


def samples(board: Board, store: ResultStore) -> str:
    """A fold-out a task, dpc and method; nothing for sets that all data are."""
    cells: dict[tuple[str, int | None, str], Row] = {}
    for row in board.rows:
        if not row.is_full:
            cells.setdefault((row.task, row.dpc, row.method), row)
    parts: list[str] = []
    for task in board.tasks:
        mine = sorted((key for key in cells if key[0] == task), key=lambda key: (dpc_order(key[1]), key[2]))
        folds = []
        for _, dpc, method in mine:
            row = cells[task, dpc, method]
            found = [one for one in map(store.set, row.set_keys[:SETS_SHOWN]) if one is not None]
            if not found:
                continue
            card = task_card(store, row)
            names = card.label_names if card is not None else ()
            count = f"{len(found)} of {len(row.set_keys)} sets" if len(row.set_keys) > 1 else "one set"
            folds.append(
                f"<details><summary>{escape(method)} <small>{escape(dpc_text(dpc))}, {count}</small></summary>"
                f"{''.join(_set(one, names) for one in found)}</details>"
            )
        if folds:
            parts.append(f"<h3>{escape(task)}</h3>{''.join(folds)}")
    return f'<section id="sets"><h2>Distilled sets</h2>{"".join(parts)}</section>' if parts else ""
