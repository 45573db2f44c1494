"""A prefix that is run once gives what whole sequences give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.learners.causal.model import CausalModel
from bench.learners.causal.prefix import Prefix, shares_prefixes
from tests.learner_lms import CACHED, MAKERS, WINDOW, make_lm


def whole(model: CausalModel, prefix: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Last hidden states of one unpadded sequence by the model's own forward pass, after the prefix."""
    ids = torch.from_numpy(np.concatenate([prefix, rest]))[None]
    with torch.no_grad():
        found = model.model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0, len(prefix) :]
    return np.asarray(found)


def rows(seed: int, *lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(3, 97, length) for length in lengths]


@pytest.mark.parametrize("architecture", [*MAKERS])
@pytest.mark.parametrize("length", [0, 1, 5, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW])
def test_continuations_are_what_whole_sequences_give(architecture: str, length: int) -> None:
    model = make_lm(architecture)
    (ids,) = rows(0, length)
    prefix = Prefix(model, ids, shared=shares_prefixes(model))
    for seed, lengths in enumerate([(3, 12, 1, 7), (20, 2), (4,)]):  # several batches, none leaves a trace in the next
        given = rows(seed + 1, *lengths)
        for rest, found in zip(given, prefix.hidden(given), strict=True):
            assert found.shape == (len(rest), 32)
            np.testing.assert_allclose(found, whole(model, ids, rest), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("architecture", [*MAKERS])
def test_which_models_share_prefixes(architecture: str) -> None:
    assert shares_prefixes(make_lm(architecture)) is (architecture in CACHED)


def test_a_cache_that_gives_something_else_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_lm("llama")
    real = CausalModel.hidden

    def off_by_one(self, ids, cache=None):  # type: ignore[no-untyped-def]
        if cache is not None:
            for layer in cache.layers:
                layer.keys = layer.keys.roll(1, -2)
        return real(self, ids, cache)

    monkeypatch.setattr(CausalModel, "hidden", off_by_one)
    assert not shares_prefixes(model)


def test_batches_are_limited_by_the_memory_of_their_copies() -> None:
    model = make_lm("gpt2")
    (ids,) = rows(0, 40)
    size = 2 * 2 * 40 * 32 * 4  # layers, keys and values, tokens, width, bytes
    assert Prefix(model, ids).rows == (128 << 20) // size
    assert Prefix(model, ids, shared=False).rows is None
    assert Prefix(model, ids[:0]).rows is None
