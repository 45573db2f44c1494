"""Whose seconds pass: nothing is counted twice, nothing while waiting, and a crash loses little."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from bench.data.assets import Assets
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.store.identity import key_of
from bench.work.context import JobContext
from bench.work.meter import SAVE_SECONDS, SECONDS, Meter


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now

    def after(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> Meter:
    return Meter(clock)


def test_an_inner_artifact_is_not_counted_in_the_outer_one(clock: Clock, meter: Meter) -> None:
    clock.after(1)
    with meter.working("outer"):
        clock.after(10)
        with meter.working():  # waits for another process
            clock.after(500)
            with meter.working("inner"):
                clock.after(100)
        meter.use("features", "inner")
        clock.after(20)
    meter.use("model", "outer")
    clock.after(2)
    assert meter.own == 3
    assert meter.about("outer") == {"seconds": 30, "made_of": {"inner": "features"}}
    assert meter.about("inner") == {"seconds": 100, "made_of": {}}
    assert meter.parts == {"outer": "model"}


def test_open_workspaces_share_the_time_and_do_not_count_as_parts_of_each_other(
    clock: Clock, meter: Meter, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    with meter.workspace("a", folders[0]), meter.workspace("b", folders[1]):
        meter.use("lm", "common")
        clock.after(60)
        with meter.working("a"):
            clock.after(4)
        meter.use("tuned", "a")
    assert meter.about("a") == {"seconds": 34, "made_of": {"common": "lm"}}
    assert meter.about("b") == {"seconds": 30, "made_of": {"common": "lm"}}
    assert (meter.own, meter.parts) == (0, {})


def test_what_was_spent_before_a_crash_counts(clock: Clock, tmp_path: Path) -> None:
    killed = Meter(clock)
    with killed.workspace("a", tmp_path):
        clock.after(SAVE_SECONDS)
        killed.tick()
        clock.after(SAVE_SECONDS / 2)
        killed.tick()
        saved = (tmp_path / SECONDS).read_text(encoding="utf-8")
    assert float(saved) == SAVE_SECONDS, "what a kill would have left; not every tick is a write"
    resumed = Meter(clock)
    with contextlib.suppress(ValueError), resumed.workspace("a", tmp_path):
        clock.after(1)
        raise ValueError("exploded")
    again = Meter(clock)
    with again.workspace("a", tmp_path):
        clock.after(2)
    assert again.about("a")["seconds"] == 1.5 * SAVE_SECONDS + 3
    (tmp_path / SECONDS).write_text("", encoding="utf-8")
    torn = Meter(clock)
    with torn.workspace("a", tmp_path):
        clock.after(2)
    assert torn.about("a")["seconds"] == 2


def test_a_context_notes_seconds_parts_and_environment_with_what_it_makes(tmp_path: Path) -> None:
    """Also of a training in a workspace that an earlier process began, and from the cache in a later job."""
    artifacts = Artifacts(tmp_path)
    assets = Assets({}, Settings(cache=tmp_path))

    def build(folder: Path) -> None:
        (folder / "x").touch()

    def job() -> JobContext:
        return JobContext(assets, artifacts)

    with contextlib.suppress(KeyError), job().workspace("model", {"n": 1}) as folder:
        raise KeyError
    (folder / SECONDS).write_text("1000.0", encoding="utf-8")
    first = job()
    with first.workspace("model", {"n": 1}):
        first.artifact("corpus", {"n": 1}, build)
        made = first.artifact("model", {"n": 1}, build)
    assert not (made / SECONDS).exists()
    later = job()
    assert later.find("model", {"n": 1}) == made
    assert later.find("model", {"n": 2}) is None
    found = {one["kind"]: one for one in artifacts.lineage(later.meter.parts)}
    assert set(found) == {"model", "corpus"}, "what a part is made of belongs to it"
    assert found["model"]["seconds"] >= 1000
    assert 0 <= found["corpus"]["seconds"] < 1000
    noted: dict[str, Any] = artifacts.about("model", made.name)
    assert noted["environment"]["device"] == "cpu"
    assert {"python", "torch", "numpy"} < set(noted["environment"])


def test_nothing_is_known_of_what_an_older_version_made(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    key = key_of({"kind": "model", "n": 1})
    assert artifacts.about("model", key) == {}
    assert artifacts.lineage({key: "model"}) == [{"kind": "model", "key": key, "seconds": None, "memory": None}]
