"""A small task, the engine's own context, tiny learners: for the tests of the baselines."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import Split, TaskInfo, TrainData
from bench.data.assets import Assets
from bench.learners.bert import BertNetwork
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.work.context import JobContext
from tests.learner_models import sentence

MakeContext = Callable[..., JobContext]
ROWS = (9, 12, 7)  # train rows of each class


def make_data(seed: int = 0, fields: tuple[str, ...] = ("text",)) -> TrainData:
    """Topic sentences of different lengths: 28 train rows in three classes, in no order, and 15 validation rows."""
    rng = random.Random(seed)
    splits = []
    for labels in (np.repeat(np.arange(3), ROWS), np.repeat(np.arange(3), 5)):
        mixed = np.random.default_rng(seed).permutation(labels).astype(np.int64)
        splits.append(Split({name: [sentence(int(label), rng) for label in mixed] for name in fields}, mixed))
    return TrainData(TaskInfo("tiny", fields, ("sport", "money", "law")), *splits)


@pytest.fixture
def data() -> TrainData:
    """One text field."""
    return make_data()


@pytest.fixture
def make_context(tmp_path: Path) -> MakeContext:
    """A function (data, seed) -> the engine's own context; all of a test share one cache."""
    settings = Settings.make(cache=tmp_path / "cache", offline=True)
    assets, artifacts = Assets({}, settings), Artifacts(settings.cache)

    def make(data: TrainData, seed: int = 0) -> JobContext:
        return JobContext(assets, artifacts, seed=seed, data=data, task_identity={"task": "tiny"})

    return make


@pytest.fixture
def tiny(tiny_encoder: Path) -> Mapping[str, Any]:
    """Parameters of learners that are the tiny encoder, and a grid of four points."""
    grid = {"learning_rates": (0.1, 0.5), "epochs": (1, 4), "heads": 1}
    return {"encoder": str(tiny_encoder), "positions": 6, **grid}


@pytest.fixture
def network(tiny_encoder: Path) -> BertNetwork:
    """The tiny encoder with its two top layers trained."""
    return BertNetwork(tiny_encoder, 3, "cpu", trainable_layers=2, dropout=None, max_length=512, identity={})


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """As the runner's workers do."""
    import torch

    torch.set_num_threads(1)
