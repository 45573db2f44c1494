"""The artifact store: once, whole or absent, rebuilt when damaged, safe under two processes."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from safetensors.numpy import save_file

from bench.data.install import install
from bench.errors import UserError
from bench.store.artifacts import Artifacts
from bench.store.identity import key_of


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


def make_two_files(part: Path) -> None:
    (part / "x.bin").write_bytes(bytes(1000))
    (part / "deep").mkdir()
    (part / "deep" / "y.txt").write_text("content")


def flip(path: Path, at: int = -1) -> None:
    """Change one byte; the size stays, the time moves by a nanosecond."""
    content, before = bytearray(path.read_bytes()), path.stat()
    content[at] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


@pytest.mark.parametrize("name", ["x.bin", "deep/y.txt"])
def test_a_flipped_byte_is_found_mended_and_said(tmp_path: Path, name: str) -> None:
    store = Artifacts(tmp_path)
    folder = store.make("kind", {}, make_two_files)
    assert store.get("kind", folder.name) == folder
    flip(folder / name)
    assert store.get("kind", folder.name) is None
    assert store.make("kind", {}, make_two_files) == folder
    assert store.said == [f"{folder / name} was damaged; it is computed again"]
    assert (folder / name).read_bytes() in {bytes(1000), b"content"}


def test_another_content_after_damage_is_said(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    folder = store.make("kind", {}, make_two_files)
    flip(folder / "x.bin")
    store.make("kind", {}, lambda part: (part / "x.bin").write_text("other") and None)
    assert "differs from what was there first" in store.said[0]


@pytest.mark.parametrize(
    "note", ["{", "[]", "{}", '{"files": [1]}', '{"files": {"x.bin": 1000}}', '{"sizes": {"x.bin": 1000}}']
)
def test_an_artifact_without_a_note_of_its_content_is_built_again(tmp_path: Path, note: str) -> None:
    store = Artifacts(tmp_path)
    folder = store.make("kind", {}, make_two_files)
    (folder / "artifact.json").write_text(note)
    assert store.get("kind", folder.name) is None
    store.make("kind", {}, make_two_files)
    assert store.get("kind", folder.name) == folder


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


def run_two(target: Callable[[Path, Path], None], *arguments: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=target, args=arguments) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]


def test_two_processes_build_once(tmp_path: Path) -> None:
    run_two(_build_slowly, tmp_path / "cache", tmp_path / "log")
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_workspace_lasts_until_its_artifact_is_made(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    key = key_of({"kind": "kind", "a": 1})
    with suppress(KeyError), store.workspace("kind", key) as folder:
        (folder / "checkpoint").write_text("half")
        raise KeyError
    with Artifacts(tmp_path).workspace("kind", key) as again, store.workspace("kind", "other") as other:
        assert (again / "checkpoint").read_text() == "half"
        assert list(other.iterdir()) == []
        made = store.make("kind", {"a": 1}, lambda part: (part / "x.txt").write_text("content") and None)
        assert made.name == key
    assert not folder.exists()
    assert other.exists()
    assert store.reported(key[:8]) == []


def _train_slowly(cache: Path, log: Path) -> None:
    store, key = Artifacts(cache), key_of({"kind": "kind", "a": 1})
    with store.workspace("kind", key) as folder:
        if store.get("kind", key) is not None:
            return
        with open(log, "a") as file:
            file.write("trained\n")
        (folder / "checkpoint").touch()
        time.sleep(0.3)
        assert list(folder.iterdir()) == [folder / "checkpoint"]
        store.make("kind", {"a": 1}, lambda part: (part / "x.txt").write_text("content") and None)


def test_a_workspace_is_for_one_process_at_a_time(tmp_path: Path) -> None:
    run_two(_train_slowly, tmp_path / "cache", tmp_path / "log")
    assert (tmp_path / "log").read_text() == "trained\n"
    left = list((tmp_path / "cache" / "workspaces" / "kind").glob("*/"))
    assert left == [], "the process that waited leaves none either"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: its writes fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


ARRAY = np.random.default_rng(0).random(10_000)
WRITERS: dict[str, Callable[[Path], object]] = {
    "numpy": lambda part: np.save(part / "x.npy", ARRAY),
    "safetensors": lambda part: save_file({"x": ARRAY}, part / "x.safetensors"),
    "pyarrow": lambda part: parquet.write_table(pyarrow.table({"x": ARRAY}), part / "x.parquet"),
    "text": lambda part: (part / "x.txt").write_text("text" * 20_000),
}


@pytest.mark.parametrize("library", WRITERS)
def test_a_full_cache_disk_is_one_line_and_leaves_nothing(tmp_path: Path, library: str) -> None:
    store = Artifacts(tmp_path)
    with files_of_at_most(20_000):
        with pytest.raises(UserError, match=f"no space left on the disk of {store.root}: free some"):
            store.make("kind", {}, lambda part: WRITERS[library](part) and None)
        with (
            pytest.raises(UserError, match=r"no space left on the disk of .*: free some"),
            store.workspace("kind", "a" * 64) as place,
        ):
            WRITERS[library](place)
        with pytest.raises(UserError, match=f"no space left for the cache {tmp_path / 'assets'}: free some"):
            install(tmp_path / "assets" / "name", lambda part: WRITERS[library](part) and None)
    assert not list(store.root.glob("kind/*/*/"))
    assert not list(store.root.glob("parts/*"))
    assert not list((tmp_path / "assets").glob("*/"))
    store.make("kind", {}, lambda part: WRITERS[library](part) and None)


def test_other_errors_of_a_build_are_its_own(tmp_path: Path) -> None:
    def build(part: Path) -> None:
        open(part / "absent")  # noqa: SIM115

    with pytest.raises(FileNotFoundError):
        Artifacts(tmp_path).make("kind", {}, build)
