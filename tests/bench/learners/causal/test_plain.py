"""Texts as plain ids, in any number."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.encoders import load_tokenizer
from bench.learners.causal import plain
from bench.testing.generator import EOS, build_tiny_generator


def test_special_tokens_that_a_text_spells_out_are_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = load_tokenizer(build_tiny_generator(tmp_path))
    texts = ["the film", f"a {EOS} b", "", "it was dull " * 200]
    found = plain.plain_ids(tokenizer, texts)
    assert [tokenizer.decode(ids) for ids in found] == texts
    assert not any(tokenizer.eos_token_id in ids for ids in found)
    assert tokenizer.eos_token_id in tokenizer(texts[1])["input_ids"]
    monkeypatch.setattr(plain, "TOKENIZE_ROWS", 2)
    assert plain.plain_ids(tokenizer, texts) == found
    assert plain.plain_ids(tokenizer, []) == []
