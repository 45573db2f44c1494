"""The tiny generators of the kit load as any other model and hang on their seed alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.testing import build_tiny_generator


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_tiny_generator(architecture: str, tmp_path: Path) -> None:
    state = torch.get_rng_state()
    folders = [build_tiny_generator(tmp_path / str(i), seed, architecture) for i, seed in enumerate((0, 0, 1))]
    assert torch.equal(torch.get_rng_state(), state)
    models = [AutoModelForCausalLM.from_pretrained(folder) for folder in folders]
    weights = [torch.cat([p.flatten() for p in model.parameters()]) for model in models]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    tokenizer = AutoTokenizer.from_pretrained(folders[0])
    assert len(tokenizer) == models[0].config.vocab_size
    assert tokenizer.eos_token == "<|endoftext|>"
    text = "The coach changed naïve plans."
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    assert tokenizer.decode(ids[0]) == text
    assert models[0](ids).logits.std(-1).min() > 0.5  # texts are not equally likely


def test_an_unknown_architecture(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no architecture 'rnn'"):
        build_tiny_generator(tmp_path, architecture="rnn")
