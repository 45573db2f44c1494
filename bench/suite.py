"""Suites: TOML presets that name tasks, methods, students, sizes and parameters; flags override them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import MethodSpec
from bench.errors import UserError, did_you_mean
from bench.params import check_partial
from bench.selection import Choice, parse
from bench.store.files import regular_file

if TYPE_CHECKING:
    from bench.plugins import Registry

KEYS = (
    "name",
    "summary",
    "tasks",
    "methods",
    "students",
    "dpc",
    "sets",
    "preparations",
    "runs",
    "seed",
    "params",
    "task",
)
KINDS = ("task", "method", "student")
DEFAULT = "pocket"
MOST_REPLICATES = 200_000  # of one plan, which takes about 0.1 ms for each
MOST_DPC = 1_000_000
MOST_SEED = 2**63 - 1  # what databases and tables hold


@dataclass(frozen=True)
class Suite:
    """What to run. A cell is task x method x dpc x student; each has sets x runs replicates."""

    name: str
    summary: str
    tasks: tuple[Choice, ...]
    methods: tuple[Choice, ...]
    students: tuple[Choice, ...]
    dpc: tuple[int, ...]
    task_dpc: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # by task label, where it differs
    sets: int = 1
    preparations: int = 1  # of what a method's sets share; set i is of number i modulo this
    runs: int = 1
    seed: int = 0
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by plugin, whether it is selected or not

    def dpc_for(self, task: Choice) -> tuple[int, ...]:
        """The numbers of examples a class for one of the suite's tasks."""
        return self.task_dpc.get(task.label, self.dpc)


def suites() -> dict[str, str]:
    """The suites that come with the project: name -> summary, sorted by name."""
    return {path.name.removesuffix(".toml"): str(_read(path)[1].get("summary", "")) for path in _files()}


def _files() -> list[Path]:
    folder = Path(str(resources.files("bench"))) / "suites"
    return sorted(folder.glob("*.toml"))


def suite_file(name_or_path: str | Path) -> Path:
    """The file of a built-in suite's name, or of a path. Raises UserError when there is none."""
    for path in _files():
        if path.stem == str(name_or_path):
            return path
    path = Path(name_or_path).expanduser()
    if path.suffix == ".toml" or path.name != str(name_or_path) or path.is_file():
        return regular_file(path, "suite file")
    raise UserError(f"no suite '{name_or_path}'{did_you_mean(str(name_or_path), [p.stem for p in _files()])}")


def load_suite(
    name_or_path: str | Path,
    registry: Registry,
    *,
    tasks: str | None = None,
    methods: str | None = None,
    students: str | None = None,
    dpc: Sequence[int] | None = None,
    sets: int | None = None,
    preparations: int | None = None,
    runs: int | None = None,
    seed: int | None = None,
    task_params: Mapping[str, Mapping[str, Any]] | None = None,
) -> Suite:
    """Read a suite and apply the flags that are given.

    `tasks`, `methods`, `students` are selections (`all` is the suite's own list); an explicit `dpc` holds for
    every task; `task_params` adds to the suite's parameters, by plugin name. Raises UserError, one line.
    """
    path, content = _read(suite_file(name_or_path))
    where = f"suite {path.stem if path in _files() else path}"
    name = _text(content, "name", where) or path.stem
    defaults = _params(content, registry, where)
    for plugin, values in (task_params or {}).items():
        _check_params(plugin, values, registry, "task parameters")
        defaults[plugin] = {**defaults.get(plugin, {}), **values}
    chosen = {}
    for kind, selection in zip(KINDS, (tasks, methods, students), strict=True):
        pool = _texts(content, f"{kind}s", where)
        if selection is None:
            if not pool:
                raise UserError(f"{where}: names no {kind}s; add {kind}s = [...] or use --{kind}s")
            try:
                chosen[kind] = tuple(parse(",".join(pool), kind, registry, pool, defaults))
            except UserError as error:
                raise type(error)(f"{where}: {error}") from error
        else:
            chosen[kind] = tuple(parse(selection, kind, registry, pool, defaults))
    numbers = _dpc(content["dpc"], f"{where}: dpc") if "dpc" in content else ()
    task_dpc = _task_dpc(content, chosen["task"], registry, where)
    if dpc is not None:
        numbers, task_dpc = _dpc(list(dpc), "dpc"), {}
    if not numbers and not all(task.label in task_dpc for task in chosen["task"]):
        raise UserError(f"{where}: names no dpc; add dpc = [...] or use --dpc")
    suite = Suite(
        name=name,
        summary=_text(content, "summary", where),
        tasks=chosen["task"],
        methods=chosen["method"],
        students=chosen["student"],
        dpc=numbers,
        task_dpc=task_dpc,
        sets=_count(content, "sets", sets, where, default=1, least=1),
        preparations=_count(content, "preparations", preparations, where, default=1, least=1),
        runs=_count(content, "runs", runs, where, default=1, least=1),
        seed=_count(content, "seed", seed, where, default=0, least=0, most=MOST_SEED),
        params=defaults,
    )
    _refuse_endless(suite)
    _check_preparations(suite, where if preparations is None else "")
    return suite


def _refuse_endless(suite: Suite) -> None:
    """UserError for more replicates than a plan can hold; those of methods that do not use dpc count for each dpc."""
    sizes = sum(len(suite.dpc_for(task)) for task in suite.tasks)
    cells = sizes * len(suite.methods) * len(suite.students)
    if cells * suite.sets * suite.runs > MOST_REPLICATES:
        raise UserError(
            f"{cells} cells x {suite.sets} sets x {suite.runs} runs are {cells * suite.sets * suite.runs} replicates; "
            f"one plan holds {MOST_REPLICATES} at most: choose fewer sets, runs, sizes or plugins"
        )


def _check_preparations(suite: Suite, where: str) -> None:
    """UserError for preparations that no chosen method has, or that share its sets unevenly; where: "" for the flag."""
    if suite.preparations == 1:
        return
    said = f"{where}: preparations = {suite.preparations}" if where else f"--preparations {suite.preparations}"
    prepared = [choice for choice in suite.methods if _is_prepared(choice)]
    if not prepared and not where:
        names = ", ".join(choice.label for choice in suite.methods)
        raise UserError(f"{said}: no chosen method names a seed for what its sets share ({names})")
    if prepared and suite.sets % suite.preparations:
        raise UserError(
            f"{said}: {suite.sets} sets cannot be shared evenly; choose a multiple of {suite.preparations} (--sets)"
        )


def _is_prepared(choice: Choice) -> bool:
    return isinstance(choice.spec, MethodSpec) and bool(choice.spec.prepared_by)


def _read(path: Path) -> tuple[Path, dict[str, Any]]:
    try:
        content = tomllib.loads(regular_file(path, "suite file").read_text(encoding="utf-8"))
        json.dumps(content, default=str)  # dotted keys nest without an end to it; what follows could not go down there
    except OSError as error:
        raise UserError(f"suite file {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UserError(f"suite file {path}: is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:  # not only TOMLDecodeError: a number of 5,000 digits is neither
        said = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"suite file {path}: {said}") from None
    for key in content:
        if key not in KEYS:
            raise UserError(f"suite file {path}: no key '{key}'{did_you_mean(key, KEYS)}")
    return path, content


def _text(content: Mapping[str, Any], key: str, where: str) -> str:
    value = content.get(key, "")
    if not isinstance(value, str):
        raise UserError(f"{where}: {key} must be a text")
    return value


def _texts(content: Mapping[str, Any], key: str, where: str) -> list[str]:
    value = content.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise UserError(f'{where}: {key} must be a list of selections, such as ["all"] or ["name[key=value]"]')
    return value


def _count(
    content: Mapping[str, Any],
    key: str,
    flag: int | None,
    where: str,
    default: int,
    least: int,
    most: int = MOST_REPLICATES,
) -> int:
    value = content.get(key, default) if flag is None else flag
    if type(value) is not int or not least <= value <= most:
        said = f"{where}: {key}" if flag is None else f"--{key}"
        raise UserError(f"{said} is {value!r:.60}, but must be a whole number >= {least} and <= {most}")
    return value


def _dpc(value: Any, where: str) -> tuple[int, ...]:
    numbers = value if isinstance(value, list) else [value]
    if not numbers or not all(type(each) is int and 1 <= each <= MOST_DPC for each in numbers):
        raise UserError(f"{where} is {value!r:.60}, but must be whole numbers >= 1 and <= {MOST_DPC}")
    return tuple(dict.fromkeys(numbers))


def _params(content: Mapping[str, Any], registry: Registry, where: str) -> dict[str, dict[str, Any]]:
    """`[params.<plugin name>]`: default parameters, checked whether or not the plugin is selected."""
    found: dict[str, dict[str, Any]] = {}
    for name, values in _tables(content, "params", where).items():
        _check_params(name, values, registry, f"{where}: [params.{name}]")
        found[name] = dict(values)
    return found


def _check_params(name: str, values: Mapping[str, Any], registry: Registry, where: str) -> None:
    specs = [registry.specs(kind)[name] for kind in KINDS if name in registry.specs(kind)]
    if not specs:
        known = [each for kind in KINDS for each in registry.specs(kind)]
        raise UserError(f"{where}: no plugin '{name}'{did_you_mean(name, known)}")
    for spec in specs:
        check_partial(spec.name, spec.params, {**spec.preset, **values}, where)


def _task_dpc(
    content: Mapping[str, Any], tasks: Sequence[Choice], registry: Registry, where: str
) -> dict[str, tuple[int, ...]]:
    """`[task.<name>] dpc = [...]`, by task label; a key that is a whole label goes before one that is a name."""
    tables: dict[str, tuple[int, ...]] = {}
    for key, table in _tables(content, "task", where).items():
        registry.spec("task", key.partition("[")[0].partition(":")[0])
        for inner in table:
            if inner != "dpc":
                raise UserError(f"{where}: [task.{key}] has no key '{inner}'{did_you_mean(inner, ['dpc'])}")
        if "dpc" in table:
            tables[key] = _dpc(table["dpc"], f"{where}: [task.{key}] dpc")
    chosen = {task.label: tables.get(task.label, tables.get(task.spec.name)) for task in tasks}
    return {label: numbers for label, numbers in chosen.items() if numbers}


def _tables(content: Mapping[str, Any], key: str, where: str) -> dict[str, dict[str, Any]]:
    value = content.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
        raise UserError(f"{where}: {key} must hold tables, [{key}.<name>]")
    return value
