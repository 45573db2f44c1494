"""Frozen-encoder features against transformers used one text at a time, and what must not leak in or out."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.api import UserError
from bench.data import encoders, features
from bench.data.encoders import load_encoder, load_model, max_positions, quiet, shared_encoder, tokenize
from bench.data.features import encode, encode_tokens

WORDS = ["the", "film", "is", "great", "dull", "team", "won", "profit", "fell", "xyz", "band,", "Not", "very."]
TOLERANCE = 1e-5  # of the largest entry: what the docstring of `encode` promises for CPU


def sentences(n: int, seed: int = 0, longest: int = 30) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=rng.integers(1, longest))) for _ in range(n)]


def one_at_a_time(
    folder: Path, texts: Mapping[str, Sequence[str]], fields: Sequence[str], max_length: int
) -> dict[str, np.ndarray]:
    """The definition: no batch, no padding, no shared code with the module under test."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows: dict[str, list[np.ndarray]] = {"cls": [], "mean": []}
    for columns in zip(*(texts[field] for field in fields), strict=True):
        inputs = tokenizer(*columns, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**inputs).last_hidden_state[0]
        rows["cls"].append(hidden[0].numpy())
        rows["mean"].append(hidden.mean(0).numpy())
    return {name: np.stack(values) for name, values in rows.items()}


def assert_close(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> None:
    for pooling in ("cls", "mean"):
        scale = np.abs(right[pooling]).max()
        np.testing.assert_allclose(left[pooling], right[pooling], rtol=0, atol=TOLERANCE * scale)


@pytest.mark.parametrize("fields", [("text",), ("first", "second")])
def test_equal_to_one_text_at_a_time(tiny_encoder: Path, fields: tuple[str, ...]) -> None:
    texts = {field: sentences(60, seed) for seed, field in enumerate(fields)}
    got = encode(tiny_encoder, texts, fields, max_length=40)
    assert {name: (array.shape, array.dtype) for name, array in got.items()} == {
        "cls": ((60, 32), np.float32),
        "mean": ((60, 32), np.float32),
    }
    assert_close(got, one_at_a_time(tiny_encoder, texts, fields, 40))


def test_pairs_are_not_concatenated_texts(tiny_encoder: Path) -> None:
    pair = encode(tiny_encoder, {"a": ["the film"], "b": ["is great"]}, ("a", "b"))
    swapped = encode(tiny_encoder, {"a": ["the film"], "b": ["is great"]}, ("b", "a"))
    joined = encode(tiny_encoder, {"a": ["the film is great"]}, ("a",))
    assert np.abs(pair["cls"] - swapped["cls"]).max() > 1e-3
    assert np.abs(pair["cls"] - joined["cls"]).max() > 1e-3


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(st.integers(0, 39), min_size=1, max_size=40), budget=st.sampled_from([1, 64, 300, 5000]))
def test_batch_mates_and_batch_size_do_not_matter(tiny_encoder: Path, rows: list[int], budget: int) -> None:
    pool = sentences(40, seed=3)
    whole = encode(tiny_encoder, {"text": pool}, ("text",))
    encoder = shared_encoder(tiny_encoder)
    tokens = tokenize(encoder.tokenizer, {"text": [pool[row] for row in rows]}, ("text",), 128)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(features.BATCH_TOKENS, "cpu", budget)
        part = encode_tokens(encoder, tokens)
    assert_close(part, {name: array[rows] for name, array in whole.items()})


def test_same_call_same_bits(tiny_encoder: Path) -> None:
    texts = {"text": sentences(50)}
    first, second = (encode(tiny_encoder, texts, ("text",)) for _ in range(2))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_max_length_cuts_texts(tiny_encoder: Path) -> None:
    long, short = "great " * 50, "great " * 6  # eight tokens: [CLS], six words, [SEP]
    cut = encode(tiny_encoder, {"text": [long]}, ("text",), max_length=8)
    assert_close(cut, encode(tiny_encoder, {"text": [short]}, ("text",)))


def test_texts_beyond_the_position_table_are_cut_to_it(tiny_encoder: Path) -> None:
    got = encode(tiny_encoder, {"text": ["great " * 500]}, ("text",), max_length=512)
    assert_close(got, encode(tiny_encoder, {"text": ["great " * 500]}, ("text",), max_length=128))


def test_no_text_gives_no_row(tiny_encoder: Path) -> None:
    got = encode(tiny_encoder, {"text": []}, ("text",))
    assert {name: array.shape for name, array in got.items()} == {"cls": (0, 32), "mean": (0, 32)}


def test_progress_counts_every_row_once(tiny_encoder: Path) -> None:
    calls: list[tuple[int, int]] = []
    encode(tiny_encoder, {"text": sentences(200)}, ("text",), progress=lambda done, total: calls.append((done, total)))
    done = [call[0] for call in calls]
    assert len(calls) > 1
    assert done == sorted(set(done))
    assert calls[-1] == (200, 200)


def test_global_generators_and_grad_mode_are_left_alone(tiny_encoder: Path) -> None:
    import random

    import torch

    before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()
    load_encoder(tiny_encoder)
    encode(tiny_encoder, {"text": sentences(5)}, ("text",))
    after = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()
    assert before == after
    assert torch.is_grad_enabled()


def test_loading_says_nothing_and_restores_settings(
    tiny_encoder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoConfig, BertForMaskedLM
    from transformers.utils import logging as hf_logging

    model = BertForMaskedLM(AutoConfig.from_pretrained(tiny_encoder))  # its head is reported as unexpected weights
    folder = save_with_tokenizer(model, tiny_encoder, tmp_path)
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    hf_logging.add_handler(handler)
    capfd.readouterr()
    hf_logging.enable_progress_bar()
    before = hf_logging.get_verbosity()
    load_encoder(folder)
    encode(folder, {"text": ["great " * 500]}, ("text",))
    with pytest.raises(ZeroDivisionError), quiet():
        raise ZeroDivisionError
    hf_logging.remove_handler(handler)
    assert not records
    assert capfd.readouterr() == ("", "")
    assert hf_logging.get_verbosity() == before
    assert hf_logging.is_progress_bar_enabled()


def test_loaded_encoders_are_shared_and_few(tiny_encoder: Path, tmp_path: Path) -> None:
    copies = [shutil.copytree(tiny_encoder, tmp_path / str(copy)) for copy in range(encoders.MEMO_SIZE)]
    first = shared_encoder(tiny_encoder)
    assert shared_encoder(Path(str(tiny_encoder) + "/.")) is first
    for folder in copies:
        shared_encoder(folder)
    assert len(encoders._memo) == encoders.MEMO_SIZE
    assert shared_encoder(tiny_encoder) is not first


@pytest.mark.parametrize("how", ["trained", "switched"])
def test_an_encoder_that_somebody_changed_is_loaded_again(tiny_encoder: Path, how: str) -> None:
    texts = {"text": ["a team and a goal", "the bank"]}
    before = encode(tiny_encoder, texts, ("text",))["mean"]
    model = shared_encoder(tiny_encoder).model
    if how == "trained":
        import torch

        with torch.no_grad():
            next(model.parameters()).add_(1.0)
    else:
        model.train()
    np.testing.assert_array_equal(encode(tiny_encoder, texts, ("text",))["mean"], before)


def test_weights_are_float32_in_evaluation_mode(tiny_encoder: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel

    shutil.copytree(tiny_encoder, tmp_path, dirs_exist_ok=True)
    AutoModel.from_pretrained(tiny_encoder, dtype=torch.bfloat16).save_pretrained(tmp_path)
    model = load_model(tmp_path)
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


class TestDamagedFolders:
    def damaged(self, tiny_encoder: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))

    def refused(self, folder: Path, match: str) -> None:
        with pytest.raises(UserError, match=match) as caught:
            encode(folder, {"text": ["x"]}, ("text",))
        assert "\n" not in str(caught.value)
        assert str(folder) in str(caught.value)

    def test_no_configuration(self, tiny_encoder: Path, tmp_path: Path) -> None:
        folder = self.damaged(tiny_encoder, tmp_path)
        (folder / "config.json").unlink()
        self.refused(folder, r"config\.json is missing")

    def test_only_pickled_weights(self, tiny_encoder: Path, tmp_path: Path) -> None:
        folder = self.damaged(tiny_encoder, tmp_path)
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        self.refused(folder, "no safetensors weights")

    def test_pickled_weights_beside_another_safetensors_file(self, tiny_encoder: Path, tmp_path: Path) -> None:
        import torch
        from safetensors.torch import load_file

        folder = self.damaged(tiny_encoder, tmp_path)
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").rename(folder / "adapter.safetensors")
        self.refused(folder, "no usable encoder")

    def test_truncated_weights(self, tiny_encoder: Path, tmp_path: Path) -> None:
        folder = self.damaged(tiny_encoder, tmp_path)
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
        self.refused(folder, "no usable encoder")

    def test_no_tokenizer(self, tiny_encoder: Path, tmp_path: Path) -> None:
        folder = self.damaged(tiny_encoder, tmp_path)
        for file in folder.glob("tokenizer*"):
            file.unlink()
        self.refused(folder, "no usable tokenizer")

    def test_damaged_tokenizer(self, tiny_encoder: Path, tmp_path: Path) -> None:
        folder = self.damaged(tiny_encoder, tmp_path)
        (folder / "tokenizer.json").write_text('{"version": "1.0"')
        self.refused(folder, "no usable tokenizer")

    def test_code_in_the_folder_is_not_run(self, tiny_encoder: Path, tmp_path: Path) -> None:
        folder = self.damaged(tiny_encoder, tmp_path)
        witness = tmp_path / "ran"
        (folder / "evil.py").write_text(f"open({str(witness)!r}, 'w')\nclass C: pass\n")
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.C"}}
        (folder / "config.json").write_text(json.dumps(config))
        self.refused(folder, "no usable encoder")
        assert not witness.exists()


def test_three_fields_are_refused(tiny_encoder: Path) -> None:
    with pytest.raises(UserError, match="one or two text fields"):
        encode(tiny_encoder, {"a": ["x"], "b": ["x"], "c": ["x"]}, ("a", "b", "c"))


def save_with_tokenizer(model: Any, tiny_encoder: Path, folder: Path) -> Path:
    for file in tiny_encoder.glob("tokenizer*"):
        shutil.copy(file, folder)
    model.save_pretrained(folder)
    return folder


def test_xlnet_cls_is_the_last_token_and_padding_changes_nothing(tiny_encoder: Path, tmp_path: Path) -> None:
    import torch
    from transformers import XLNetConfig, XLNetModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = XLNetModel(
            XLNetConfig(vocab_size=200, d_model=32, n_layer=2, n_head=4, d_inner=64, initializer_range=0.2)
        ).eval()
    folder = save_with_tokenizer(model, tiny_encoder, tmp_path)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    template = tokenizer["post_processor"]["single"]
    tokenizer["post_processor"]["single"] = template[1:] + template[:1]  # text [SEP] [CLS]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert max_positions(model) is None

    pool = sentences(20)
    got = encode(folder, {"text": pool}, ("text",))
    encoder = shared_encoder(folder)
    for row, text in enumerate(pool):
        ids = torch.tensor([encoder.tokenizer(text)["input_ids"]])
        assert ids[0, -1] == encoder.tokenizer.cls_token_id
        with torch.no_grad():
            hidden = model(input_ids=ids, token_type_ids=torch.tensor([encoder.tokenizer(text)["token_type_ids"]]))
        np.testing.assert_allclose(got["cls"][row], hidden.last_hidden_state[0, -1].numpy(), atol=1e-4)
        np.testing.assert_allclose(got["mean"][row], hidden.last_hidden_state[0].mean(0).numpy(), atol=1e-4)


def test_roberta_positions_start_after_the_padding_index(tiny_encoder: Path, tmp_path: Path) -> None:
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=200,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=22,
        type_vocab_size=2,
        pad_token_id=1,
    )
    model = RobertaModel(config)
    assert max_positions(model) == 20
    folder = save_with_tokenizer(model, tiny_encoder, tmp_path)
    assert encode(folder, {"text": ["great " * 90]}, ("text",))["cls"].shape == (1, 32)


def test_tokens_of_many_chunks_equal_tokens_of_one(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = shared_encoder(tiny_encoder).tokenizer
    texts = {"a": sentences(23, 1), "b": sentences(23, 2)}
    one = tokenize(tokenizer, texts, ("a", "b"), 32)
    monkeypatch.setattr(encoders, "TOKENIZE_ROWS", 5)
    many = tokenize(tokenizer, texts, ("a", "b"), 32)
    assert len(one) == len(many) == 23
    assert one.lengths().max() <= 32
    for row, (first, second) in enumerate(zip(*texts.values(), strict=True)):
        plain = tokenizer(first, second, truncation=True, max_length=32)
        for name in ("input_ids", "token_type_ids"):
            assert one.columns[name][row].tolist() == many.columns[name][row].tolist() == plain[name]


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, bench.data.features; print({'torch', 'transformers', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.slow
def test_real_minilm() -> None:
    from bench import plugins
    from bench.data.assets import Assets
    from bench.settings import Settings

    where = Settings.make()
    folder = Assets(plugins.load(where).assets, where).fetch("minilm")
    texts = {
        "text": ["A cat sits on the mat.", "A kitten is sitting on a rug.", "Shares fell sharply after the report."] * 9
    }
    got = encode(folder, texts, ("text",))
    assert_close(got, one_at_a_time(folder, texts, ("text",), 512))
    unit = got["mean"] / np.linalg.norm(got["mean"], axis=1, keepdims=True)
    assert unit[0] @ unit[1] > 0.5 > 0.2 > unit[0] @ unit[2]
