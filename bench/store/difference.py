"""What differs between two distilled sets, bit for bit."""

from __future__ import annotations

from typing import Any

from bench.api import DistilledSet


def difference(first: DistilledSet, second: DistilledSet) -> str:
    """The first part in which two sets differ, or an empty string; diagnostics may hold times and are left out."""
    for name in ("labels", "soft_labels", "rows"):
        if not _same(getattr(first, name), getattr(second, name)):
            return name
    if _texts(first) != _texts(second):
        return "texts"
    if (first.embeddings is None) != (second.embeddings is None):
        return "embeddings"
    if first.embeddings is not None and second.embeddings is not None:
        for name in ("inputs_embeds", "attention_mask", "label_distribution", "step_sizes"):
            if not _same(getattr(first.embeddings, name), getattr(second.embeddings, name)):
                return f"embeddings.{name}"
        if first.embeddings.encoder != second.embeddings.encoder:
            return "embeddings.encoder"
    return ""


def _texts(distilled: DistilledSet) -> dict[str, list[str]] | None:
    return None if distilled.texts is None else {name: list(values) for name, values in distilled.texts.items()}


def _same(first: Any, second: Any) -> bool:
    import numpy as np

    if first is None or second is None:
        return first is second
    one, other = np.asarray(first), np.asarray(second)
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
