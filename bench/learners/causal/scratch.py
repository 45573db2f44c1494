"""A generator without pretraining: a byte-level BPE of the train texts and a random GPT-2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from bench.learners.pretrained import own_rng

EOS = "<|endoftext|>"
HEAD_WIDTH = 64
DROPOUT = 0.1


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """A tokenizer of at most `vocabulary` tokens: 256 bytes, the end token, and merges learnt from the texts.

    A text's first word is read like any other word, with a blank before it.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS)


def random_gpt2(vocabulary: int, eos: int, layers: int, width: int, positions: int, seed: int) -> Any:
    """A GPT-2 with random weights, drawn from `seed` alone; dropout 0.1."""
    heads = max(1, width // HEAD_WIDTH)
    while width % heads:  # a width of 144 has 2 heads of 72
        heads -= 1
    config = transformers.GPT2Config(
        vocab_size=vocabulary,
        n_layer=layers,
        n_embd=width,
        n_head=heads,
        n_positions=positions,
        activation_function="gelu_pytorch_tanh",  # the function of GPT-2's gelu_new in one kernel
        embd_pdrop=DROPOUT,
        attn_pdrop=DROPOUT,
        resid_pdrop=DROPOUT,
        bos_token_id=eos,
        eos_token_id=eos,
    )
    with own_rng(seed, "cpu"):
        return transformers.GPT2LMHeadModel(config)
