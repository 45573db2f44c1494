"""What sets share: the parts that methods declare, checked, keyed, and put together into jobs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.api import MethodSpec, Part
from bench.data.assets import Assets
from bench.discovery import cause
from bench.errors import PluginError, UserError
from bench.identities import made_by
from bench.jobs import PartsJob, PlannedTask
from bench.selection import Choice
from bench.store.identity import canonical, key_of


@dataclass(frozen=True)
class KeyedPart:
    """A part on a task. Equal keys are made once; `depth`: of the longest chain of needs below it."""

    part: Part
    key: str
    depth: int
    needs: tuple[KeyedPart, ...]


def parts_of(choice: Choice, revision: str, assets: Assets, dpc: int | None, seed: int) -> tuple[KeyedPart, ...]:
    """What a set of a chosen method needs on the task of that revision. PluginError for what its spec does wrong,
    UserError for parameters that it refuses at this dpc.

    seed: the set's `common_seed`.
    """
    spec = choice.spec
    assert isinstance(spec, MethodSpec)
    who = f"method '{spec.name}'"
    try:
        found = list(spec.parts(choice.params, dpc, seed))
    except UserError as error:
        raise UserError(f"method '{choice.label}': {error}") from error
    except Exception as error:
        raise PluginError(f"{who}: `parts` of its spec fails: {cause(error)}") from error
    declared = frozenset(spec.assets(choice.params)) if found else frozenset()
    return tuple(_keyed(part, revision, assets, declared, who) for part in found)


def _keyed(part: Part, revision: str, assets: Assets, declared: frozenset[str], who: str) -> KeyedPart:
    part = _checked(part, declared, who)
    needs = tuple(_keyed(need, revision, assets, declared, who) for need in part.needs)
    fields = {name: assets.identity(value) if name in part.assets else value for name, value in part.fields.items()}
    about = {"kind": part.kind, "fields": fields, "make": part.make, "together": part.together}
    about["made_by"] = made_by(part.make.partition(":")[0])
    key = key_of({"kind": "part", "task": revision, "part": about, "needs": [need.key for need in needs]})
    depth = 1 + max((need.depth for need in needs), default=-1)
    return KeyedPart(replace(part, needs=tuple(need.part for need in needs)), key, depth, needs)


def _checked(part: Any, declared: frozenset[str], who: str) -> Part:
    """The part with its fields as plain JSON values."""
    if not isinstance(part, Part):
        raise PluginError(f"{who}: `parts` of its spec gave {part!r:.60}, not a Part")
    module, _, name = part.make.partition(":")
    if not name.isidentifier() or not all(each.isidentifier() for each in module.split(".")):
        raise PluginError(f"{who}: `make` of the part '{part.kind}' must have the form 'package.module:function'")
    try:
        fields = json.loads(canonical(dict(part.fields)))
    except (TypeError, ValueError) as error:
        raise PluginError(f"{who}: `fields` of the part '{part.kind}' are no JSON: {cause(error)}") from error
    for field in part.assets:
        if not isinstance(fields.get(field), str) or fields[field] not in declared:
            raise PluginError(
                f"{who}: the part '{part.kind}' reads the asset {fields.get(field)!r} ('{field}'), which `assets` of "
                "the spec does not give"
            )
    return replace(part, fields=fields)


def part_jobs(wanted: Iterable[tuple[PlannedTask, str, Sequence[KeyedPart]]]) -> list[PartsJob]:
    """One job a part, or a group that is made together; `wanted`: parts by task and label of a method, with needs."""
    groups: dict[tuple[Any, ...], dict[str, KeyedPart]] = {}
    tasks: dict[tuple[Any, ...], PlannedTask] = {}
    methods: dict[str, dict[str, None]] = {}  # part key -> labels
    for task, label, parts in wanted:
        for each in _with_needs(parts):
            part = each.part
            if each.key not in methods:
                # By depth too: a part and what it needs are never made by one call.
                group = (task.revision, part.make, part.together, each.depth) if part.together else (each.key,)
                groups.setdefault(group, {})[each.key] = each
                tasks[group] = task
            methods.setdefault(each.key, {})[label] = None
    return [_job(tasks[group], found, methods) for group, found in groups.items()]


def _job(task: PlannedTask, found: Mapping[str, KeyedPart], methods: Mapping[str, Mapping[str, None]]) -> PartsJob:
    return PartsJob(
        task=task,
        parts=tuple(each.part for each in found.values()),
        keys=tuple(found),
        needs=tuple(tuple(need.key for need in each.needs) for each in found.values()),
        methods=tuple(dict.fromkeys(label for key in found for label in methods[key])),
    )


def _with_needs(parts: Sequence[KeyedPart]) -> Iterable[KeyedPart]:
    for each in parts:
        yield from _with_needs(each.needs)
        yield each
