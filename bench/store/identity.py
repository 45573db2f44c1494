"""Identity: the canonical JSON of all that can change an artifact's content, and its hash."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

SHARED = ("bench.data.", "bench.learners.")  # the engine's parts that decide numbers
SCHEMA = 1  # of keys, artifacts and records; raise it when their meaning changes


def canonical(value: Any) -> str:
    """JSON with sorted keys and no blanks; NaN and infinity are refused, because they have no JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def key_of(fields: Any) -> str:
    """Hex SHA-256 of the canonical JSON of `fields` and of the schema version."""
    return hashlib.sha256(canonical({"schema": SCHEMA, "fields": fields}).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _find(module: str) -> Path | None:
    """The source file of a module, found by path below its top-level package, so that nothing is imported."""
    top, *rest = module.split(".")
    try:
        spec = sys.modules[top].__spec__ if top in sys.modules else importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
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


def _imports(source: str, module: str, is_package: bool) -> set[str]:
    """Full names of the modules that `source` may import, relative ones resolved."""
    package = module if is_package else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, base] if base else parent)
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


@cache
def code_digest(module: str) -> str:
    """Hex SHA-256 over the source of `module` and of what it imports from its own top-level package, `bench.data`
    and `bench.learners`.

    Imports are read from the syntax tree, so nothing heavy is loaded. Line ends are normalised.
    """
    top = module.partition(".")[0]
    todo: list[str] = [module]
    sources: dict[str, str] = {}
    while todo:
        name = todo.pop()
        if name in sources or not (name.partition(".")[0] == top or name.startswith(SHARED)):
            continue
        path = _find(name)
        if path is None:
            continue
        source = path.read_text(encoding="utf-8").replace("\r\n", "\n")
        sources[name] = source
        todo.extend(_imports(source, name, path.name == "__init__.py"))
    return hashlib.sha256(canonical(sorted(sources.items())).encode()).hexdigest()
