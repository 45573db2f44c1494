"""Digests of source code: what a module computes with, without comments, docstrings, descriptions and layout.

Sources are read from the syntax tree, so nothing heavy is loaded and nothing of a plugin runs.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from bench.store.identity import canonical

ENGINE = "bench"
SHARED = ("bench.data", "bench.learners")  # of the engine, what plugins compute with
GROUP = "bench"  # entry points of plugins


@dataclass(frozen=True)
class Source:
    """What matters of one module: the digest of its code, the modules it may import, the attributes it names."""

    digest: str
    imports: frozenset[str]
    attributes: frozenset[str]


def code_digest(module: str) -> str:
    """Hex SHA-256 of the code of `module` and of all of its own that it imports.

    Its own: its package, what else its distribution holds, files beside it that no distribution owns, `bench.data`
    and `bench.learners`. Not the libraries: their versions are in the environment of a record.
    """
    digests = {"" if name == module else name: source.digest for name, source in closure(module).items()}
    return hashlib.sha256(canonical(digests).encode()).hexdigest()


def names(module: str, attributes: Iterable[str]) -> bool:
    """Whether `module` or what it imports of its own names one of these attributes, as in `ctx.features`."""
    return any(not source.attributes.isdisjoint(attributes) for source in closure(module).values())


@cache
def closure(module: str) -> dict[str, Source]:
    """The module and all of its own that it imports, by name; empty when there is no source."""
    own = _Own(module.partition(".")[0])
    todo, found = [module], dict[str, Source]()
    while todo:
        name = todo.pop()
        path = None if name in found else find(name) if name == module else own.find(name)
        if path is None:
            continue
        found[name] = source = read(path, name)
        todo.extend(source.imports)
        if "." in name:  # importing a module runs its packages
            todo.append(name.rpartition(".")[0])
    return found


def definition_digest(target: str) -> str:
    """Hex SHA-256 of one definition, "package.module:Class.method", whatever stands around it in its module."""
    module, _, path = target.partition(":")
    file = find(module)
    node: Any = None if file is None else _tree(file.read_bytes())
    for name in path.split("."):
        body = getattr(node, "body", ())
        node = next((each for each in body if getattr(each, "name", None) == name), None)
    if node is None:
        raise LookupError(f"no definition {target}")
    return hashlib.sha256(canonical(_plain(node)).encode()).hexdigest()


def forget() -> None:
    """Drop what is remembered, so that changed sources are read again."""
    for remembered in (closure, _home, _distribution_mates):
        remembered.cache_clear()


def find(module: str) -> Path | None:
    """The source file of a module, found by path below its top-level package, so that nothing is imported."""
    top, *rest = module.split(".")
    spec = _spec(top)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for location in spec.submodule_search_locations or ():
        base = Path(location, *rest)
        for path in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None


def _spec(top: str) -> ModuleSpec | None:
    """Where a top-level module would be imported from, or was."""
    try:
        return sys.modules[top].__spec__ if top in sys.modules else importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


class _Own:
    """Which modules belong to a plugin's code, seen from its top-level package or one-file module."""

    def __init__(self, top: str) -> None:
        self.top = top
        self.mates = _distribution_mates(top)
        home = _home(top)
        self.home = None if home is None or _is_library(home) else home

    def find(self, name: str) -> Path | None:
        top = name.partition(".")[0]
        if top == ENGINE:
            return find(name) if any(f"{name}.".startswith(f"{shared}.") for shared in SHARED) else None
        if top == self.top or top in self.mates:
            return find(name)
        if self.home is None or top in sys.stdlib_module_names or _home(top) != self.home:
            return None
        return find(name)


@cache
def _home(top: str) -> Path | None:
    """The folder that a top-level package or module lies in."""
    spec = _spec(top)
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ())
    if places:
        return Path(places[0]).resolve().parent
    return Path(spec.origin).resolve().parent if spec.has_location and spec.origin else None


@cache
def _library_folders() -> frozenset[Path]:
    """Where installed distributions lie side by side."""
    places = [sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")]
    places += site.getsitepackages() if hasattr(site, "getsitepackages") else []
    return frozenset(Path(place).resolve() for place in (*places, site.getusersitepackages()) if place)


def _is_library(folder: Path) -> bool:
    return folder in _library_folders() or folder.name in {"site-packages", "dist-packages"}


@cache
def _distribution_mates(top: str) -> frozenset[str]:
    """The top-level names of the plugin distribution that holds `top`, the engine left out."""
    for distribution in importlib.metadata.distributions():
        text = distribution.read_text("entry_points.txt")
        if text and f"[{GROUP}]" in text.replace(" ", ""):
            tops = frozenset(_top_levels(distribution))
            if top in tops:
                return tops - {ENGINE}
    return frozenset()


def _top_levels(distribution: importlib.metadata.Distribution) -> Iterator[str]:
    listed = distribution.read_text("top_level.txt")
    if listed:
        yield from listed.split()
        return
    for file in distribution.files or ():
        if file.suffix == ".py":
            yield file.parts[0].removesuffix(".py")


def read(path: Path, module: str) -> Source:
    """What matters of a source file that is the module of that name."""
    return _read(path.read_bytes(), module, path.name == "__init__.py")


@cache
def _read(content: bytes, module: str, is_package: bool) -> Source:
    try:
        tree = _tree(content)
        digest = hashlib.sha256(canonical(_plain(tree)).encode()).hexdigest()
    except (SyntaxError, ValueError, RecursionError):  # whoever imports it says what is wrong with it
        return Source(hashlib.sha256(content).hexdigest(), frozenset(), frozenset())
    attributes = frozenset(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return Source(digest, frozenset(_imports(tree, module, is_package)), attributes)


@cache
def _tree(content: bytes) -> ast.Module:
    return ast.parse(content)


def _imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[str]:
    """Full names of the modules that the code may import, relative ones resolved, also by `import_module("name")`."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, base] if base else parent)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"} and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str) and not name.value.startswith("."):
                yield name.value


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", "") or getattr(node.func, "id", "")


def _plain(node: Any) -> Any:
    """A syntax tree as JSON values: no places, comments, docstrings or descriptions, nothing that is empty.

    Not `ast.dump`, whose text differs between Python versions.
    """
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, ast.AST):
        return node  # the name of something, or a level of a relative import
    if isinstance(node, ast.Constant):
        return ["Constant", type(node.value).__name__, repr(node.value)]
    found: list[Any] = [type(node).__name__]
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            value = [each for each in value if not _is_docstring(each)]
        elif name == "keywords" and isinstance(node, ast.Call) and _called(node) == "Field":
            value = [each for each in value if each.arg != "description"]
        if value is not None and value != [] and name not in {"type_comment", "ctx", "kind"}:
            found.append([name, _plain(value)])
    return found


def _is_docstring(node: ast.stmt) -> bool:
    """A text that stands alone does nothing."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
