"""A tiny causal language model for tests: random weights, a real tokenizer, loaded from disk as any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.testing.encoder import WORDS
from bench.testing.texts import SENTENCES

EOS = "<|endoftext|>"
VOCABULARY = 420  # 256 bytes, the end token, and merges of the commonest words


def build_tiny_generator(folder: Path, seed: int = 0, architecture: str = "gpt2", positions: int = 128) -> Path:
    """Write a random GPT-2 or Llama (4 layers, width 32) with a byte-level BPE tokenizer to `folder`.

    architecture: "gpt2" (learned positions, dropout 0.1) or "llama" (rotary positions, no dropout); heads are tied
    to the embeddings. Give its path where a parameter names a causal language model, so that a test needs no download.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    lines = [WORDS, *(line for topic in SENTENCES.values() for line in topic)]
    tokenizer.train_from_iterator(lines, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS, model_max_length=positions).save_pretrained(
        folder
    )
    end = tokenizer.token_to_id(EOS)
    shared: dict[str, Any] = {  # 0.02 at this width would make all texts equally likely
        "vocab_size": tokenizer.get_vocab_size(),
        "initializer_range": 0.2,
        "tie_word_embeddings": True,
        "bos_token_id": end,
        "eos_token_id": end,
    }
    model: Any
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if architecture == "gpt2":
            model = GPT2LMHeadModel(GPT2Config(n_layer=4, n_embd=32, n_head=4, n_positions=positions, **shared))
        elif architecture == "llama":
            model = LlamaForCausalLM(
                LlamaConfig(
                    hidden_size=32,
                    num_hidden_layers=4,
                    num_attention_heads=4,
                    num_key_value_heads=2,
                    intermediate_size=64,
                    max_position_embeddings=positions,
                    **shared,
                )
            )
        else:
            raise ValueError(f"no architecture '{architecture}': gpt2 or llama")
    model.save_pretrained(folder)
    return folder
