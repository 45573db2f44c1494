"""What differs between two distilled sets, bit for bit."""

from __future__ import annotations

from typing import Any

from bench.api import DistilledSet, Embeddings
from bench.store.embeddings import arrays_of, facts_of
from bench.store.identity import canonical


def difference(first: DistilledSet, second: DistilledSet) -> str:
    """The first part in which two sets differ, or an empty string; diagnostics may hold times and are left out."""
    for name in ("labels", "soft_labels", "rows"):
        if not _same(getattr(first, name), getattr(second, name)):
            return name
    if _texts(first) != _texts(second):
        return "texts"
    if (first.embeddings is None) != (second.embeddings is None):
        return "embeddings"
    if first.embeddings is None or second.embeddings is None:
        return ""
    name = _embeddings(first.embeddings, second.embeddings)
    return f"embeddings.{name}" if name else ""


def _embeddings(first: Embeddings, second: Embeddings) -> str:
    """The first field in which two embedding levels differ."""
    arrays, others = arrays_of(first), arrays_of(second)
    for name in dict.fromkeys((*arrays, *others)):
        if not _same(arrays.get(name), others.get(name)):
            return name
    facts, said = facts_of(first), facts_of(second)
    return next((name for name in facts if canonical(facts[name]) != canonical(said[name])), "")


def _texts(distilled: DistilledSet) -> dict[str, list[str]] | None:
    return None if distilled.texts is None else {name: list(values) for name, values in distilled.texts.items()}


def _same(first: Any, second: Any) -> bool:
    import numpy as np

    if first is None or second is None:
        return first is second
    one, other = np.asarray(first), np.asarray(second)
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
