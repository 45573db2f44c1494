"""Watches over what a plugin must leave alone: global random state, its inputs."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from functools import lru_cache

from bench.api import Split
from bench.store.identity import canonical
from bench.work.network import NetworkGuard

OFFLINE = "what it needs belongs into `assets` of its spec, because a run may be offline"


class ConformanceError(AssertionError):
    """A rule that the plugin breaks, in one line."""


def demand(holds: object, line: str) -> None:
    """Raise ConformanceError unless the rule holds."""
    if not holds:
        raise ConformanceError(line)


@contextlib.contextmanager
def kept_random_state() -> Iterator[None]:
    """Leave all global generators as they were found."""
    import numpy as np
    import torch

    saved = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    try:
        yield
    finally:
        random.setstate(saved[0])
        np.random.set_state(saved[1])
        torch.set_rng_state(saved[2])


@contextlib.contextmanager
def global_random_state(who: str, start: int) -> Iterator[None]:
    """Run a block with all global generators at `start`; refuse one that draws from or reseeds them.

    Two blocks with different `start` that must give one result also show whether it hangs on global state.
    """
    import numpy as np
    import torch

    with kept_random_state():
        random.seed(start)
        np.random.seed(start)  # the global generator is what is watched
        torch.random.default_generator.manual_seed(start)
        before = _generators()
        yield
        after = _generators()
    changed = [name for name in before if before[name] != after[name]]
    demand(not changed, f"{who} uses the global generator of {', '.join(changed)}: draw from ctx.rng() or ctx.derive()")


def _generators() -> dict[str, object]:
    import numpy as np
    import torch

    return {
        "random": random.getstate(),
        "numpy.random": repr(np.random.get_state(legacy=False)),
        "torch": torch.get_rng_state().tolist(),
    }


@lru_cache(maxsize=1)
def _network() -> NetworkGuard:
    """The one guard of this process: its hook stays for good."""
    guard = NetworkGuard()
    guard.active = False
    guard.install()
    return guard


@contextlib.contextmanager
def no_network(who: str) -> Iterator[None]:
    """Refuse connections in a block, also those whose error the block has caught."""
    guard = _network()
    guard.who, guard.active = who, True
    try:
        yield
    finally:
        guard.active = False
        tried, guard.tried = guard.tried, []
        demand(not tried, f"{who} wanted to reach {', '.join(dict.fromkeys(tried))}: {OFFLINE}")


def fingerprint(split: Split) -> str:
    """All of a split as text, to see whether somebody changed it."""
    return canonical([{name: list(texts) for name, texts in split.texts.items()}, split.labels.tolist()])
