"""The artifact store: once, whole or absent, rebuilt when damaged, safe under two processes."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from bench.errors import UserError
from bench.store.artifacts import Artifacts


def test_an_artifact_is_built_once(tmp_path: Path) -> None:
    calls = []

    def build(folder: Path) -> None:
        calls.append(folder)
        (folder / "x.txt").write_text("content")

    store = Artifacts(tmp_path)
    first = store.make("kind", {"a": 1}, build)
    assert first == Artifacts(tmp_path).make("kind", {"a": 1}, build)
    assert (first / "x.txt").read_text() == "content"
    assert len(calls) == 1
    assert store.make("kind", {"a": 2}, build) != first
    assert store.make("other", {"a": 1}, build) != first


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "x.txt").write_text("half")
        raise ValueError("no")

    store = Artifacts(tmp_path)
    with pytest.raises(ValueError, match="no"):
        store.make("kind", {}, build)
    assert not list(tmp_path.rglob("x.txt"))


def test_a_truncated_artifact_is_built_again(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    folder = store.make("kind", {}, lambda part: (part / "x.txt").write_text("content") and None)
    key = folder.name
    (folder / "x.txt").write_text("cont")
    assert store.get("kind", key) is None
    store.make("kind", {}, lambda part: (part / "x.txt").write_text("content") and None)
    assert (folder / "x.txt").read_text() == "content"


def test_another_schema_is_refused_with_the_mend(tmp_path: Path) -> None:
    Artifacts(tmp_path)
    (tmp_path / "artifacts" / "schema.json").write_text('{"schema": 99}')
    with pytest.raises(UserError, match=r"schema 99.*delete that folder"):
        Artifacts(tmp_path)


def _build_slowly(cache: Path, log: Path) -> None:
    def build(folder: Path) -> None:
        with open(log, "a") as file:
            file.write("built\n")
        time.sleep(0.3)
        (folder / "x.txt").write_text("content")

    assert (Artifacts(cache).make("kind", {"a": 1}, build) / "x.txt").read_text() == "content"


def test_two_processes_build_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_build_slowly, args=(tmp_path / "cache", tmp_path / "log")) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert (tmp_path / "log").read_text() == "built\n"
