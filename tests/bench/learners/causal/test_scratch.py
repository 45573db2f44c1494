"""The generator without pretraining: its tokenizer and its random weights."""

from __future__ import annotations

import random

import pytest
import torch

from bench.learners.causal.scratch import EOS, random_gpt2, train_tokenizer
from tests.learner_models import sentence

TEXTS = [sentence(topic, random.Random(number)) for number in range(20) for topic in range(3)]


def test_the_tokenizer_reads_everything_and_learns_words() -> None:
    tokenizer = train_tokenizer(TEXTS, 400)
    assert 257 < len(tokenizer) <= 400
    assert tokenizer.eos_token == EOS
    text = "Größe ✓\tof the 球\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"], clean_up_tokenization_spaces=False) == " " + text
    first, second = tokenizer("market market")["input_ids"]
    assert first == second  # one token wherever it stands
    assert train_tokenizer(TEXTS, 300).get_vocab() == train_tokenizer(TEXTS, 300).get_vocab()
    assert len(train_tokenizer(TEXTS, 300)) == 300


@pytest.mark.parametrize(("width", "heads"), [(16, 1), (64, 1), (144, 2), (256, 4), (208, 2)])
def test_random_weights_hang_on_the_seed_alone(width: int, heads: int) -> None:
    models = [random_gpt2(300, 0, 1, width, 16, seed) for seed in (4, 4, 5)]
    assert models[0].config.n_head == heads
    weights = [model.transformer.h[0].mlp.c_fc.weight for model in models]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert models[0].lm_head.weight is models[0].transformer.wte.weight
