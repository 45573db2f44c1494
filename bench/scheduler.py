"""Which job comes next: jobs wait for what they need, and a slot gets what its worker has loaded. No input, no output.

A slot gets, of the first stage that has jobs at all: one for the task and student that its worker has loaded, else for
that task, else for a task that no other slot is on, else the first; among equals the one of the lowest order.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from bench.jobs import Place

Heap = list[tuple[tuple[int, ...], int, "Item"]]


@dataclass(frozen=True, eq=False)
class Item:
    """A job in line. `needs`: keys that have to be settled before; `order` counts within the stage."""

    job: Any
    place: Place
    stage: int
    order: tuple[int, ...]
    needs: Collection[str] = ()


class Scheduler:
    """Jobs in line. A pick costs the logarithm of their number, and a look at each task and student at most."""

    def __init__(self) -> None:
        self._queues: dict[int, dict[str, dict[str, Heap]]] = {}  # stage -> task -> student -> jobs
        self._open: dict[Item, int] = {}  # waiting jobs -> how many of their needs are not settled
        self._waiting: dict[str, list[Item]] = {}  # need -> jobs
        self._settled: set[str] = set()
        self._last: dict[int, Place] = {}  # slot -> what its worker has loaded
        self._busy: dict[int, str] = {}  # slot -> task
        self._count = self._queued = 0

    def __len__(self) -> int:
        """How many jobs were added and neither picked nor freed by `settle` without being put back."""
        return self._queued + len(self._open)

    def add(self, item: Item) -> None:
        """Put a job in line, behind what it needs."""
        needs = set(item.needs) - self._settled
        if not needs:
            self.put(item)
            return
        self._open[item] = len(needs)
        for need in needs:
            self._waiting.setdefault(need, []).append(item)

    def settle(self, key: str) -> list[Item]:
        """Note that this was made or never will be; the jobs that needed nothing else: `put` them, or let them go."""
        self._settled.add(key)
        freed = []
        for item in self._waiting.pop(key, ()):
            self._open[item] -= 1
            if not self._open[item]:
                del self._open[item]
                freed.append(item)
        return freed

    def put(self, item: Item) -> None:
        """Let a job be picked."""
        task, student = item.place
        heap = self._queues.setdefault(item.stage, {}).setdefault(task, {}).setdefault(student, [])
        self._count += 1
        self._queued += 1
        heapq.heappush(heap, (item.order, self._count, item))

    def pick(self, slot: int) -> Item | None:
        """The job that this free slot gets; None when none can be started now."""
        if not self._queued:
            return None
        queue = self._queues[min(self._queues)]
        heap = self._choose(queue, slot)
        item = heapq.heappop(heap)[2]
        self._queued -= 1
        task, student = item.place
        if not heap:
            del queue[task][student]
            if not queue[task]:
                del queue[task]
            if not queue:
                del self._queues[item.stage]
        self._last[slot], self._busy[slot] = item.place, task
        return item

    def free(self, slot: int) -> None:
        """Note that the job of this slot has ended."""
        self._busy.pop(slot, None)

    def _choose(self, queue: dict[str, dict[str, Heap]], slot: int) -> Heap:
        task, student = self._last.get(slot, ("", ""))
        if task in queue:
            return queue[task].get(student) or min(queue[task].values(), key=_head)
        others = {taken for number, taken in self._busy.items() if number != slot}
        free = [heap for name, heaps in queue.items() if name not in others for heap in heaps.values()]
        return min(free or [heap for heaps in queue.values() for heap in heaps.values()], key=_head)


def _head(heap: Heap) -> tuple[tuple[int, ...], int]:
    return heap[0][:2]
