"""Splits, caps and checks that all tasks share. Every choice is made by a hash, never by position.

So a row's split and rank do not change when rows are added, removed or reordered, and a smaller cap keeps a
subset of what a larger one keeps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.api import Split, TaskData, TaskInfo, UserError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Row:
    """One labelled example: a text per field, the index of its class, and its split."""

    texts: tuple[str, ...]
    label: int
    split: str


def clean(text: str) -> str:
    """The text with every run of white space as one blank and none at the ends."""
    return " ".join(text.split())


def rank(purpose: str, *texts: str) -> int:
    """A hash of the texts in [0, 2**64), independent between purposes."""
    return int.from_bytes(hashlib.sha256("\0".join((purpose, *texts)).encode()).digest()[:8], "big")


def part(group: str, validation: float, test: float) -> str:
    """The split of a whole group, by the hash of its name; the fractions are expected shares of groups."""
    at = rank("split", group) / 2**64
    if at < test:
        return "test"
    return "validation" if at < test + validation else "train"


def _key(row: Row) -> tuple[str, ...]:
    return tuple(text.casefold() for text in row.texts)


def unique(rows: Iterable[Row]) -> list[Row]:
    """Each text once (letter case ignored), in the given order.

    A text that occurs in two splits or with two labels is dropped wherever it occurs.
    """
    seen: dict[tuple[str, ...], Row | None] = {}
    for row in rows:
        key = _key(row)
        known = seen.setdefault(key, row)
        if known is not None and (known.split, known.label) != (row.split, row.label):
            seen[key] = None
    return [row for row in seen.values() if row is not None]


def without_repeats(train: Iterable[Row], test: Iterable[Row]) -> list[Row]:
    """The train rows, each text once, without those with two labels and those whose text is in `test`."""
    tested = {_key(row) for row in test}
    return [row for row in unique(train) if _key(row) not in tested]


def balanced(rows: Iterable[Row], cap: int | None) -> list[Row]:
    """At most `cap` rows, the classes in turn and by hash within a class, so that a smaller cap is a prefix."""
    turns: dict[int, int] = {}
    order = []
    for row in sorted(rows, key=lambda row: rank("row", *row.texts)):
        turn = turns[row.label] = turns.get(row.label, -1) + 1
        order.append((turn, row.label, row))
    order.sort(key=lambda entry: entry[:2])
    return [row for _, _, row in order[:cap]]


def capped(rows: Sequence[Row], cap: int | None) -> list[Row]:
    """At most `cap` rows in the given order, those with the lowest hash: their class shares stay as they are."""
    if cap is None or cap >= len(rows):
        return list(rows)
    ranks = [rank("row", *row.texts) for row in rows]
    limit = sorted(ranks)[cap]
    return [row for row, at in zip(rows, ranks, strict=True) if at < limit]


def assemble(info: TaskInfo, rows: Iterable[Row], where: str) -> TaskData:
    """The three splits in the order of the rows. UserError when a split lacks a class; `where` says of what."""
    import numpy as np

    found: dict[str, list[Row]] = {name: [] for name in SPLITS}
    for row in rows:
        found[row.split].append(row)
    for name, chosen in found.items():
        present = {row.label for row in chosen}
        for label, label_name in enumerate(info.label_names):
            if label not in present:
                raise UserError(
                    f"{where}: class '{label_name}' has no row in the {name} split; "
                    "raise that split's rows or share, or drop the class"
                )
    splits = {
        name: Split(
            texts={field: [row.texts[i] for row in chosen] for i, field in enumerate(info.fields)},
            labels=np.array([row.label for row in chosen], dtype=np.int64),
        )
        for name, chosen in found.items()
    }
    return TaskData(info=info, **splits)
