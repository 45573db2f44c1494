"""The documents keep up with the code: hooks, links and the plugin example."""

from __future__ import annotations

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


@pytest.mark.parametrize("name", ["longest", "wordy", "blended"])
def test_the_plugin_examples_are_listed_and_keep_the_rules(name: str, bench: Bench, tiny_encoder: Path) -> None:
    text = (ROOT / "docs" / "plugins.md").read_text()
    example = re.findall(rf"```python\n(# {name}\.py\n.*?)```", text, re.DOTALL)[0]
    (bench.folder / f"{name}.py").write_text(example)
    assert name in bench("list", "methods", "--plugin", f"{name}.py").stdout
    params = {"encoder": str(tiny_encoder)} if name == "blended" else {}
    check = (
        f"from bench.testing import check_method\nfrom {name} import bench_methods\n"
        f"check_method(bench_methods()[0], {params})\n"
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
