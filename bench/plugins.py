"""The registry: what every plugin adds, one record a plugin, and each plugin's errors kept to itself."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Literal

import pluggy

from bench import hookspecs
from bench.api import Asset, Method, MethodSpec, Params, Spec, Student, StudentSpec, Task, TaskSpec
from bench.discovery import Source, allowed, cause, contained, file_source, import_source, installed, shadowed
from bench.errors import PluginError, UserError, did_you_mean
from bench.params import check_partial, plain
from bench.store.identity import canonical, file_digest
from bench.store.text import message

State = Literal["ok", "broken", "blocked", "clash"]
HOOKS: dict[str, tuple[str, type]] = {  # hook -> (kind, type of what it returns)
    "bench_tasks": ("task", TaskSpec),
    "bench_methods": ("method", MethodSpec),
    "bench_students": ("student", StudentSpec),
    "bench_assets": ("asset", Asset),
}
BASES: dict[str, type] = {"task": Task, "method": Method, "student": Student}
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True)
class PluginRecord:
    """One plugin and its state; `owns` holds "kind:name" of all that it registers or tried to."""

    name: str
    distribution: str
    version: str
    source: str
    state: State
    error: str = ""
    owns: tuple[str, ...] = ()
    title: str = ""
    builtin: bool = False
    names_known: bool = True  # False: it failed before all that it would add was known
    exception: BaseException | None = field(default=None, repr=False, compare=False)

    @property
    def warning(self) -> str:
        """One line for stderr."""
        return f"plugin {self.title} is {'broken' if self.state == 'broken' else 'refused'}: {self.error}"


@dataclass(frozen=True)
class Registry:
    """Specs and assets by name, from all plugins that are in order."""

    tasks: dict[str, TaskSpec]
    methods: dict[str, MethodSpec]
    students: dict[str, StudentSpec]
    assets: dict[str, Asset]
    plugins: list[PluginRecord]

    def specs(self, kind: str) -> Mapping[str, Spec]:
        """The specs of a kind: "task", "method" or "student"."""
        kinds: dict[str, Mapping[str, Spec]] = {
            "task": self.tasks,
            "method": self.methods,
            "student": self.students,
        }
        return kinds[kind]

    def spec(self, kind: str, name: str) -> Spec:
        """The spec of that name. Raises UserError for an unknown name, PluginError when its plugin is not in order."""
        found = self.specs(kind).get(name)
        if found is None:
            raise self.unknown(kind, name, self.specs(kind))
        return found

    def unknown(self, kind: str, name: str, known: Iterable[str]) -> UserError:
        """The error for a name that is not registered; names the broken plugin that owns it or may own it."""
        for record in self.plugins:
            if record.state in ("broken", "clash") and f"{kind}:{name}" in record.owns:
                error: UserError = PluginError(f"{kind} '{name}' cannot be used: {record.warning}")
                error.__cause__ = record.exception
                return error
        line = f"no {kind} '{name}'{did_you_mean(name, known)}"
        silent = [record for record in self.plugins if record.state == "broken" and not record.names_known]
        if silent:
            error = PluginError(f"{line} (what these would add is unknown: {'; '.join(r.warning for r in silent)})")
            error.__cause__ = silent[0].exception
            return error
        blocked = [record.name for record in self.plugins if record.state == "blocked"]
        if blocked:
            line += f" (BENCH_PLUGINS leaves out: {', '.join(blocked)})"
        return UserError(line)

    def owner(self, kind: str, name: str) -> PluginRecord | None:
        """The plugin in order that registered a name."""
        for record in self.plugins:
            if record.state in ("ok", "clash") and f"{kind}:{name}" in record.owns:
                return record
        return None

    def build(self, spec: Spec, params: Params) -> Any:
        """Import the target of a spec and construct it with the parameters. Raises PluginError when that fails."""
        return self.target(spec)(params)

    def target(self, spec: Spec) -> type:
        """The class that a spec's target names. Raises PluginError with the real cause."""
        module_name, _, class_name = spec.target.partition(":")
        record = self.owner(spec.kind, spec.name)
        said = f"{spec.kind} '{spec.name}'{f' (plugin {record.title})' if record else ''}"
        shadow = shadowed(module_name)
        if shadow:
            raise PluginError(f"{said}: {shadow}")
        try:
            with contained():
                module = importlib.import_module(module_name)
        except Exception as error:
            raise PluginError(f"{said}: cannot import {module_name}: {cause(error)}") from error
        found = getattr(module, class_name, None)
        if found is None:
            classes = [name for name, value in vars(module).items() if isinstance(value, type)]
            raise PluginError(f"{said}: {module_name} has no '{class_name}'{did_you_mean(class_name, classes)}")
        base = BASES[spec.kind]
        if not (isinstance(found, type) and issubclass(found, base)):
            raise PluginError(f"{said}: {spec.target} is no subclass of bench.api.{base.__name__}")
        return found

    def warnings(self) -> list[str]:
        """One line a plugin that is not in order."""
        return [record.warning for record in self.plugins if record.state in ("broken", "clash")]


def load(settings: Any) -> Registry:
    """The registry of the installed plugins and of `settings.plugin_files`, read again when a file has changed."""
    files = tuple(settings.plugin_files)
    contents = tuple(file_digest(path) if os.path.isfile(path) else "" for path in files)
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints must not get into a board
        return _load(files, contents, os.environ.get("BENCH_PLUGINS"))


def forget() -> None:
    """Drop what `load` remembers, so that a changed environment is read again."""
    _load.cache_clear()


@dataclass
class _Found:
    """What one plugin gave: (kind, item) in order, or the error that it ended with."""

    source: Source
    items: list[tuple[str, Any]] = field(default_factory=list)
    error: str = ""
    exception: BaseException | None = None
    state: State = "ok"

    names_known: bool = False

    def fail(self, error: BaseException) -> None:
        """Keep the first error."""
        if self.state != "broken":
            self.error = message(error) if isinstance(error, UserError) else cause(error)
            self.state, self.exception = "broken", error


@lru_cache(maxsize=16)
def _load(plugin_files: tuple[Any, ...], _contents: tuple[str, ...], _blocking: str | None) -> Registry:
    manager = pluggy.PluginManager("bench")
    manager.add_hookspecs(hookspecs)
    sources = list(installed())
    let_in = allowed(sources)
    found = [_collect(manager, each) if each in let_in else _Found(each, state="blocked") for each in sources]
    found += [_collect(manager, file_source(path)) for path in dict.fromkeys(plugin_files)]
    if not any(each.source.builtin for each in found):
        missing = Source("built-in", "distillation-bench", "", "", builtin=True)
        error = PluginError("no entry points found; install the project: python -m pip install .")
        found.insert(0, _Found(missing, error=str(error), exception=error, state="broken"))
    return _registry(found)


def _collect(manager: pluggy.PluginManager, source: Source) -> _Found:
    """Import one plugin and call its hooks; whatever it raises stays in its own record."""
    found = _Found(source)
    try:
        with contained():
            module = import_source(source)
        if manager.is_registered(module):
            raise PluginError(f"{source.value} is registered twice, also as {manager.get_name(module)}")
        manager.register(module, source.title)
        impls = _implementations(manager, module)
    except Exception as error:
        found.fail(error)
        return found
    found.names_known = True
    for hook, call in impls:
        kind, kind_type = HOOKS[hook]
        try:
            with contained():
                given = call()
                if not isinstance(given, Iterable):
                    raise PluginError(f"{hook} returned {given!r:.60}; it must return a list of {kind_type.__name__}")
                for item in given:
                    if not isinstance(item, kind_type):
                        raise PluginError(f"{hook} gave {item!r:.60}, but must give a list of {kind_type.__name__}")
                    found.items.append((kind, item))
        except Exception as error:
            found.names_known = False
            found.fail(error)
    for kind, item in found.items:
        try:
            check(kind, item)
        except Exception as error:
            found.fail(error)
    return found


def _implementations(manager: pluggy.PluginManager, module: Any) -> list[tuple[str, Callable[[], Any]]]:
    """(hook name, function) of a registered plugin. Raises PluginError for a name that is no hook."""
    impls = []
    for caller in manager.get_hookcallers(module) or ():
        if caller.name not in HOOKS:
            raise PluginError(f"'{caller.name}' is no hook{did_you_mean(caller.name, HOOKS)}")
        impls += [(caller.name, impl.function) for impl in caller.get_hookimpls() if impl.plugin is module]
    marked = {name for name, _ in impls}
    unmarked = [name for name in HOOKS if callable(getattr(module, name, None)) and name not in marked]
    if unmarked:
        raise PluginError(f"'{unmarked[0]}' is not marked with @hookimpl (from bench.api)")
    if not impls:
        raise PluginError(f"implements no hook; hooks: {', '.join(HOOKS)}")
    return impls


def check(kind: str, item: Any) -> None:
    """Check what a plugin registers. Raises PluginError, one line."""
    said = f"{kind} '{item.name}'"
    if not isinstance(item.name, str) or not NAME.fullmatch(item.name) or item.name == "all":
        raise PluginError(f"{kind} name {item.name!r}: a name has lower-case letters, digits, '-', '_' and '.'")
    if not isinstance(item.summary, str) or not item.summary.strip() or "\n" in item.summary:
        raise PluginError(f"{said}: the summary must be one line")
    if isinstance(item, Spec):
        _check_spec(said, item)
    else:
        _check_asset(said, item)


def _check_spec(said: str, spec: Spec) -> None:
    module, _, name = spec.target.partition(":")
    if not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise PluginError(f"{said}: target {spec.target!r} must have the form 'package.module:Class'")
    if not (isinstance(spec.params, type) and issubclass(spec.params, Params)):
        raise PluginError(f"{said}: params must be a subclass of bench.api.Params")
    if spec.params.model_config.get("extra") != "forbid":
        raise PluginError(f"{said}: its parameter model must keep extra='forbid'")
    if not callable(spec.assets):
        raise PluginError(f"{said}: assets must be a function of the parameters")
    if isinstance(spec, MethodSpec) and not spec.examples and spec.uses_dpc:
        raise PluginError(f"{said}: sets without examples have no dpc: uses_dpc=False goes with examples=False")
    if isinstance(spec, MethodSpec) and not callable(spec.parts):
        raise PluginError(f"{said}: parts must be a function of the parameters")
    if isinstance(spec, MethodSpec) and spec.prepared_by:
        seed = spec.params.model_fields.get(spec.prepared_by)
        if seed is None or seed.annotation is not int:
            raise PluginError(f"{said}: prepared_by names no whole-number parameter: '{spec.prepared_by}'")
    try:
        check_partial(spec.name, spec.params, spec.preset, "preset")
    except UserError as error:
        raise PluginError(f"{said}: {error}") from error
    if all(not info.is_required() or name in spec.preset for name, info in spec.params.model_fields.items()):
        try:
            canonical(plain(spec.params.model_validate(dict(spec.preset))))
        except ValueError as error:
            raise PluginError(f"{said}: its defaults do not survive JSON: {cause(error)}") from error


def _check_asset(said: str, asset: Asset) -> None:
    if not (asset.from_wheels or asset.hub or asset.folder):
        raise PluginError(f"{said}: needs a wheel, a hub repository or a folder under --data-dir")
    if asset.wheel and not (asset.version and _is_sha256(asset.sha256)):
        raise PluginError(f"{said}: a wheel is pinned by its version and sha256 (64 hex digits)")
    if not asset.pieces:
        return
    if asset.wheel:
        raise PluginError(f"{said}: has a wheel and pieces of a file in other wheels; give one of them")
    for number, piece in enumerate(asset.pieces, 1):
        if not (piece.wheel and piece.member and piece.version and _is_sha256(piece.sha256)):
            raise PluginError(
                f"{said}: piece {number} is pinned by its wheel, version, sha256 (64 hex digits) and member"
            )
    if not _is_sha256(asset.sha256):
        raise PluginError(f"{said}: the file that its pieces make is pinned by sha256 (64 hex digits)")
    if not asset.joined or asset.joined.startswith(".") or PurePath(asset.joined).name != asset.joined:
        raise PluginError(f"{said}: 'joined' is the name of the file that its pieces make, not {asset.joined!r}")
    if asset.joined.endswith(".zip") != bool(asset.members):
        raise PluginError(f"{said}: 'members' choose from a joined .zip file, and from no other")


def _is_sha256(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _registry(found: list[_Found]) -> Registry:
    """Put the plugins together: a name that two of them claim belongs to neither."""
    claims: dict[tuple[str, str], list[tuple[_Found, Any]]] = {}
    for each in found:
        if each.state == "ok":
            for kind, item in each.items:
                claims.setdefault((kind, item.name), []).append((each, item))
    items: dict[str, dict[str, Any]] = {"task": {}, "method": {}, "student": {}, "asset": {}}
    for (kind, name), claimed in claims.items():
        if len(claimed) == 1 or (kind == "asset" and all(item == claimed[0][1] for _, item in claimed)):
            items[kind][name] = claimed[0][1]
            continue
        titles = list(dict.fromkeys(each.source.title for each, _ in claimed))
        by = " and ".join(titles) if len(titles) > 1 else f"{titles[0]}, twice"
        files = list(dict.fromkeys(str(each.source.file) for each, _ in claimed if each.source.file))
        mend = f"rename it in {' or '.join(files)}" if files else "uninstall one, or leave it out with BENCH_PLUGINS"
        said = f"{kind} '{name}' is claimed by {by}; {mend}"
        for each, _ in claimed:
            each.state = "clash"
            each.error = f"{each.error}; {said}" if each.error and said not in each.error else said
    return Registry(
        tasks=items["task"],
        methods=items["method"],
        students=items["student"],
        assets=items["asset"],
        plugins=[_record(each) for each in found],
    )


def _record(each: _Found) -> PluginRecord:
    source = each.source
    owns = dict.fromkeys(f"{kind}:{getattr(item, 'name', '')}" for kind, item in each.items)
    return PluginRecord(
        name=source.name,
        distribution=source.distribution,
        version=source.version,
        source=source.value,
        state=each.state,
        error=each.error,
        owns=tuple(owns),
        title=source.title,
        builtin=source.builtin,
        names_known=each.names_known or each.state == "blocked",
        exception=each.exception,
    )
