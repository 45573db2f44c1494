"""The registration: light to import, complete, and every parameter and file in the identity."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bench.api import Task
from bench.data.assets import Assets
from bench.identities import identity
from bench.selection import Choice
from bench.settings import Settings
from bench.store.identity import key_of
from tasks import plugin
from tests.tasks.conftest import SPECS
from tests.tasks.test_glue import write

ASSETS = {asset.name: asset for asset in plugin.bench_assets()}


def key(name: str, settings: Settings, **params: Any) -> str:
    """The revision of a task with these parameters."""
    spec = SPECS[name]
    return key_of(identity(Choice(spec, spec.params(**{**spec.preset, **params}), name), Assets(ASSETS, settings)))


def test_registering_imports_nothing_heavy() -> None:
    code = (
        "import sys, tasks.plugin; tasks.plugin.bench_tasks(), tasks.plugin.bench_assets()\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pandas', 'pyarrow', 'numpy', 'sklearn'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", SPECS)
def test_target_and_assets_exist(name: str) -> None:
    spec = SPECS[name]
    module, _, target = spec.target.partition(":")
    assert issubclass(getattr(importlib.import_module(module), target), Task)
    if name != "table":
        assert set(spec.assets(spec.params(**spec.preset))) <= set(ASSETS)


def test_assets_are_pinned_and_licensed() -> None:
    for asset in ASSETS.values():
        assert len(asset.sha256) == 64 if asset.wheel else len(asset.revision) == 40
        assert asset.licence
        assert asset.summary


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("bbc", {"train_rows": 100}),
        ("bbc", {"max_words": 17}),
        ("rt", {"test_rows": None}),
        ("bbc-pairs", {"seed": 1}),
        ("bbc-pairs", {"pair": "sentences"}),
        ("sst2", {"validation_rows": 999}),
    ],
)
def test_every_parameter_changes_the_revision(tmp_path: Path, name: str, params: dict[str, Any]) -> None:
    settings = Settings.make(cache=tmp_path)
    assert key(name, settings, **params) != key(name, settings)
    assert key(name, Settings.make(cache=tmp_path / "elsewhere")) == key(name, settings)


def test_revision_of_a_table_follows_its_content_and_not_its_folder(tmp_path: Path) -> None:
    settings = Settings.make(cache=tmp_path)
    rows = [{"text": "a", "label": 0}]
    for folder in ("one", "two"):
        write(tmp_path / folder / "x.jsonl", rows)
    one, two = str(tmp_path / "one" / "x.jsonl"), str(tmp_path / "two" / "x.jsonl")
    first = key("table", settings, path=one)
    assert key("table", settings, path=two) == first
    assert key("table", settings, path=one, test=two) != first
    write(Path(one), [*rows, {"text": "b", "label": 1}])
    assert key("table", settings, path=one) != first


def test_revision_of_glue_follows_the_local_files(tmp_path: Path) -> None:
    hub = key("sst2", Settings.make(cache=tmp_path))
    local = Settings.make(cache=tmp_path, data_dir=tmp_path)
    write(tmp_path / "sst2" / "train.jsonl", [{"sentence": "a", "label": 0}])
    first = key("sst2", local)
    assert first != hub
    write(tmp_path / "sst2" / "train.jsonl", [{"sentence": "b", "label": 0}])
    assert key("sst2", local) not in {first, hub}


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("bbc", {"train_rows": 0}),
        ("bbc", {"rows": 5}),
        ("bbc", {"min_words": 20, "max_words": 10}),
        ("table", {}),
        ("table", {"path": "x.csv", "text": ["a", "b", "c"]}),
        ("table", {"path": "x.csv", "test_fraction": 0.5, "validation_fraction": 0.5}),
    ],
)
def test_bad_parameters_are_refused(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SPECS[name].params(**{**SPECS[name].preset, **params})
