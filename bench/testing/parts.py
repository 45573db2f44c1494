"""The rules of parts: plain data, and the same whether they are made alone, with others, or inside `distill`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.api import DistilledSet, MethodSpec, NotApplicable, Part, TrainData
from bench.discovery import cause
from bench.jobs import PartsJob, PlannedPlugin, PlannedTask
from bench.params import plain
from bench.parts import KeyedPart, part_jobs, parts_of
from bench.selection import Choice
from bench.store.artifacts import NOTE, Artifacts
from bench.store.contents import Contents, contents_of
from bench.store.difference import difference
from bench.store.identity import canonical
from bench.store.reports import REPORT
from bench.testing.guards import ConformanceError, demand
from bench.testing.kit import Kit

TASK = PlannedTask(PlannedPlugin("task", "kit", {}, "kit"), {}, "kit")


def check_parts(kit: Kit, data: TrainData, sets: Mapping[int | None, DistilledSet], seed: int) -> None:
    """Check the parts that a method declares. `sets`: made with `seed` and no part before, by dpc."""
    who = f"{kit.who} ({data.info.label})"
    jobs = part_jobs((TASK, kit.spec.name, _declared(kit, dpc, seed)) for dpc in sets)
    if not jobs:
        return
    with _cache(kit) as together, _cache(kit) as alone:
        for number, job in enumerate(sorted(jobs, key=lambda job: _depth(job.parts[0]))):
            _make(together, data, job, 50 + number, who)
        made = {key: _contents(together, data, part) for key, part in _each(jobs)}
        for number, (key, part) in enumerate(reversed(_each(jobs))):
            with alone.call(f"a part alone, {data.info.label}", 70 + number, data):
                alone.context(data, 14 + number).part(part)
            same = _contents(alone, data, part) == made[key]
            demand(same, f"{who}: the part '{part.kind}' is another one when it is made alone or by another job")
        kinds = {part.kind for _, part in _each(jobs)}
        for dpc, expected in sets.items():
            before = _artifacts(together)
            with together.call(f"dpc {dpc}, {data.info.label}, its parts made before", 90, data):
                found = together.build().distill(data, dpc, together.context(data, seed))
            part_of_set = difference(expected, found)
            demand(not part_of_set, f"{who}: {part_of_set} of the set differ when its parts were made before")
            new = sorted(kind for kind, _ in _artifacts(together) - before if kind in kinds)
            demand(not new, f"{who}: distill makes another '{''.join(new[:1])}' than `parts` of the spec names")


def _declared(kit: Kit, dpc: int | None, seed: int) -> Sequence[KeyedPart]:
    """The parts of a set, which must be the same for parameters that were written and read."""
    spec = kit.spec
    assert isinstance(spec, MethodSpec)
    again = spec.params.model_validate_json(canonical(plain(kit.params)))
    first, second = (
        parts_of(Choice(spec, params, spec.name), TASK.revision, kit.assets, dpc, seed)
        for params in (kit.params, again)
    )
    same = [each.key for each in first] == [each.key for each in second]
    demand(same, f"{kit.who}: `parts` of its spec gives other parts for equal parameters")
    return first


@contextmanager
def _cache(kit: Kit) -> Iterator[Kit]:
    """The same kit with an empty cache."""
    with tempfile.TemporaryDirectory(prefix="bench-kit-") as folder:
        yield replace(kit, artifacts=Artifacts(Path(folder)))


def _each(jobs: Sequence[PartsJob]) -> list[tuple[str, Part]]:
    return [(key, part) for job in jobs for key, part in zip(job.keys, job.parts, strict=True)]


def _depth(part: Part) -> int:
    return 1 + max(map(_depth, part.needs), default=-1)


def _make(kit: Kit, data: TrainData, job: PartsJob, start: int, who: str) -> None:
    with kit.call(f"{job.parts[0].make}, {data.info.label}", start, data):
        errors = kit.context(data, 13).make_parts(job.parts)
    for error in errors.values():
        if isinstance(error, NotApplicable):
            raise error
        raise ConformanceError(f"{who}: {job.parts[0].make} gave the error {cause(error)}") from error


def _contents(kit: Kit, data: TrainData, part: Part) -> Contents:
    """What a part holds, without what may tell of times."""
    folder = kit.context(data, 0).find(*kit.context(data, 0).address(part))
    assert folder is not None
    return {name: each for name, each in contents_of(folder).items() if name not in {NOTE, REPORT}}


def _artifacts(kit: Kit) -> set[tuple[str, str]]:
    """Kind and key of all that is in the cache."""
    return {(note.parent.parent.parent.name, note.parent.name) for note in kit.artifacts.root.glob(f"*/*/*/{NOTE}")}
