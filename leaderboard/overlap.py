"""Sets whose examples repeat test texts: named on every board and at the end of a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from bench.store.record import Record
from leaderboard.cells import counted


def repeats(records: Iterable[Record]) -> dict[str, int]:
    """Set key -> examples of it that repeat a test text, nearly or word for word; sets without any are left out."""
    return {record.set_key: record.near_test for record in records if record.near_test}


def overlap_lines(records: Sequence[Record]) -> list[str]:
    """One line a task, dpc and method with such sets, in the order of the records."""
    groups: dict[tuple[str, int | None, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.task.label, record.dpc, record.method.label].append(record)
    lines = []
    for (task, dpc, method), members in groups.items():
        if found := repeats(members):
            size = "all data" if dpc is None else f"dpc {dpc}"
            all_sets = len({record.set_key for record in members})
            lines.append(
                f"{task} {size} {method}: {counted(sum(found.values()), 'example')} in {len(found)} of "
                f"{counted(all_sets, 'set')} repeat test texts, nearly or word for word: the scores may be too high"
            )
    return lines
