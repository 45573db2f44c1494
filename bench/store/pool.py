"""Equal parts of records as one object: a thousand cells of a hundred replicates repeat their plugins and versions."""

from __future__ import annotations

from typing import Any

from bench.store.record import MadeOf, Memory, Models, Record

MOST = 64  # different values that are kept to compare with, of what a folder has few of


class Pool:
    """Makes the parts of records that are equal the same objects. What a record says stays as it is."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._firsts: dict[str, Record] = {}  # cell -> its first record
        self._few: dict[str, list[Any]] = {name: [] for name in ("environment", "models")}
        self._made_of: dict[str, tuple[MadeOf, ...] | None] = {}  # of a set key, in its first record
        self._memories: dict[Memory, Memory] = {}
        self._metrics: dict[tuple[str, float], dict[str, float]] = {}

    def share(self, record: Record) -> None:
        """Put equal parts of records before it in the place of this record's."""
        replace = object.__setattr__  # it is frozen, and says the same as before
        for name in ("cell", "suite", "set_key", "set_digest", "metrics_code"):
            text = getattr(record, name)
            if text is not None:
                replace(record, name, self._texts.setdefault(text, text))
        first = self._firsts.setdefault(record.cell, record)
        for name in ("task", "method", "student"):
            if getattr(first, name) == getattr(record, name):
                replace(record, name, getattr(first, name))
        for name, known in self._few.items():
            replace(record, name, _same(known, getattr(record, name)))
        if record.metric is not None and record.score is not None:
            metrics = self._metrics.setdefault((record.metric, record.score), record.metrics)
            if metrics == record.metrics:
                replace(record, "metrics", metrics)
        for name in ("distil_memory", "student_memory"):
            if (memory := getattr(record.time, name)) is not None:
                replace(record.time, name, self._memories.setdefault(memory, memory))
        made_of = self._made_of.setdefault(record.set_key, record.time.made_of)
        if made_of == record.time.made_of:
            replace(record.time, "made_of", made_of)


def _same(known: list[Any], value: dict[str, str | None] | Models | None) -> Any:
    """The one of the known values that is equal, or the value, which is known from then on."""
    found = next((each for each in known if each == value), None)
    if found is not None:
        return found
    if len(known) < MOST:
        known.append(value)
    return value
