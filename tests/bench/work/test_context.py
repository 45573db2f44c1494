"""What a job caches belongs to the code and the type of device that made it, whether or not its author thinks of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.api import Part, Split, TaskInfo, TrainData
from bench.data.assets import Assets
from bench.errors import PluginError
from bench.identities import made_by
from bench.settings import Settings
from bench.store import code
from bench.store.artifacts import Artifacts
from bench.testing import topic_task
from bench.work.context import JobContext

Make = Callable[..., JobContext]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin's package: a method that uses a trained part, which does not use the method."""
    folder = tmp_path / "cached_plugin"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "method.py").write_text("from cached_plugin import part\nx = 1\n")
    (folder / "part.py").write_text("y = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "cached_plugin", raising=False)
    return folder


@pytest.fixture
def make(tmp_path: Path, plugin: Path) -> Make:
    settings = Settings.make(cache=tmp_path / "cache")

    def made(device: str = "cpu", data: TrainData | None = None) -> JobContext:
        code.forget()
        by = made_by("cached_plugin.method", "method")
        assets, artifacts = Assets({}, settings), Artifacts(settings.cache)
        return JobContext(assets, artifacts, device=device, data=data, task_identity={"task": 1}, made_by=by)

    return made


def build(folder: Path) -> None:
    (folder / "weights").write_text("trained")


def test_an_artifact_belongs_to_the_code_of_its_plugin(make: Make, plugin: Path) -> None:
    first = make().artifact("trained", {"steps": 3}, build)
    assert make().find("trained", {"steps": 3}) == first
    (plugin / "method.py").write_text("# reworded\nfrom cached_plugin import part\nx = 1\n")
    assert make().find("trained", {"steps": 3}) == first
    (plugin / "part.py").write_text("y = 2\n")
    assert make().find("trained", {"steps": 3}) is None
    assert make().artifact("trained", {"steps": 3}, build) != first


def test_an_artifact_belongs_to_the_rows_that_were_seen(make: Make) -> None:
    """A plugin that caches under too few fields does not get another task's artifact."""
    info = TaskInfo("words", ("text",), ("a", "b"))
    one, other = (
        TrainData(info, *(Split({"text": [f"{word} {n}" for n in range(4)]}, np.arange(4) % 2) for _ in range(2)))
        for word in ("goal", "profit")
    )
    first = make(data=one).artifact("clusters", {"k": 5}, build)
    assert make(data=one).find("clusters", {"k": 5}) == first
    assert make(data=other).find("clusters", {"k": 5}) is None
    shared = make(data=one).artifact("clusters", {"k": 5}, build, code="cached_plugin.part")
    assert make(data=other).find("clusters", {"k": 5}, code="cached_plugin.part") == shared


def test_parts_that_are_made_with_others_are_other_parts(make: Make) -> None:
    info = TaskInfo("words", ("text",), ("a", "b"))
    split = Split({"text": ["goal", "profit"]}, np.arange(2))
    ctx = make(data=TrainData(info, split, split))
    alone, one, other = (Part(kind="p", fields={}, make="cached_plugin.part:make", together=t) for t in ("", "x", "y"))
    assert len({str(ctx.address(part)) for part in (alone, one, other)}) == 3


def test_an_artifact_of_a_narrower_module_is_kept_when_the_rest_changes(make: Make, plugin: Path) -> None:
    narrow = {"code": "cached_plugin.part"}
    first = make().artifact("trained", {}, build, **narrow)
    assert make().find("trained", {}) is None
    (plugin / "method.py").write_text("from cached_plugin import part\nx = 2\n")
    assert make().find("trained", {}, **narrow) == first
    (plugin / "part.py").write_text("y = 2\n")
    assert make().find("trained", {}, **narrow) is None
    with pytest.raises(PluginError, match=r"'cached_plugin\.parts', which is no module with source"):
        make().find("trained", {}, code="cached_plugin.parts")


def test_a_checkpoint_belongs_to_the_code_that_wrote_it(make: Make, plugin: Path) -> None:
    with make().workspace("trained", {}) as workspace:
        (workspace / "step").write_text("7")
    with make().workspace("trained", {}) as workspace:
        assert (workspace / "step").exists()
    (plugin / "part.py").write_text("y = 2\n")
    with make().workspace("trained", {}) as workspace:
        assert not (workspace / "step").exists()


def test_the_type_of_the_device_is_part_of_the_address(make: Make) -> None:
    first = make("cuda:0").artifact("trained", {}, build)
    assert make("cuda:1").find("trained", {}) == first
    assert make("cpu").find("trained", {}) is None


def test_features_go_only_to_code_that_shows_that_it_asks(make: Make, plugin: Path, tiny_encoder: Path) -> None:
    data = topic_task().train_data()
    with pytest.raises(PluginError, match="missing from its key"):
        make(data=data).features("train", str(tiny_encoder))
    with pytest.raises(PluginError, match="missing from its key"):
        make(data=data).embed(data.train.texts, str(tiny_encoder))
    (plugin / "method.py").write_text("from cached_plugin import part\nx = lambda ctx: ctx.features('train', 'e')\n")
    found = make(data=data).features("train", str(tiny_encoder))
    assert found.shape[0] == len(data.train)
    ctx = make(data=data)
    with pytest.raises(PluginError, match="missing from its key"):  # the part that makes it does not ask
        ctx.artifact("rows", {}, lambda folder: _save(folder, ctx, tiny_encoder), code="cached_plugin.part")


def _save(folder: Path, ctx: JobContext, encoder: Path) -> None:
    np.save(folder / "x.npy", ctx.features("train", str(encoder)))
