"""The order of jobs: each once, needs before needers, and the same choice as a search through all ready jobs."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bench.scheduler import Item, Scheduler

SLOTS = 3


@st.composite
def jobs(draw: st.DrawFn) -> list[Item]:
    """Some sets on a few tasks, each with runs of a few students; some of the sets need one of two parts."""
    found: list[Item] = [Item(f"part {n}", (f"task {n}", ""), 0, (n,)) for n in range(2)]
    for n in range(draw(st.integers(1, 5))):
        task = draw(st.sampled_from(["task 0", "task 1", "task 2"]))
        needs = draw(st.sampled_from([(), ("part 0",), ("part 1", "part 0")]))
        found.append(Item(f"set {n}", (task, ""), 1, (n,), needs))
        for run in range(draw(st.integers(0, 3))):
            student = draw(st.sampled_from(["a", "b"]))
            found.append(Item(f"run {n} {run}", (task, student), 2, (draw(st.integers(0, 3)), run), (f"set {n}",)))
    return found


class Searched:
    """The same rule as a search through all ready jobs, in their order."""

    def __init__(self) -> None:
        self.ready: list[Item] = []
        self.last: dict[int, Any] = {}
        self.busy: dict[int, Item] = {}

    def pick(self, slot: int) -> Item | None:
        if not self.ready:
            return None
        stage = min(item.stage for item in self.ready)
        jobs = sorted((item for item in self.ready if item.stage == stage), key=lambda item: item.order)
        mine = self.last.get(slot)
        others = {item.place[0] for number, item in self.busy.items() if number != slot}
        wanted = (
            lambda item: item.place == mine,
            lambda item: mine is not None and item.place[0] == mine[0],
            lambda item: item.place[0] not in others,
            lambda item: True,
        )
        chosen = next(item for rule in wanted for item in jobs if rule(item))
        self.ready.remove(chosen)
        self.last[slot], self.busy[slot] = chosen.place, chosen
        return chosen


@given(jobs(), st.lists(st.integers(0, SLOTS - 1), min_size=200, max_size=200), st.booleans())
def test_each_job_once_after_its_needs_and_as_a_search_would_choose(
    items: list[Item], ends: list[int], shuffled: bool
) -> None:
    schedule, searched = Scheduler(), Searched()
    done: set[str] = set()
    started: list[str] = []
    for item in reversed(items) if shuffled else items:
        schedule.add(item)
        if not item.needs:
            searched.ready.append(item)
    searched.ready.sort(key=lambda item: items.index(item))
    running: dict[int, Item] = {}
    for slot in ends:
        ended = running.pop(slot, None)
        if ended is not None:
            schedule.free(slot)
            searched.busy.pop(slot)
            done.add(ended.job)
            freed = schedule.settle(ended.job)
            assert {item.job for item in freed} == {
                item.job for item in items if ended.job in item.needs and set(item.needs) <= done
            }
            for item in freed:
                schedule.put(item)
                searched.ready.append(item)
        for free in range(SLOTS):
            if free not in running:
                item, other = schedule.pick(free), searched.pick(free)
                assert (item is None) == (other is None)
                if item is None or other is None:
                    continue
                assert (item.stage, item.place, item.order) == (other.stage, other.place, other.order)
                if item is not other:  # of equal order: the search goes on with the same one
                    searched.ready.append(other)
                    searched.ready.remove(item)
                    searched.busy[free] = item
                assert set(item.needs) <= done
                started.append(item.job)
                running[free] = item
    assert len(started) == len(set(started))
    assert len(schedule) == len(items) - len(started)
    if not running:
        assert sorted(started) == sorted(item.job for item in items)


def test_what_nobody_makes_is_left() -> None:
    schedule = Scheduler()
    schedule.add(Item("set", ("task", ""), 1, (0,), ("part",)))
    assert schedule.pick(0) is None
    assert len(schedule) == 1
    (freed,) = schedule.settle("part")
    assert len(schedule) == 0
    schedule.add(Item("other", ("task", ""), 1, (1,), ("part",)))  # which is settled
    picked = schedule.pick(0)
    assert picked is not None
    assert (freed.job, picked.job) == ("set", "other")


def test_a_pick_does_not_look_at_all_jobs() -> None:
    """Comparisons a pick, of 20,000 ready jobs: their logarithm, not their number."""

    class Counted(int):
        compared = 0

        def __lt__(self, other: object) -> bool:
            Counted.compared += 1
            return int(self) < int(other)  # type: ignore[call-overload, no-any-return]

        def __eq__(self, other: object) -> bool:
            return int(self) == int(other)  # type: ignore[call-overload, no-any-return]

        __hash__ = int.__hash__

    n = 20_000
    schedule = Scheduler()
    for number in range(n):
        place = (f"task {number % 4}", f"student {number % 3}")
        schedule.add(Item(number, place, 2, (Counted(number * 7919 % n),)))
    Counted.compared = 0
    while schedule.pick(0) is not None:
        schedule.free(0)
    assert 0 < Counted.compared < 2 * n * math.log2(n)
