"""How many runs train at once: what fits by the estimate, fewer where that was too many, and what is learned of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.learners import width
from bench.learners.load import load_network
from bench.learners.width import Width, bytes_a_run, free_bytes
from tests.learner_models import make_set


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device with room for 1,000 bytes."""
    monkeypatch.setattr(width, "free_bytes", lambda device: 1000.0)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)


def up_to(most: int) -> tuple[list[int], object]:
    tried: list[int] = []

    def train(runs: int) -> int:
        tried.append(runs)
        if runs > most:
            raise torch.OutOfMemoryError("out of memory")
        return runs

    return tried, train


@pytest.mark.usefixtures("on_gpu")
def test_as_many_as_fit() -> None:
    for wanted, size, expected in ((8, 100, 8), (20, 100, 10), (20, 300, 3), (20, 5000, 1)):
        tried, train = up_to(64)
        assert Width().train(wanted, size, "cuda", train) == expected  # type: ignore[arg-type]
        assert tried == [expected]


@pytest.mark.usefixtures("on_gpu")
def test_what_did_not_fit_is_learned() -> None:
    """For sets of another size too."""
    chosen = Width()
    tried, train = up_to(3)
    assert chosen.train(64, 100, "cuda", train) == 2  # type: ignore[arg-type]
    assert tried == [10, 5, 2]
    tried, train = up_to(64)
    assert chosen.train(64, 100, "cuda", train) == 2  # type: ignore[arg-type]
    assert chosen.train(64, 50, "cuda", train) == 4  # type: ignore[arg-type]
    assert chosen.train(64, 400, "cuda", train) == 1  # type: ignore[arg-type]
    assert tried == [2, 4, 1]


@pytest.mark.usefixtures("on_gpu")
def test_where_not_one_fits_it_says_so() -> None:
    tried, train = up_to(0)
    with pytest.raises(torch.OutOfMemoryError):
        Width().train(4, 250, "cuda", train)  # type: ignore[arg-type]
    assert tried == [4, 2, 1]


def test_a_cpu_is_not_asked() -> None:
    assert free_bytes("cpu") is None
    _, train = up_to(64)
    assert Width().train(40, 10**15, "cpu", train) == 40  # type: ignore[arg-type]


@pytest.mark.parametrize("layers", [2, None])
def test_the_estimate_grows_with_what_is_trained_and_read(layers: int | None, tiny_encoder: Path) -> None:
    network = load_network(
        tiny_encoder, 3, "cpu", trainable_layers=layers, dropout=0.0, max_length=64, identity={"test": 1}
    )
    trained = sum(weight.numel() for weight in network.initial.trained.values())
    sizes = []
    for n in (1, 30, 60):
        distilled, _ = make_set(n, 3, seed=0)
        inputs = network.prepare(network.tokenize(distilled.texts, ("first",)))  # type: ignore[arg-type]
        sizes.append(bytes_a_run(network, inputs, 60))
        assert bytes_a_run(network, inputs, 1) <= sizes[-1]
    assert 16 * trained < sizes[0] <= sizes[1] <= sizes[2]
    assert np.isfinite(sizes).all()
