"""Tiny random causal language models of several architectures, in evaluation mode."""

from __future__ import annotations

from typing import Any

import transformers

from bench.learners.causal.model import CausalModel
from bench.learners.pretrained import own_rng

WINDOW = 8  # tokens that a sliding layer of the tiny Gemma sees
_SHARED: dict[str, Any] = {"vocab_size": 97, "initializer_range": 0.3}
_LLAMA: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 96,
    **_SHARED,
}


def _gpt2() -> Any:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_layer=2, n_embd=32, n_head=4, n_positions=96, **_SHARED)
    )


def _llama() -> Any:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**_LLAMA))


def _gemma3() -> Any:
    config = transformers.Gemma3TextConfig(
        head_dim=8,
        sliding_window=WINDOW,
        layer_types=["sliding_attention", "full_attention"],
        query_pre_attn_scalar=8,
        **_LLAMA,
    )
    return transformers.Gemma3ForCausalLM(config)


def _opt() -> Any:
    config = transformers.OPTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=48,
        word_embed_proj_dim=32,
        max_position_embeddings=96,
        vocab_size=97,
        init_std=0.3,
    )
    return transformers.OPTForCausalLM(config)


def _mamba() -> Any:
    config = transformers.MambaConfig(
        hidden_size=32, num_hidden_layers=2, state_size=4, vocab_size=97, initializer_range=0.3
    )
    return transformers.MambaForCausalLM(config)


MAKERS = {"gpt2": _gpt2, "llama": _llama, "gemma3": _gemma3, "opt": _opt, "mamba": _mamba}
CACHED = ["gpt2", "llama", "gemma3", "opt"]  # their caches hold keys and values


def make_lm(architecture: str) -> CausalModel:
    with own_rng(0, "cpu"):
        model: Any = MAKERS[architecture]()
    if not hasattr(model.config, "max_position_embeddings"):
        model.config.max_position_embeddings = 96
    return CausalModel(model.eval(), "cpu")
