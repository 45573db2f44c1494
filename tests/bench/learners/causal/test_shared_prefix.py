"""A prompt's keys and values for many rows: the logits of whole sequences, also beyond a sliding window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from bench.learners.causal.model import CausalModel
from bench.learners.causal.shared_prefix import SharedPrefix

VOCABULARY, WINDOW = 50, 8
GEMMA = {"head_dim": 16, "sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"] * 2}


@pytest.fixture(scope="module", params=["gpt2", "llama", "gemma3"])
def model(request: pytest.FixtureRequest) -> CausalModel:
    """Four random layers; Llama and Gemma 3 share keys between heads, every second layer of Gemma 3 has a window."""
    size: dict[str, Any] = {"vocab_size": VOCABULARY, "initializer_range": 0.2, "max_position_embeddings": 96}
    layers: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
    layers |= {"num_key_value_heads": 2, "intermediate_size": 64}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        if request.param == "gpt2":
            size["n_positions"] = size.pop("max_position_embeddings")
            return CausalModel(GPT2LMHeadModel(GPT2Config(n_layer=4, n_embd=32, n_head=4, **size)), "cpu")
        if request.param == "llama":
            return CausalModel(LlamaForCausalLM(LlamaConfig(**layers, **size)), "cpu")
        return CausalModel(Gemma3ForCausalLM(Gemma3TextConfig(**layers, **size, **GEMMA)), "cpu")


def whole(model: CausalModel, ids: np.ndarray) -> torch.Tensor:
    """Logits after every token of ids [B, L], by one forward pass of transformers without a cache: [B, L, V]."""
    with torch.no_grad():
        found: torch.Tensor = model.model(input_ids=torch.from_numpy(ids), use_cache=False).logits
    return found


def steps(model: CausalModel, cache: Any, ids: np.ndarray, pieces: list[int]) -> tuple[torch.Tensor, Any]:
    """Logits at the end of each piece of ids [B, L], one after another from a cache: [B, pieces, V]."""
    found, start = [], 0
    with torch.inference_mode():
        for length in pieces:
            logits, cache = model.next_logits(torch.from_numpy(ids[:, start : start + length]), cache)
            found.append(logits.clone())
            start += length
    return torch.stack(found, 1), cache


@pytest.mark.parametrize("length", [1, WINDOW - 2, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW, 40])
@pytest.mark.parametrize("piece", [1, 3])
def test_logits_are_those_of_the_whole_sequence(model: CausalModel, length: int, piece: int) -> None:
    rng = np.random.default_rng(length)
    prompt, rows = rng.integers(0, VOCABULARY, length), rng.integers(0, VOCABULARY, (3, 24))
    with torch.inference_mode():
        prefix = SharedPrefix(model, prompt)
    found, _ = steps(model, prefix.cache(3), rows, [piece] * (24 // piece))
    expected = whole(model, np.concatenate([np.tile(prompt, (3, 1)), rows], axis=1))
    torch.testing.assert_close(found, expected[:, length + piece - 1 :: piece], rtol=1e-4, atol=1e-4)


def test_a_prefix_serves_batch_after_batch(model: CausalModel) -> None:
    """What one batch does with its cache changes neither the next one nor one that is under way."""
    rng = np.random.default_rng(1)
    prompt, rows = rng.integers(0, VOCABULARY, 20), rng.integers(0, VOCABULARY, (5, 12))
    with torch.inference_mode():
        prefix = SharedPrefix(model, prompt)
    under_way = prefix.cache(5)
    first, _ = steps(model, prefix.cache(5), rows, [1] * 12)
    steps(model, prefix.cache(2), rows[:2, ::-1].copy(), [12])
    again, _ = steps(model, under_way, rows, [1] * 12)
    assert torch.equal(first, again)
    assert prefix.length == 20


def test_rows_leave(model: CausalModel) -> None:
    rng = np.random.default_rng(2)
    prompt, rows = rng.integers(0, VOCABULARY, 13), rng.integers(0, VOCABULARY, (4, 14))
    with torch.inference_mode():
        prefix = SharedPrefix(model, prompt)
    _, cache = steps(model, prefix.cache(4), rows[:, :5], [1] * 5)
    kept = torch.tensor([3, 1])
    found, _ = steps(model, model.keep(cache, kept), rows[kept.numpy(), 5:], [1] * 9)
    expected = whole(model, np.concatenate([np.tile(prompt, (2, 1)), rows[[3, 1]]], axis=1))
    torch.testing.assert_close(found, expected[:, 18:], rtol=1e-4, atol=1e-4)


def test_the_window_counts() -> None:
    """The comparison sees a sliding window: without it the same Gemma 3 has other logits."""
    config: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
    config |= {"num_key_value_heads": 2, "intermediate_size": 64, "vocab_size": VOCABULARY, "initializer_range": 0.2}
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (1, 30))
    found = []
    for window in (WINDOW, 64):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            model = CausalModel(
                Gemma3ForCausalLM(Gemma3TextConfig(**config, **{**GEMMA, "sliding_window": window})), "cpu"
            )
        found.append(whole(model, ids))
    torch.testing.assert_close(found[0][:, :WINDOW], found[1][:, :WINDOW])
    assert not torch.allclose(found[0][:, WINDOW:], found[1][:, WINDOW:], atol=1e-2)
