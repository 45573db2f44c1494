"""`bench fetch`: what a selection needs, from a plugin file and a local package index."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.data.test_assets import make_wheel
from tests.conftest import Bench

PLUGIN = """
from bench.api import Asset, TaskSpec, hookimpl

@hookimpl
def bench_tasks():
    return [
        TaskSpec(name=name, summary="A sample.", target="a:B", assets=lambda params, name=name: (f"{name}-data",))
        for name in ("one", "two")
    ]

@hookimpl
def bench_assets():
    return [
        Asset(name=f"{name}-data", summary="A sample.", content="data", licence="", size_mb=1, wheel="sample-data",
              version="1.0", sha256=sha256, members=("sample/data/",), root="sample/data")
        for name, sha256 in (("one", "SHA256"), ("two", "0" * 64))
    ]
"""
SUITE = """
name = "sample"
tasks = ["one", "two"]
methods = ["random"]
students = ["minilm"]
dpc = [2]
"""


@pytest.fixture
def flags(bench: Bench, tmp_path: Path) -> list[str]:
    _, sha256 = make_wheel(tmp_path / "index")
    bench.environment.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path / "index"))
    (bench.folder / "plugin.py").write_text(PLUGIN.replace("SHA256", sha256))
    (bench.folder / "suite.toml").write_text(SUITE)
    return ["--plugin", "plugin.py", "--suite", "suite.toml"]


def test_named_asset_is_fetched_once_and_found_offline(bench: Bench, flags: list[str]) -> None:
    first = bench("fetch", "one-data", *flags)
    assert first.stdout.startswith("one-data: fetched, 0.0 MB, ")
    assert "sample-data 1.0" in first.stderr
    second = bench("fetch", "one-data", *flags, "--offline")
    assert second.stdout.startswith("one-data: cached, 0.0 MB, ")
    assert second.stderr == ""
    local = bench("fetch", "suite.toml", *flags)
    assert local.stdout.startswith("suite.toml: local, ")


def test_one_asset_that_fails_does_not_stop_the_others(bench: Bench, flags: list[str]) -> None:
    done = bench("fetch", "two-data", "one-data", *flags, code=1)
    lines = done.stdout.splitlines()
    assert lines[0] == "two-data: failed"
    assert lines[1].startswith("one-data: fetched")
    assert done.stderr.splitlines()[-1].startswith("bench: error: wheel sample-data 1.0 has SHA-256 ")
    assert "Traceback" not in done.stderr


def test_selection_decides_what_is_fetched(bench: Bench, flags: list[str]) -> None:
    done = bench("fetch", *flags, "--offline", code=1)
    assert done.stdout.splitlines() == ["one-data: failed", "two-data: failed", "minilm: failed"]
    one = bench("fetch", *flags, "--tasks", "one", "--offline", code=1)
    assert one.stdout.splitlines() == ["one-data: failed", "minilm: failed"]
    assert all("run `bench fetch" in line for line in one.stderr.splitlines())


def test_unknown_asset_is_one_line(bench: Bench, flags: list[str]) -> None:
    done = bench("fetch", "one-dat", *flags, code=1)
    assert done.stderr == "bench: error: 'one-dat' is no asset, no hub:org/name and no path; did you mean 'one-data'?\n"
