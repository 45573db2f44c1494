"""The sample plugin as a file of one's own, and a suite that uses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Bench

SUITE = """
name = "sample"
tasks = ["words"]
methods = ["pick", "fixed"]
students = ["centroid"]
dpc = [2, 4]
sets = 3
runs = 2
"""


@pytest.fixture
def sample(bench: Bench) -> Callable[..., Any]:
    """`sample("run", ...)`: the command with the sample plugin, its suite, and no MLflow where it would be sent."""
    plugin = bench.folder / "plugin.py"
    plugin.write_text((Path(__file__).parent / "sample_plugin.py").read_text())
    (bench.folder / "suite.toml").write_text(SUITE)

    def words(command: str, *more: str) -> list[str]:
        quiet = ["--no-mlflow"] if command in {"run", "score"} else []
        return [command, *more, "--suite", "suite.toml", "--plugin", str(plugin), *quiet]

    def run(command: str, *more: str, **options: Any) -> Any:
        return bench(*words(command, *more), **options)

    run.words = words  # type: ignore[attr-defined]
    run.bench = bench  # type: ignore[attr-defined]
    return run


def records(out: Path) -> list[dict[str, Any]]:
    """Records of a result folder without times, by key."""
    lines = [json.loads(line) for line in (out / "results" / "records.jsonl").read_text().splitlines()]
    latest = {line["key"]: line for line in lines}
    return [
        {name: value for name, value in latest[key].items() if name not in {"time", "sha256"}} for key in sorted(latest)
    ]
