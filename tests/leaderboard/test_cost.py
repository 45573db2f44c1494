"""What sets share."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bench.store.record import MadeOf, Memory, Record
from leaderboard.cost import FEATURES, Shared, distil_memory, shared
from tests.leaderboard.records import record, times


def made(*sets: str, noted: bool = True) -> tuple[list[Record], Mapping[str, str]]:
    """A record a set, made of artifacts a letter each, `f` for features; names of contents by number."""
    found = [
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
    return found, {one.key: str(i) for i, one in enumerate(found)}


@pytest.mark.parametrize(
    ("sets", "once", "preparation"),
    [
        (["", ""], False, {}),
        (["a"], False, {}),
        (["a", "a"], True, {}),
        (["f", "f"], False, {}),
        (["a", "b", "c"], False, {}),  # each its own
        (["a", "b", "a", "b"], False, {"0": 0, "1": 1, "2": 0, "3": 1}),
        (["ca", "cb", "ca", "cb"], True, {"0": 0, "1": 1, "2": 0, "3": 1}),  # one more that none varies
        (["ca", "cb", "cd"], True, {}),
        (["ab", "b", "c"], False, {"0": 0, "1": 0, "2": 2}),
        (["ab", "bc", "cd"], True, {}),  # a chain
        (["af", "bf", "af"], False, {"0": 0, "1": 1, "2": 0}),
    ],
)
def test_what_sets_share(sets: list[str], once: bool, preparation: dict[str, int]) -> None:
    assert shared(*made(*sets)) == Shared(once, preparation)


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


def test_what_nobody_noted_is_not_known() -> None:
    assert shared(*made("a", "a", noted=False)) is None


def test_a_set_that_two_preparations_gave_alike_makes_them_one() -> None:
    records, contents = made("a", "b", "c", "c", "b")
    alike = {**contents, records[0].key: "1"}
    assert shared(records, alike) == Shared(False, {"1": 0, "2": 1, "3": 1, "4": 0})
