"""Tiny models of three architectures, a small task, the engine's own context: for tests of learners and students."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.api import DistilledSet, Queries, TaskInfo
from bench.data.assets import Assets
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.work.context import JobContext

TOPICS = (
    ["team", "won", "lost", "match", "goal", "player", "coach"],
    ["market", "shares", "bank", "profit", "prices", "growth", "sales"],
    ["minister", "party", "election", "vote", "law"],
)
FILLERS = ["the", "a", "of", "in", "and", "to", "is", "was", "it", "this", "that", "not", "very", "too", "more", "than"]

MakeContext = Callable[..., JobContext]


@pytest.fixture
def context(tmp_path: Path) -> MakeContext:
    """A function (seed, queries) -> context, all on one cache."""
    settings = Settings.make(cache=tmp_path / "cache", offline=True)
    assets, artifacts = Assets({}, settings), Artifacts(settings.cache)

    def make(seed: int = 0, queries: Queries | None = None) -> JobContext:
        return JobContext(assets, artifacts, seed=seed, data=queries, task_identity={"task": "test"})

    return make


def sentence(topic: int, rng: random.Random) -> str:
    words = [*rng.choices(TOPICS[topic], k=3), *rng.choices(FILLERS, k=rng.randint(1, 9))]
    rng.shuffle(words)
    return " ".join(words)


def make_set(n: int, classes: int, seed: int, fields: int = 1) -> tuple[DistilledSet, Queries]:
    """n training sentences (or pairs) of different lengths, labelled by topic, and 3 n queries like them."""
    rng = random.Random(seed)
    names = ("first", "second")[:fields]
    labels = np.array([i % classes for i in range(4 * n)], dtype=np.int64)
    texts = {name: [sentence(int(label), rng) for label in labels] for name in names}
    info = TaskInfo("test", names, tuple(f"class {c}" for c in range(classes)))
    train = DistilledSet(labels=labels[:n], texts={name: column[:n] for name, column in texts.items()})
    return train, Queries(info, {name: column[n:] for name, column in texts.items()})


def gold(n: int, classes: int) -> np.ndarray:
    """Labels of the queries of `make_set(n, classes, ...)`."""
    return np.array([i % classes for i in range(4 * n)], dtype=np.int64)[n:]


def _save(model: object, tokenizer_of: Path, folder: Path) -> Path:
    model.save_pretrained(folder)  # type: ignore[attr-defined]
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer_of / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def tiny_roberta(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random RoBERTa (4 layers) with the tiny encoder's tokenizer."""
    import torch
    from transformers import AutoTokenizer, RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=len(AutoTokenizer.from_pretrained(tiny_encoder)),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        type_vocab_size=2,
        pad_token_id=0,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = RobertaModel(config, add_pooling_layer=False)
    return _save(model, tiny_encoder, tmp_path_factory.mktemp("tiny-roberta"))


@pytest.fixture(scope="session")
def tiny_xlnet(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random XLNet (3 layers) with the tiny encoder's tokenizer."""
    import torch
    from transformers import AutoTokenizer, XLNetConfig, XLNetModel

    config = XLNetConfig(
        vocab_size=len(AutoTokenizer.from_pretrained(tiny_encoder)),
        d_model=32,
        n_layer=3,
        n_head=4,
        d_inner=64,
        initializer_range=0.2,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = XLNetModel(config)
    folder = _save(model, tiny_encoder, tmp_path_factory.mktemp("tiny-xlnet"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "padding_side": "left"}))  # as XLNet's own
    return folder


@pytest.fixture(scope="session")
def tiny_mpnet(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random MPNet (4 layers, relative positions) with the tiny encoder's tokenizer."""
    import torch
    from transformers import AutoTokenizer, MPNetConfig, MPNetModel

    config = MPNetConfig(
        vocab_size=len(AutoTokenizer.from_pretrained(tiny_encoder)),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        pad_token_id=0,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = MPNetModel(config, add_pooling_layer=False)
    return _save(model, tiny_encoder, tmp_path_factory.mktemp("tiny-mpnet"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """As the runner's workers do."""
    import torch

    torch.set_num_threads(1)
