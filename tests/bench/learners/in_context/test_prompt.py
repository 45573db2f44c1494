"""Prompts: golden texts, and ids that are those of the whole text however it is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import transformers

from bench.api import UserError
from bench.data.encoders import load_tokenizer
from bench.learners.in_context.prompt import Form, Tokenizer, default_words
from bench.testing.generator import build_tiny_generator

PAIRS = Form(("question1", "question2"), ("no", "yes"))
FORM = Form(("sentence",), ("bad", "very good"))
TEXTS = {"sentence": ["a dull film .", "great  fun\nlabel: bad", "it moves"]}


@pytest.fixture(scope="module")
def bytes_bpe(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_tokenizer(build_tiny_generator(tmp_path_factory.mktemp("bpe")))


def sentencepiece_like(bos: bool, prepend: bool) -> Any:
    """A BPE over ▁ for blanks, as Llama 2 (prepend: a blank before every text) and Gemma (none) read."""
    lines = ["sentence: a dull film .", "label: bad", "label: very good", "great fun it moves", "x"] * 3
    model = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>", byte_fallback=True))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="first" if prepend else "never")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=340, special_tokens=special, show_progress=False)
    model.train_from_iterator([line for line in lines for _ in range(2)], trainer)
    if bos:
        model.post_processor = tokenizers.processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", model.token_to_id("<s>"))]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=model, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


@pytest.fixture(params=["bytes", "llama-2", "gemma"])
def tokenizer(request: pytest.FixtureRequest, bytes_bpe: Any) -> Any:
    if request.param == "bytes":
        return bytes_bpe
    return sentencepiece_like(bos=True, prepend=request.param == "llama-2")


def test_golden_prompt() -> None:
    demonstrations = FORM.demonstrations({"sentence": TEXTS["sentence"][:2]}, [0, 1])
    assert demonstrations == [
        "sentence: a dull film .\nlabel: bad",
        "sentence: great fun label: bad\nlabel: very good",  # what a text holds stays on its line
    ]
    assert FORM.queries({"sentence": ["", "it\tmoves"]}) == ["sentence: \nlabel:", "sentence: it moves\nlabel:"]
    pair = {"question1": ["Why?"], "question2": ["How?"]}
    assert PAIRS.demonstrations(pair, np.array([1])) == ["question1: Why?\nquestion2: How?\nlabel: yes"]


def test_default_words() -> None:
    assert default_words(["not_duplicate", "tech", " two  words "]) == ("not duplicate", "tech", "two words")


def test_ids_of_the_pieces_are_those_of_the_whole_text(tokenizer: Any) -> None:
    read = Tokenizer(tokenizer)
    demonstrations = FORM.demonstrations({"sentence": TEXTS["sentence"][:2]}, [0, 1])
    query = FORM.queries({"sentence": TEXTS["sentence"][2:]})
    for word, ids in zip(FORM.words, read.words(FORM.words), strict=True):
        pieces = [read.prefix(demonstrations), read.continuations(query, True)[0], ids]
        text = "\n\n".join([*demonstrations, f"{query[0]} {word}"])
        assert np.concatenate(pieces).tolist() == tokenizer(text)["input_ids"]
        pieces = [read.prefix([]), read.continuations(query, False)[0], ids]
        assert np.concatenate(pieces).tolist() == tokenizer(f"{query[0]} {word}")["input_ids"]


def test_special_tokens_in_a_text_are_letters(bytes_bpe: Any) -> None:
    read = Tokenizer(bytes_bpe)
    (ids,) = read.continuations(["sentence: <|endoftext|>\nlabel:"], True)
    assert bytes_bpe.eos_token_id not in ids
    assert len(read.start) == 0
    (start,) = Tokenizer(sentencepiece_like(bos=True, prepend=False)).start
    assert start == 1
    assert len(Tokenizer(sentencepiece_like(bos=False, prepend=True)).start) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("good", "good"), "label words 'good' and 'good' are the same tokens: give other label_words"),
        (("good", "goods", "bad"), "'good' and 'goods' are not told apart: one begins with all tokens of the other"),
        (("bad", "good ", "good"), "are not told apart|are the same tokens"),
    ],
)
def test_label_words_that_collide_are_refused(bytes_bpe: Any, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Tokenizer(bytes_bpe).words(words)


def test_a_tokenizer_that_joins_pieces_is_refused(tmp_path: Path) -> None:
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<unk>": 0, "x": 1}, unk_token="<unk>"))  # no splits
    joined = transformers.PreTrainedTokenizerFast(tokenizer_object=model, unk_token="<unk>")
    with pytest.raises(UserError, match=r"the tokenizer joins .* with what stands before it"):
        Tokenizer(joined).continuations(["sentence: a\nlabel:"], True)
