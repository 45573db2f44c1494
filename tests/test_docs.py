"""The documents keep up with the code: hooks, links, the plugin example, and the direction of imports."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import hookspecs
from tests.conftest import Bench

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
FORBIDDEN = {  # folder -> top-level packages that it must not import
    "bench": {"methods", "tasks", "students"},
    "methods": {"tasks", "students", "leaderboard"},
    "tasks": {"methods", "students", "leaderboard", "torch"},
    "students": {"methods", "tasks", "leaderboard"},
    "leaderboard": {"methods", "tasks", "students", "torch", "transformers"},
}


def test_every_hook_is_documented_with_its_signature() -> None:
    text = (ROOT / "docs" / "plugins.md").read_text()
    hooks = {name: found for name, found in vars(hookspecs).items() if name.startswith("bench_")}
    assert len(hooks) == 4
    for name, found in hooks.items():
        assert f"`{name}{inspect.signature(found)}`".replace("'", "") in text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("name", ["longest", "wordy"])
def test_the_plugin_examples_are_listed_and_keep_the_rules(name: str, bench: Bench) -> None:
    text = (ROOT / "docs" / "plugins.md").read_text()
    example = re.findall(rf"```python\n(# {name}\.py\n.*?)```", text, re.DOTALL)[0]
    (bench.folder / f"{name}.py").write_text(example)
    assert name in bench("list", "methods", "--plugin", f"{name}.py").stdout
    check = (
        f"from bench.testing import check_method\nfrom {name} import bench_methods\ncheck_method(bench_methods()[0])\n"
    )
    (bench.folder / "check.py").write_text(check)
    done = subprocess.run(
        [sys.executable, "check.py"],
        cwd=bench.folder,
        env=bench.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_go_one_way(folder: str) -> None:
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found = {name.partition(".")[0] for name in names} & FORBIDDEN[folder]
            assert not found, f"{path.relative_to(ROOT)} imports {found}"
