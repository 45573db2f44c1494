"""Loading base models: GGUF conversion, and one line for what is no causal language model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertLMHeadModel, LlamaForCausalLM

from bench.api import UserError
from bench.learners.causal import loading
from bench.learners.causal.loading import load_base
from tests.methods.gen_distill.conftest import MakeContext


def write_gguf(source: Path, file: Path) -> None:
    """A tiny Llama as a float32 GGUF file, written with the format's own package."""
    import gguf

    model = LlamaForCausalLM.from_pretrained(source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    config = model.config
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    bpe = json.loads((source / "tokenizer.json").read_text())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_bos_token_id(tokenizer.eos_token_id)

    def turned(weight: torch.Tensor, heads: int) -> torch.Tensor:  # the format keeps rotary halves interleaved
        rows, columns = weight.shape
        return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)

    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"}
    names |= {"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up"}
    names |= {"mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    tensors = {"token_embd": model.model.embed_tokens.weight, "output_norm": model.model.norm.weight}
    for number, layer in enumerate(model.model.layers):
        for name, short in names.items():
            tensors[f"blk.{number}.{short}"] = layer.get_submodule(name).weight
    for name, tensor in tensors.items():
        if "attn_q" in name or "attn_k" in name:
            tensor = turned(tensor, config.num_attention_heads if "_q" in name else config.num_key_value_heads)
        writer.add_tensor(f"{name}.weight", tensor.detach().numpy().astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_gguf(
    tiny_llama: Path,
    tmp_path: Path,
    make_context: MakeContext,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("accelerate")
    folder = tmp_path / "with gguf"
    folder.mkdir()
    write_gguf(tiny_llama, folder / "tiny.gguf")
    (folder / "__init__.py").touch()
    capfd.readouterr()
    model, tokenizer = load_base(str(folder), make_context())
    assert capfd.readouterr().err == ""
    plain = LlamaForCausalLM.from_pretrained(tiny_llama).eval()
    ids = torch.tensor([tokenizer("the bank won")["input_ids"]])
    assert ids.tolist() == [AutoTokenizer.from_pretrained(tiny_llama)("the bank won")["input_ids"]]
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, plain(ids).logits)
    assert tokenizer.eos_token == "<|endoftext|>"
    assert model.dtype == torch.float32

    monkeypatch.setattr(loading, "convert", None)  # the second time the converted model is read
    again, _ = load_base(str(folder), make_context())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_gguf_needs_its_packages(tmp_path: Path, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.gguf").touch()
    with pytest.raises(UserError, match="no usable causal language model in") as caught:
        load_base(str(tmp_path / "model"), make_context())
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(loading, "find_spec", lambda name: None if name == "gguf" else object())
    with pytest.raises(UserError, match=r"needs the packages gguf and accelerate: pip install gguf$"):
        load_base(str(tmp_path / "model"), make_context())


def test_what_is_no_generator(
    tiny_encoder: Path, tiny_generator: Path, tmp_path: Path, make_context: MakeContext
) -> None:
    both_ways = tmp_path / "both ways"
    config = BertConfig.from_pretrained(tiny_encoder)
    with torch.random.fork_rng(devices=[]):
        BertLMHeadModel(config).save_pretrained(both_ways)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_encoder / name, both_ways / name)
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_generator, damaged)
    (damaged / "model.safetensors").write_bytes(b"no tensors")
    pickled = tmp_path / "pickled"
    shutil.copytree(tiny_generator, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    cases = {
        tiny_encoder: "is no causal language model: its file lacks",
        both_ways: "is no causal language model: it reads the tokens that come after",
        damaged: "no usable causal language model in",
        pickled: r"has no weights in safetensors format \(pickled weights are not read\) and 0 GGUF files",
        tiny_generator / "config.json": "is a file: name the folder of a model",
    }
    for where, said in cases.items():
        with pytest.raises(UserError, match=said) as caught:
            load_base(str(where), make_context())
        assert "\n" not in str(caught.value)


def test_softcapped_logits_are_refused(tmp_path: Path, tiny_generator: Path, make_context: MakeContext) -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    with torch.random.fork_rng(devices=[]):
        config = Gemma2Config(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            head_dim=16,
            final_logit_softcapping=0.5,
            initializer_range=1.0,
        )
        Gemma2ForCausalLM(config).save_pretrained(tmp_path / "capped")
    with pytest.raises(UserError, match="logits that are no linear layer on the hidden states are not supported"):
        load_base(str(tmp_path / "capped"), make_context())
