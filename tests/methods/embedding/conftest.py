"""A tiny task and encoder for the embedding-level methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.api import Split, TaskInfo, TrainData
from bench.data.assets import Assets
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.work.context import JobContext
from methods.embedding.params import UnrolledParams
from tests.learner_models import _one_thread, make_set

__all__ = ["_one_thread"]

MakeParams = Callable[..., UnrolledParams]


@pytest.fixture(scope="session")
def data() -> TrainData:
    train, validation = (make_set(24, 3, seed=seed)[0] for seed in (0, 1))
    info = TaskInfo("topics", ("first",), ("sport", "money", "law"))
    return TrainData(info, *(Split(each.texts or {}, each.labels) for each in (train, validation)))


@pytest.fixture
def ctx(tmp_path: Path, data: TrainData) -> JobContext:
    settings = Settings.make(cache=tmp_path / "cache", offline=True)
    return JobContext(Assets({}, settings), Artifacts(settings.cache), seed=3, data=data)


@pytest.fixture
def params(tiny_encoder: Path) -> MakeParams:
    def make(**changes: Any) -> UnrolledParams:
        small = {
            "encoder": str(tiny_encoder),
            "trainable_layers": 1,
            "space": "states",
            "positions": 4,
            "start": "rows",
            "labels": "soft",
            "epochs": 2,
            "step_size": 0.2,
            "outer_steps": 6,
            "batch": 8,
            "learning_rate": 0.05,
            "evaluate_every": 2,
            "validation_nets": 1,
        }
        return UnrolledParams(**(small | changes))

    return make
