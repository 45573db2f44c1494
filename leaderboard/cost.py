"""What sets are made of together, and what a set took: its own seconds and its share of that, and memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.store.record import Memory, Record
from leaderboard.scores import connected

FEATURES = "features"  # kind of the artifacts with the frozen features of a split
DERIVED = frozenset({FEATURES, "frozen-states", "causal-lm"})  # kinds that are computed without any luck


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


def shared(records: Sequence[Record]) -> frozenset[str] | None:
    """Keys of the artifacts, without `DERIVED` ones, that all sets of some finished records were made of.

    Empty for fewer than two sets, by their number: what is made for one set is shared with none. A deterministic
    method's one set stands for all numbers. None where nobody noted it.
    """
    parts = {
        record.set: {each.key for each in record.time.made_of or () if each.kind not in DERIVED} for record in records
    }
    if len(parts) < 2:
        return frozenset()
    noted = all(record.time.made_of is not None for record in records)
    return frozenset(set.intersection(*parts.values())) if noted else None


def preparations(records: Sequence[Record], contents: Mapping[str, str]) -> dict[str, int]:
    """Name of a set's content -> number of its preparation, of some finished records that have two or more.

    contents: record key -> name of its set's content. Preparations that gave a set alike are one. Empty where sets
    stand for themselves: of one preparation, or each of its own.
    """
    seeds: dict[str, set[int]] = {}
    for record in records:
        if record.preparation is None:
            return {}
        seeds.setdefault(contents[record.key], set()).add(record.preparation)
    numbers = connected(list(seeds.values()))
    if len(set().union(*seeds.values())) < 2 or len(set(numbers)) == len(seeds):
        return {}
    return dict(zip(seeds, numbers, strict=True))


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
