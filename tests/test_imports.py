"""The direction of imports: no circle between files or folders, and who may know whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bench", "tasks", "methods", "students", "leaderboard")
ALLOWED = {  # what a package may import of the project, beside itself
    "leaderboard": {"bench.store", "bench.errors"},
    "tasks": {"bench.api", "bench.data"},
    "methods": {"bench.api", "bench.data", "bench.learners", "bench.seeds"},
    "students": {"bench.api", "bench.data", "bench.learners"},
}
KNOW_THE_BOARD = ("bench.cli", "bench.session")
LIGHT = {"tasks": {"torch"}, "leaderboard": {"torch", "transformers"}}  # what these packages do without
Graph = Mapping[str, set[str]]


def modules() -> dict[str, Path]:
    """Dotted name -> file of every module of the project."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """The project's modules that a file names in an import anywhere in it, also for types alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


FILES: Graph = {name: set(imports(path)) - {name} for name, path in MODULES.items()}


def room(name: str) -> str:
    """A folder as one: `bench.store`; a file directly in a package stands for itself."""
    parts = name.split(".")
    folder = ROOT.joinpath(*parts[:2])
    return ".".join(parts[:2]) if len(parts) > 1 and folder.is_dir() else name


def circle(graph: Graph) -> list[str]:
    """The nodes of one circle, the first again at the end; empty without any."""
    state: dict[str, int] = {}
    path: list[str] = []

    def visit(node: str) -> list[str]:
        state[node] = 1
        path.append(node)
        for other in sorted(graph.get(node, ())):
            if state.get(other) == 1:
                return [*path[path.index(other) :], other]
            if other not in state and (found := visit(other)):
                return found
        path.pop()
        state[node] = 2
        return []

    for node in sorted(graph):
        if node not in state and (found := visit(node)):
            return found
    return []


def rooms() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for name, targets in FILES.items():
        graph.setdefault(room(name), set()).update({room(target) for target in targets} - {room(name)})
    return graph


def test_the_search_finds_circles() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_imports_are_found_in_functions_and_for_types() -> None:
    assert "bench.session" in FILES["bench"]
    assert "bench.session" in FILES["bench.cli.options"]


def test_no_circle_between_files() -> None:
    assert circle(FILES) == []


def test_no_circle_between_folders() -> None:
    assert circle(rooms()) == []


def test_the_engine_knows_no_plugin() -> None:
    known = {
        name: {t for t in found if t.split(".")[0] in {"tasks", "methods", "students"}} for name, found in FILES.items()
    }
    assert {name: found for name, found in known.items() if found and name.startswith("bench")} == {}


def test_the_board_is_known_to_the_front_door_alone() -> None:
    who = {
        name
        for name, found in FILES.items()
        if name.startswith("bench") and any(target.split(".")[0] == "leaderboard" for target in found)
    }
    assert {name for name in who if not name.startswith(KNOW_THE_BOARD)} == set()


@pytest.mark.parametrize("package", ALLOWED)
def test_what_a_package_may_know(package: str) -> None:
    foreign = {
        (name, target)
        for name, found in FILES.items()
        if name.split(".")[0] == package
        for target in found
        if target.split(".")[0] != package and room(target) not in ALLOWED[package]
    }
    assert foreign == set()


@pytest.mark.parametrize("package", LIGHT)
def test_what_a_package_does_without(package: str) -> None:
    for name, path in MODULES.items():
        if name.split(".")[0] == package:
            assert not {top(each) for each in named(path)} & LIGHT[package], name


def named(path: Path) -> Iterator[str]:
    """Every module that a file names in an import."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def top(name: str) -> str:
    return name.partition(".")[0]
