"""Watches over what a plugin must leave alone: global random state, its inputs."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

from bench.api import DistilledSet, Split
from bench.store.identity import canonical


class ConformanceError(AssertionError):
    """A rule that the plugin breaks, in one line."""


def demand(holds: object, line: str) -> None:
    """Raise ConformanceError unless the rule holds."""
    if not holds:
        raise ConformanceError(line)


@contextlib.contextmanager
def global_random_state(who: str, start: int) -> Iterator[None]:
    """Run a block with all global generators at `start`; refuse one that draws from or reseeds them.

    Two blocks with different `start` that must give one result also show whether it hangs on global state.
    """
    import numpy as np
    import torch

    saved = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    random.seed(start)
    np.random.seed(start)  # the global generator is what is watched
    torch.random.default_generator.manual_seed(start)
    before = {"random": random.getstate(), "numpy.random": _numpy_state(), "torch": torch.get_rng_state().tolist()}
    try:
        yield
        after = {"random": random.getstate(), "numpy.random": _numpy_state(), "torch": torch.get_rng_state().tolist()}
    finally:
        random.setstate(saved[0])
        np.random.set_state(saved[1])
        torch.set_rng_state(saved[2])
    changed = [name for name in before if before[name] != after[name]]
    demand(not changed, f"{who} uses the global generator of {', '.join(changed)}: draw from ctx.rng() or ctx.derive()")


def _numpy_state() -> str:
    import numpy as np

    return repr(np.random.get_state(legacy=False))


def fingerprint(split: Split) -> str:
    """All of a split as text, to see whether somebody changed it."""
    return canonical([{name: list(texts) for name, texts in split.texts.items()}, split.labels.tolist()])


def difference(first: DistilledSet, second: DistilledSet) -> str:
    """The first part in which two sets differ, or an empty string; diagnostics may hold times and are left out."""
    for name in ("labels", "soft_labels", "rows"):
        if not _same(getattr(first, name), getattr(second, name)):
            return name
    if (first.texts is None) != (second.texts is None):
        return "texts"
    if first.texts is not None and second.texts is not None:
        texts = [{name: list(values) for name, values in each.texts.items()} for each in (first, second) if each.texts]
        if texts[:1] != texts[1:]:
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


def _same(first: Any, second: Any) -> bool:
    import numpy as np

    if first is None or second is None:
        return first is second
    return np.asarray(first).dtype == np.asarray(second).dtype and np.array_equal(first, second)
