"""Small tasks, tiny models and tiny numbers for the tests of gen-distill."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.api import Split, TaskInfo, TrainData
from bench.data.assets import Assets
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.work.context import JobContext
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.parts import generator_part
from tests.learner_models import sentence

MakeContext = Callable[..., JobContext]
MakeParams = Callable[..., GenDistillParams]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """As the runner's workers do."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random GPT-2 with its tokenizer; read it, do not write to it."""
    from bench.testing import build_tiny_generator

    return build_tiny_generator(tmp_path_factory.mktemp("tiny-generator"))


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in Llama's architecture."""
    from bench.testing import build_tiny_generator

    return build_tiny_generator(tmp_path_factory.mktemp("tiny-llama"), architecture="llama")


def make_data(classes: int, rows: int, fields: tuple[str, ...]) -> TrainData:
    """`rows` train and rows/3 validation rows of topic sentences a class; a pair has both texts on one topic."""
    rng = random.Random(classes)
    splits = []
    for n in (rows, rows // 3):
        labels = np.arange(classes * n, dtype=np.int64) % classes
        splits.append(Split({name: [sentence(int(label), rng) for label in labels] for name in fields}, labels))
    return TrainData(TaskInfo("tiny", fields, tuple(f"class {c}" for c in range(classes))), *splits)


@pytest.fixture
def train_data() -> TrainData:
    """Sentence -> topic: 3 classes, 12 train and 4 validation rows each."""
    return make_data(3, 12, ("sentence",))


@pytest.fixture
def pair_data() -> TrainData:
    """Two sentences -> topic: 2 classes, 9 train and 3 validation rows each."""
    return make_data(2, 9, ("first", "second"))


def train(variants: Sequence[GenDistillParams], data: TrainData, ctx: JobContext) -> Mapping[int, Exception]:
    """Make the generators of all variants as the engine does, in one call a stage; errors by position."""
    from methods.gen_distill import stage1, stage2

    errors: dict[int, Exception] = {}
    chosen = [generator_part(params) for params in variants]
    for wanted, make in (("gen-distill-lm", stage1.make), ("gen-distill", stage2.make)):
        unique, mine = [], {}
        for number, part in enumerate(chosen):
            part = part if part.kind == wanted else next(iter(part.needs), part)
            if part.kind == wanted and number not in errors:
                if part not in unique:
                    unique.append(part)
                mine[number] = unique.index(part)
        found = make(unique, data, ctx) if unique else {}
        errors |= {number: found[place] for number, place in mine.items() if place in found}
    return errors


@pytest.fixture
def make_context(tmp_path: Path) -> MakeContext:
    """A function (data, seed=0) -> the engine's own context, offline; all of a test share one cache."""
    settings = Settings.make(cache=tmp_path / "cache", offline=True)
    assets, artifacts = Assets({}, settings), Artifacts(settings.cache)

    def make(data: TrainData | None = None, seed: int = 0) -> JobContext:
        identity = {"task": "test", "fields": list(data.info.fields) if data else []}
        return JobContext(assets, artifacts, seed=seed, data=data, task_identity=identity)

    return make


@pytest.fixture
def make_params(tiny_encoder: Path, tiny_generator: Path) -> MakeParams:
    """A function (changes) -> parameters with tiny numbers, encoder, learner and generator from local folders."""
    small: dict[str, Any] = {
        "encoder": str(tiny_encoder),
        "learner": str(tiny_encoder),
        "generator": str(tiny_generator),
        "max_length": 64,
        "scratch_layers": 2,
        "scratch_width": 32,
        "scratch_vocabulary": 300,
        "max_tokens": 40,
        "lm_steps": 6,
        "lm_batch": 8,
        "lm_learning_rate": 1e-3,
        "teacher_sets": 2,
        "outer_loops": 3,
        "inner_loop": 2,
        "learner_steps": 2,
        "real_batch": 6,
        "synthetic_batch": 4,
        "generation_interval": 4,
        "learning_rate": 1e-4,
        "learner_batch": 8,
        "over_sample": 3,
    }

    def make(**changes: Any) -> GenDistillParams:
        return GenDistillParams(**{**small, **changes})

    return make
