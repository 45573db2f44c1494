"""What sets are made of together, and what a set took: its own seconds and its share of that, and memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.store.record import Memory, Record
from leaderboard.scores import connected

FEATURES = "features"  # kind of the artifacts with the frozen features of a split


@dataclass(frozen=True)
class Cost:
    """Mean seconds a set: distilling it, and its shares of prepared artifacts (generators, say) and of features."""

    distil: float
    prepare: float
    features: float

    @property
    def total(self) -> float:
        return self.distil + self.prepare + self.features


def uses(records: Iterable[Record]) -> Counter[str]:
    """Key of each artifact -> how many different sets were made of it."""
    found = {(part.key, record.set_key) for record in records for part in record.time.made_of or ()}
    return Counter(key for key, _ in found)


@dataclass(frozen=True)
class Shared:
    """What different sets have in common, beside features.

    once: whether all are made of one prepared artifact, or of several that chains of sets connect. preparation: name of
    a set's content -> number of what it shares with some of the others, where two sets or more do and not all.
    """

    once: bool
    preparation: Mapping[str, int]


def shared(records: Sequence[Record], contents: Mapping[str, str]) -> Shared | None:
    """Of the sets of some finished records; contents: record key -> name of its set's content.

    What a single set is made of is shared with none. None where nobody noted it. A set that two preparations gave alike
    makes them one.
    """
    parts: dict[str, list[frozenset[str]]] = {}
    for record in records:
        mine = frozenset(each.key for each in record.time.made_of or () if each.kind != FEATURES)
        parts.setdefault(contents[record.key], []).append(mine)
    if len(parts) < 2:
        return Shared(False, {})
    if any(record.time.made_of is None for record in records):
        return None
    common = frozenset.intersection(*(each for several in parts.values() for each in several))
    numbers = connected([frozenset().union(*several) - common for several in parts.values()])
    found = dict(zip(parts, numbers, strict=True))
    n = len(set(numbers))
    return Shared(bool(common) or n == 1, found if 1 < n < len(parts) else {})


def cost(records: Sequence[Record], used: Mapping[str, int]) -> Cost | None:
    """The cost of the sets of some finished records; None when it is not known of all (old records, imported sets)."""
    sets = {record.set_key: record.time for record in records}
    spent = {"distil": 0.0, "prepare": 0.0, "features": 0.0}
    for time in sets.values():
        if time.made_of is None or time.distil_s is None:
            return None
        spent["distil"] += time.distil_s
        for part in time.made_of:
            if part.seconds is None:
                return None
            where = "features" if part.kind == FEATURES else "prepare"
            spent[where] += part.seconds / used[part.key]
    return Cost(**{name: seconds / len(sets) for name, seconds in spent.items()}) if sets else None


def distil_memory(records: Iterable[Record]) -> Memory | None:
    """What a machine must have to make the sets of some records, and what they were made of; None: not known of all."""
    found: list[Memory | None] = []
    for record in records:
        found.append(record.time.distil_memory)
        found += [part.memory for part in record.time.made_of or ()]
    return largest(found)


def largest(memories: Iterable[Memory | None]) -> Memory | None:
    """The most of each kind; None where one is not known, or none is there."""
    found = list(memories)
    known = [each for each in found if each is not None]
    if not known or len(known) < len(found):
        return None
    gpus = [each.gpu for each in known if each.gpu is not None]
    return Memory(process=max(each.process for each in known), gpu=max(gpus, default=None))
