"""A small task, a tiny learner and random readings for the tests of scores."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import Split, TaskInfo, TrainData
from bench.data.assets import Assets
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.work.context import JobContext
from methods.scores.checkpoints import Checkpoint
from methods.scores.params import GradMatchParams
from tests.learner_models import _one_thread as _one_thread
from tests.learner_models import sentence

MakeContext = Callable[..., JobContext]
MakeParams = Callable[..., GradMatchParams]
SIZES = (9, 5, 7)  # train rows of each class


def random_checkpoints(n: int, classes: int, q: int, count: int, seed: int = 0) -> list[Checkpoint]:
    """Softmax errors of random logits and labels, and random inputs with a one at the end."""
    rng, found = np.random.default_rng(seed), []
    labels = rng.integers(classes, size=n)
    for _ in range(count):
        z = np.exp(2 * rng.standard_normal((n, classes)))
        errors = z / z.sum(1, keepdims=True) - np.eye(classes)[labels]
        inputs = np.concatenate([rng.standard_normal((n, q - 1)), np.ones((n, 1))], axis=1)
        found.append(Checkpoint(errors.astype(np.float32), inputs.astype(np.float32)))
    return found


def explicit(checkpoints: list[Checkpoint]) -> np.ndarray:
    """Gradients as vectors, float64 [n, T C q]: what the methods never form."""
    parts = [
        np.einsum("nc,nq->ncq", *(np.float64(each) for each in own)).reshape(len(own[0]), -1) for own in checkpoints
    ]
    return np.concatenate(parts, axis=1)


@pytest.fixture
def data() -> TrainData:
    """Sentence -> topic: 3 classes of 9, 5 and 7 train rows, mixed, and 3 validation rows of words of their own."""
    rng = random.Random(3)
    labels = np.random.default_rng(3).permutation(np.repeat(np.arange(3), SIZES))
    train = Split({"sentence": [sentence(int(label), rng) for label in labels]}, labels)
    validation = Split({"sentence": ["zebra"] * 3}, np.arange(3))
    return TrainData(TaskInfo("tiny", ("sentence",), ("class 0", "class 1", "class 2")), train, validation)


@pytest.fixture
def make_context(tmp_path: Path) -> MakeContext:
    """A function (data, seed=0) -> the engine's own context, offline; all of a test share one cache."""
    settings = Settings.make(cache=tmp_path / "cache", offline=True)
    assets, artifacts = Assets({}, settings), Artifacts(settings.cache)

    def make(data: TrainData, seed: int = 0) -> JobContext:
        return JobContext(assets, artifacts, seed=seed, data=data, task_identity={"task": "test"})

    return make


@pytest.fixture
def make_params(tiny_encoder: Path) -> MakeParams:
    """A function (changes) -> parameters with tiny numbers and a tiny learner."""

    def make(**changes: Any) -> GradMatchParams:
        small = {"learner": str(tiny_encoder), "learner_layers": 1, "max_length": 32, "runs": 2, "checkpoints": 2}
        return GradMatchParams(**{**small, "steps": 4, "batch": 8, "learning_rate": 1e-3, **changes})

    return make
