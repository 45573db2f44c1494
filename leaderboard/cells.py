"""Which records make which cell of the board, and how many replicates were planned there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bench.store.record import Kind, PlannedCell, Record

ReplicateId = tuple[int, ...]  # base seed, set index, run index
Names = tuple[str, str, int | None, str]  # task, student, dpc, method: what identifies a cell to a reader


@dataclass(frozen=True)
class CellRecords:
    """The records of one cell in order of replicate; empty when it is planned and nothing of it ran yet."""

    names: Names
    records: tuple[Record, ...]
    planned: int

    @cached_property
    def leagues(self) -> tuple[str, ...]:
        """Those of the replicates that finished: the others say nothing of the level of their sets."""
        found = (record.league for record in self.records if record.finished)
        return tuple(dict.fromkeys(league for league in found if league is not None))

    @property
    def student_key(self) -> str | None:
        """Identity of the student that all replicates trained; None when the records are too old to say."""
        return next((record.student.key for record in self.records if record.student.key is not None), None)

    def plugin(self, kind: Kind) -> str:
        """Name of the cell's task, method or student, without its parameters."""
        if self.records:
            return self.records[0].plugin(kind).name
        label = dict(zip(("task", "student", "dpc", "method"), self.names, strict=True))[kind]
        return str(label).partition("[")[0].partition(":")[0]


def names_of(record: Record) -> Names:
    """What the reader calls the record's cell."""
    return (record.task.label, record.student.label, record.dpc, record.method.label)


def replicate_of(record: Record) -> ReplicateId:
    """What pairs a record with other methods' records."""
    return (record.seed.base, record.set, record.run)


def content_of(records: Sequence[Record]) -> dict[str, str]:
    """Record key -> name of the content of its set: equal examples have one name, whatever the keys of the sets.

    A set that was made again may have other content under the same key. A record that does not say is taken to have
    trained on what another one of the same set key says.
    """
    known = {record.set_key: record.set_digest for record in records if record.set_digest}
    return {record.key: record.set_digest or known.get(record.set_key, record.set_key) for record in records}


def counted(n: int, what: str) -> str:
    """`1 record`, `2 records`."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _newest(records: Iterable[Record]) -> tuple[str, str]:
    return max(map(_stamp, records), default=("", ""))


def _newest_of_each(records: Sequence[Record]) -> dict[ReplicateId, Record]:
    """The newest record of each replicate."""
    found = {replicate_of(record): record for record in records}
    if len(found) < len(records):
        found = {replicate_of(record): record for record in sorted(records, key=_stamp)}
    return found


def _stamp(record: Record) -> tuple[str, str]:
    return (record.time.finished, record.key)


def _planned_elsewhere(records: Sequence[Record], planned: Sequence[PlannedCell]) -> Iterator[Record]:
    """Records of planned replicates that were computed for another cell, as this one's.

    Under another label, such as another path of one table; or with another number of preparations.
    """
    known = {record.key: record for record in records}
    for cell in planned:
        for record in (known[key] for key in cell.replicates if key in known):
            labels = (record.task.label, record.method.label, record.student.label)
            if (*labels, record.cell) != (cell.task, cell.method, cell.student, cell.key):
                yield replace(
                    record,
                    cell=cell.key,
                    suite=cell.suite,
                    task=replace(record.task, label=cell.task),
                    method=replace(record.method, label=cell.method),
                    student=replace(record.student, label=cell.student),
                )


def gather(records: Iterable[Record], planned: Iterable[PlannedCell] = ()) -> tuple[list[CellRecords], dict[str, int]]:
    """The cells of some records, and per task how many records were left out because newer ones stand for them.

    `planned`: the planned cells (`ResultStore.cells`). Records of one name but different cell keys (another
    version, base seed or parameter default) are never pooled: the planned key counts, or else the newest one.
    Records of another revision of a task than its newest are left out too. A replicate that was computed under another
    label, or for a cell with another number of preparations, stands under the planned one as well.
    """
    planned, records = list(planned), list(records)
    groups: dict[Names, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in [*records, *_planned_elsewhere(records, planned)]:
        groups[names_of(record)][record.cell].append(record)
    plans: dict[Names, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for cell in planned:
        plans[cell.task, cell.student, cell.dpc, cell.method][cell.key].update(cell.replicates)
    others: dict[str, set[tuple[str, str]]] = defaultdict(set)  # task -> records beside the chosen ones
    used: set[tuple[str, str]] = set()
    chosen: dict[Names, tuple[list[Record], int]] = {}
    for names in {**groups, **plans}:
        found, wanted = groups.get(names, {}), plans.get(names, {})
        keys_here = wanted or found
        key = next(iter(keys_here))
        if len(keys_here) > 1:
            key = max(keys_here, key=lambda key: (_newest(found.get(key, [])), key))
        mine = _newest_of_each(found.get(key, []))
        keys = {record.key for record in mine.values()}
        chosen[names] = ([mine[place] for place in sorted(mine)], len(keys | wanted.get(key, set())))
        others[names[0]].update(_stamp(record) for members in found.values() for record in members)
        used.update(map(_stamp, mine.values()))
    newest: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)  # task -> revision -> its newest record
    for names, (mine_now, _) in chosen.items():
        if mine_now:
            here, revision = newest[names[0]], mine_now[0].task.revision
            here[revision] = max(here.get(revision, ("", "")), _newest(mine_now))
    revisions = {task: max(here, key=lambda revision: (here[revision], revision)) for task, here in newest.items()}
    cells = []
    for names, (mine_now, count) in chosen.items():
        if mine_now and mine_now[0].task.revision != revisions[names[0]]:
            used.difference_update(map(_stamp, mine_now))
        else:
            cells.append(CellRecords(names, tuple(mine_now), count))
    left_out = {task: len(found - used) for task, found in others.items()}  # one may stand under another label
    return cells, {task: n for task, n in left_out.items() if n}
