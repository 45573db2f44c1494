"""The selection grammar: `kcenters[encoder=minilm,pooling=mean],random`, `all`, `all,-probe`, `table:PATH`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bench.api import Params, Spec, task_keys
from bench.errors import UserError, did_you_mean
from bench.params import plain, validate, with_effect
from bench.store.identity import canonical
from bench.store.labels import split, value_of, written

if TYPE_CHECKING:
    from bench.plugins import Registry

Defaults = Mapping[str, Mapping[str, Any]]
Readers = Mapping[str, tuple[str, ...]]  # tasks that read a file -> its suffixes
ITEM = re.compile(r"(?P<minus>-?)(?P<name>[^\[\]:]+)(?::(?P<argument>[^\[\]]*))?(?:\[(?P<params>.*)\])?", re.DOTALL)
ARGUMENT = "path"  # the parameter that `name:ARGUMENT` sets


@dataclass(frozen=True)
class Choice:
    """One selected plugin, its parameters validated and every default resolved."""

    spec: Spec
    params: Params
    label: str  # the name, and in brackets the parameters that differ from the suite's defaults


@dataclass(frozen=True)
class _Item:
    """One parsed element: the values read, and the text of each."""

    text: str
    minus: bool
    name: str
    argument: str | None
    values: dict[str, Any] | None
    raw: dict[str, str]


def parse(
    text: str, kind: str, registry: Registry, pool: Sequence[str] = (), defaults: Defaults | None = None
) -> list[Choice]:
    """The choices of a selection, in its order, each once.

    kind: "task", "method" or "student"; `pool`: what `all` means; `defaults`: the suite's parameters by plugin
    name. Raises UserError, one line, for a mistake; PluginError when a named plugin is broken.
    """
    defaults = defaults or {}
    choices: list[Choice] = []
    before = ""
    readers = {spec.name: spec.files for spec in registry.tasks.values() if spec.files} if kind == "task" else {}
    for element in split(text, f"{kind} selection", _quoted_path(text, readers)):
        item = _read(element, kind, readers)
        if kind == "task":
            _refuse_bare_file(item, registry, readers, before)
        before = element
        if item.minus:
            choices = _exclude(item, kind, registry, choices, defaults)
        elif item.name == "all" and item.values is None and item.argument is None:
            if not pool:
                raise UserError(f"'all' selects nothing: the suite names no {kind}s")
            choices += [_choose(_read(entry, kind), kind, registry, defaults) for entry in pool]
        else:
            choices.append(_choose(item, kind, registry, defaults))
    if not choices:
        raise UserError(f"no {kind} is selected by '{text}'")
    return _distinct(choices)


def check_task_keys(choices: Sequence[Choice], tasks: Sequence[Choice], registered: Iterable[str]) -> None:
    """Refuse parameters whose keys name a task that is neither registered nor one of `tasks` (see `TaskKeys`)."""
    labels = [task.label for task in tasks if "[" not in task.label]
    known = dict.fromkeys([*labels, *registered])
    for choice in choices:
        for parameter, keys in task_keys(choice.params).items():
            for key in keys:
                if key not in known:
                    selected = ", ".join(labels or [task.spec.name for task in tasks])
                    raise UserError(
                        f"{parameter} of '{choice.spec.name}': no task is called '{key}' (selected: {selected})"
                        f"{did_you_mean(key, known)}"
                    )


def identity(choice: Choice) -> str:
    """Canonical JSON of the name and all parameters: equal for two ways to write one choice."""
    return canonical([choice.spec.name, plain(choice.params)])


def _read(element: str, kind: str, readers: Readers = MappingProxyType({})) -> _Item:
    match = ITEM.fullmatch(element)
    hint = _quoted_path(element, readers)
    if match is None:
        raise UserError(f"cannot read '{element}' as a {kind}: write name, name[key=value,...], all or -name{hint}")
    values: dict[str, Any] | None = None
    raw: dict[str, str] = {}
    if match["params"] is not None:
        values = {}
        for pair in split(match["params"], element, hint):
            key, equals, text = (part.strip() for part in pair.partition("="))
            if not equals or not key:
                raise UserError(f"{element}: '{pair}' is no key=value")
            if key in values:
                raise UserError(f"{element}: the parameter '{key}' is given twice")
            raw[key], values[key] = text, value_of(text)
    return _Item(element, bool(match["minus"]), match["name"].strip(), match["argument"], values, raw)


def _quoted_path(text: str, readers: Readers) -> str:
    """How a path with brackets is written, for an error about brackets; empty when the text holds no such path."""
    for name, suffixes in readers.items():
        found = re.search(rf"(?:^|,)\s*-?{re.escape(name)}:(?P<path>[^,]*[\[\]].*)", text, re.DOTALL)
        path = found["path"] if found else text
        if "=" in path or not path.lower().endswith(suffixes):
            if not found:
                continue
            path = "..."
        return f"; a path with brackets is written {name}[{ARGUMENT}={json.dumps(path, ensure_ascii=False)}]"
    return ""


def _refuse_bare_file(item: _Item, registry: Registry, readers: Readers, before: str) -> None:
    """UserError for a file's path in the place of a task's name; `before`: the element that came before it."""
    drive = len(item.name) == 1 and item.argument is not None  # c:/reviews.csv
    path = f"{item.name}:{item.argument}" if drive else item.name
    if item.minus or path in registry.tasks or (item.argument is not None and not drive):
        return
    fitting = [name for name, suffixes in readers.items() if path.lower().endswith(suffixes)]
    name = next(iter(fitting or (readers if os.path.isfile(path) else ())), None)
    if name is None:
        return
    hint = ""
    if before.startswith(f"{name}:") and not before.lower().endswith((*readers[name], "]")):
        whole = json.dumps(f"{before.removeprefix(f'{name}:')},{path}", ensure_ascii=False)
        hint = f"; one path with a comma is written {name}[{ARGUMENT}={whole}]"
    raise UserError(f"no task '{path}': for a file, write {name}:{item.text}{hint}")


def _choose(item: _Item, kind: str, registry: Registry, defaults: Defaults) -> Choice:
    if item.minus or item.name == "all":
        raise UserError(f"'{item.text}' cannot stand here: write the name of a {kind}")
    spec = registry.spec(kind, item.name)
    given, raw = dict(item.values or {}), dict(item.raw)
    label = spec.name
    if item.argument is not None:
        if ARGUMENT not in spec.params.model_fields:
            raise UserError(f"'{item.text}': {spec.name} takes no ':{item.argument}', it has no parameter '{ARGUMENT}'")
        if not item.argument:
            raise UserError(f"'{item.text}': a path must follow '{spec.name}:'")
        if ARGUMENT in given:
            raise UserError(f"'{item.text}': '{ARGUMENT}' is given twice")
        given[ARGUMENT] = item.argument
        label = f"{spec.name}:{PurePath(item.argument).name or item.argument}"
    base = dict(defaults.get(spec.name, {}))
    params = validate(spec, {**with_effect(spec, base, given), **given}, raw=raw)
    usual = usual_parameters(spec, base)
    shown = {
        name: value
        for name, value in plain(params).items()
        if name in given and (name not in usual or usual[name] != value) and (name != ARGUMENT or not item.argument)
    }
    if shown:
        label += f"[{','.join(f'{name}={written(shown[name])}' for name in sorted(shown))}]"
    return Choice(spec, params, label)


def usual_parameters(spec: Spec, base: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """What the parameters are when none is given; empty when the plugin cannot do without."""
    try:
        return plain(validate(spec, base))
    except UserError:
        return {}


def _exclude(item: _Item, kind: str, registry: Registry, choices: list[Choice], defaults: Defaults) -> list[Choice]:
    """Take a name (whatever its parameters), or exactly one choice, out of what is selected so far."""
    selected = [choice.spec.name for choice in choices]
    if item.name not in selected:
        raise UserError(f"'{item.text}' leaves out nothing that is selected{did_you_mean(item.name, set(selected))}")
    if item.values is None and item.argument is None:
        return [choice for choice in choices if choice.spec.name != item.name]
    unwanted = identity(_choose(replace(item, minus=False), kind, registry, defaults))
    kept = [choice for choice in choices if identity(choice) != unwanted]
    if len(kept) == len(choices):
        labels = [choice.label for choice in choices if choice.spec.name == item.name]
        raise UserError(f"'{item.text}' leaves out nothing; selected: {', '.join(labels)}")
    return kept


def _distinct(choices: list[Choice]) -> list[Choice]:
    """Each choice once; where two files share a base name, their labels show the whole path."""
    found: list[Choice] = []
    seen: set[str] = set()
    for choice in choices:
        if identity(choice) not in seen:
            seen.add(identity(choice))
            found.append(choice)
    labels = [choice.label for choice in found]
    return [
        replace(choice, label=_whole_path(choice)) if labels.count(choice.label) > 1 else choice for choice in found
    ]


def _whole_path(choice: Choice) -> str:
    path = str(getattr(choice.params, ARGUMENT))
    return choice.label.replace(f":{PurePath(path).name}", f":{path}", 1)
