"""What sets share."""

from __future__ import annotations

import pytest

from bench.store.record import MadeOf, Memory, Record
from leaderboard.cost import FEATURES, distil_memory, preparations, shared
from tests.leaderboard.records import record, times


def made(*sets: str, noted: bool = True) -> list[Record]:
    """A record a set, made of artifacts a letter each, `f` for features."""
    return [
        record(
            set_index=i,
            time=times(
                made_of=tuple(MadeOf(kind=FEATURES if key == "f" else "part", key=key, seconds=1.0) for key in keys)
                if noted
                else None
            ),
        )
        for i, keys in enumerate(sets)
    ]


@pytest.mark.parametrize(
    ("sets", "common"),
    [
        (["", ""], ""),
        (["a"], ""),  # with none
        (["a", "a"], "a"),
        (["f", "f"], ""),
        (["a", "b", "a"], ""),
        (["ca", "cb", "cd"], "c"),
        (["ab", "bc", "cd"], ""),
    ],
)
def test_what_all_sets_share(sets: list[str], common: str) -> None:
    assert shared(made(*sets)) == frozenset(common)


def test_what_nobody_noted_is_not_known() -> None:
    assert shared(made("a", "a", noted=False)) is None


@pytest.mark.parametrize(
    ("seeds", "contents", "numbers"),
    [
        ([0, 0, 0], "abc", None),
        ([0, 1, 2], "abc", None),  # each its own
        ([0, 1, 0, 1], "abcd", {"a": 0, "b": 1, "c": 0, "d": 1}),
        ([7, 3, 3], "abc", {"a": 0, "b": 1, "c": 1}),
        ([0, 1, 2, 0, 1], "abbcd", {"a": 0, "b": 1, "c": 0, "d": 1}),  # two of them gave a set alike
        ([0, 1, 0, 1], "abcb", {"a": 0, "b": 1, "c": 0}),
        ([0, 1, 0, 1], "abba", {"a": 0, "b": 0}),  # all are one: no two observations
        ([None, 1, 1], "abc", None),  # not known of all
    ],
)
def test_preparations_of_sets(seeds: list[int | None], contents: str, numbers: dict[str, int] | None) -> None:
    records = [record(set_index=i, preparation=seed) for i, seed in enumerate(seeds)]
    named = {one.key: content for one, content in zip(records, contents, strict=True)}
    found = preparations(records, named)
    assert found == (numbers or {})


def test_memory_is_the_most_of_any_set_or_part() -> None:
    def of(process: int, gpu: int | None = None) -> Memory:
        return Memory(process=process, gpu=gpu)

    part = MadeOf(kind="generator", key="g", seconds=1.0, memory=of(5, 9))
    one = record(time=times(made_of=(part,), distil_memory=of(7)))
    other = record(set_index=1, time=times(made_of=(), distil_memory=of(3, 2)))
    assert distil_memory([one, other]) == of(7, 9)
    assert distil_memory([other]) == of(3, 2)
    older = record(set_index=1, time=times(made_of=()))
    assert distil_memory([one, older]) is None
    assert distil_memory([]) is None
