"""Readable samples of the distilled sets, for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import UserError
from bench.store.record import SetCard, TaskCard
from bench.store.results import ResultStore
from leaderboard.board import Board
from leaderboard.row import Row, dpc_order, dpc_text

SETS_SHOWN = 3  # of a cell; with the next two it keeps a board of 1,000 sets under about a megabyte
ROWS_SHOWN = 10  # of a set, spread over its classes
NEAREST = "nearest"  # of a row: the text nearest to an example of the embedding level
TEXT_SHOWN = 240  # characters of a field


@dataclass(frozen=True)
class Example:
    """Its label's name, and the fields as (name, text); a single field goes without its name."""

    label: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Sample:
    """Some examples of one set. Without a text level they are its `nearest` texts, and none when it has none."""

    title: str
    examples: tuple[Example, ...]
    nearest: bool = False


@dataclass(frozen=True)
class Samples:
    """What is shown of the sets of one task, dpc and method."""

    size: str  # dpc as in a table
    method: str
    note: str
    sets: tuple[Sample, ...]


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


def _example(row: Mapping[str, Any], fields: Sequence[str], names: Sequence[str]) -> Example:
    label = row["label"]
    name = names[label] if 0 <= label < len(names) else str(label)
    heads = fields if len(fields) > 1 else [""]
    texts = (_cut(str(row.get(field, ""))) for field in fields)
    return Example(name, tuple(zip(heads, texts, strict=True)))


def _sample(found: SetCard, names: Sequence[str]) -> Sample:
    title = f"set {found.set}, {found.n} examples"
    nearest = not found.fields
    if nearest and not any(NEAREST in row for row in found.rows):
        return Sample(title, ())
    if found.near_test:
        title += f", {found.near_test} of them near-duplicates of test texts"
    rows = _spread(found.rows, ROWS_SHOWN)
    if len(rows) < found.n:
        title += f", {len(rows)} shown"
    fields = (NEAREST,) if nearest else found.fields
    return Sample(title, tuple(_example(row, fields, names) for row in rows), nearest)


def samples(board: Board, store: ResultStore, most: int = SETS_SHOWN) -> dict[str, list[Samples]]:
    """Task -> what is shown of its sets, in order of dpc and method; nothing for sets that all data are.

    most: sets of a cell.
    """
    cells: dict[tuple[str, int | None, str], Row] = {}
    for row in board.rows:
        if not row.is_full:
            cells.setdefault((row.task, row.dpc, row.method), row)
    shown: dict[str, list[Samples]] = {}
    places = {task: place for place, task in enumerate(board.tasks)}
    for task, dpc, method in sorted(cells, key=lambda key: (places[key[0]], dpc_order(key[1]), key[2])):
        row = cells[task, dpc, method]
        found = [one for one in map(store.set, row.set_keys[:most]) if one is not None]
        if found:
            card = task_card(store, row)
            names = card.label_names if card is not None else ()
            count = f"{len(found)} of {len(row.set_keys)} sets" if len(row.set_keys) > 1 else "one set"
            sets = tuple(_sample(one, names) for one in found)
            shown.setdefault(task, []).append(Samples(row.size, method, f"{dpc_text(dpc)}, {count}", sets))
    return shown
