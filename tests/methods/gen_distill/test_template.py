"""The template: documented ids, truncation, parsing, round trips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.api import UserError
from bench.data.encoders import load_tokenizer
from methods.gen_distill.template import Template

FIELDS = ("first", "second")


@pytest.fixture(scope="module")
def tokenizer(tiny_generator: Path) -> Any:
    return load_tokenizer(tiny_generator)


def template_of(tokenizer: Any, fields: int = 1, classes: int = 2, blanks: bool = False) -> Template:
    return Template(tokenizer, len(tokenizer), classes, fields, blanks)


def encode(template: Template, *texts: str, label: int = 0) -> list[int]:
    columns = {name: [text] for name, text in zip(FIELDS, texts, strict=False)}
    return template.encode(columns, tuple(columns), np.array([label]))[0].tolist()


def ids(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    return found


def test_ids_of_a_single_text(tokenizer: Any) -> None:
    template = template_of(tokenizer, classes=3)
    size = len(tokenizer)
    assert template.bos == (size, size + 1, size + 2)
    assert template.sep is None
    assert template.size == size + 3
    wanted = [size + 2, *ids(tokenizer, "The bank won"), tokenizer.eos_token_id]
    assert encode(template, " The bank won\n", label=2) == wanted


def test_ids_of_a_pair(tokenizer: Any) -> None:
    template = template_of(tokenizer, 2)
    size = len(tokenizer)
    assert (template.sep, template.bos) == (size, (size + 1, size + 2))
    wanted = [size + 1, *ids(tokenizer, "good"), size, *ids(tokenizer, "bad film"), tokenizer.eos_token_id]
    assert encode(template, "good", "bad film ") == wanted


def test_blanks_are_where_the_reference_has_them(tokenizer: Any) -> None:
    """Against the tokenizer's own reading of the whole string, with the new tokens made known to it."""
    tokenizer = load_tokenizer(Path(tokenizer.name_or_path))  # of its own: it learns new tokens
    template = template_of(tokenizer, 2, blanks=True)
    found = encode(template, "a true  delight", "not so", label=1)
    tokenizer.add_tokens(["<sep>", "<bos_0>", "<bos_1>"])
    whole = "<bos_1> a true  delight <sep> not so <|endoftext|>"
    assert found == tokenizer(whole, add_special_tokens=False, split_special_tokens=False)["input_ids"]
    blank = tokenizer.convert_tokens_to_ids("Ġ")
    assert found[-2] == found[found.index(template.sep) - 1] == blank
    assert template.parse(np.array(found[1:])) == ("a true  delight", "not so")


def test_a_text_cannot_spell_out_a_special_token(tokenizer: Any) -> None:
    template = template_of(tokenizer, 2)
    texts = ("a <sep> b <|endoftext|> c", "<bos_0> <|endoftext|>")
    found = encode(template, *texts)
    assert found.count(template.sep) == found.count(template.eos) == 1
    assert template.parse(np.array(found[1:])) == texts


@pytest.mark.parametrize(
    ("pieces", "with_two", "with_one"),
    [
        (["good"], None, ("good",)),
        ([" good", " bad "], ("good", "bad"), None),
        (["good", "bad", "film"], ("good", "bad"), None),
        (["good", "bad", "film", "plot"], ("good", "bad"), None),
        (["good", ""], None, None),
        ([" ", "bad"], None, None),
        (["", "good", "bad"], None, None),
        (["good", "bad", ""], ("good", "bad"), None),
        ([""], None, None),
        ([" \n"], None, None),
    ],
)
def test_parsing(tokenizer: Any, pieces: list[str], with_two: Any, with_one: Any) -> None:
    """Property 20: 0, 1, 2 and 3 separators, empty pieces; with and without the end token."""
    template = template_of(tokenizer, 2)
    sampled: list[int] = []
    for piece in pieces:
        sampled += [*ids(tokenizer, piece), template.sep or 0]
    sampled = sampled[:-1]
    assert template.parse(np.array(sampled, dtype=np.int64)) == with_two
    assert template.parse(np.array([*sampled, template.eos, *sampled])) == with_two
    if len(pieces) == 1:
        assert template_of(tokenizer).parse(np.array([*sampled, template.eos])) == with_one


@given(st.text(min_size=1).filter(lambda text: text.strip()))
def test_round_trip(tokenizer: Any, text: str) -> None:
    """Property 22: any text comes back, and sampled ids settle after one decoding."""
    for blanks in (False, True):
        template = template_of(tokenizer, blanks=blanks)
        once = encode(template, text)
        assert template.parse(np.array(once[1:])) == (text.strip(),)
        sampled = np.random.default_rng(len(text)).integers(1, len(tokenizer), 12)
        decoded = template.parse(sampled)
        if decoded is not None:
            again = template.parse(np.array(encode(template, *decoded)[1:]))
            assert again == decoded


@given(st.integers(1, 12), st.integers(1, 12), st.integers(5, 30))
def test_a_cut_pair(tokenizer: Any, first: int, second: int, limit: int) -> None:
    """The longer text loses tokens until both are as long; never more than needed."""
    template = template_of(tokenizer, 2)
    sequence = np.array([template.bos[1], *[7] * first, template.sep, *[8] * second, template.eos], dtype=np.int32)
    (found,), cut = template.shortened([sequence], limit)
    assert cut == (len(sequence) > limit)
    assert len(found) == min(limit, len(sequence))
    assert (found[0], found[-1], list(found).count(template.sep)) == (template.bos[1], template.eos, 1)
    a, b = first, second
    while a + b + 3 > limit:  # one token at a time
        a, b = (a - 1, b) if a > b else (a, b - 1)
    kept = (list(found).count(7), list(found).count(8))
    assert sorted(kept) == sorted((a, b))
    assert (kept[0] > kept[1]) == (first > second) or abs(kept[0] - kept[1]) <= 1


def test_a_cut_text_keeps_its_end_token(tokenizer: Any) -> None:
    template = template_of(tokenizer)
    sequence = np.array(encode(template, "the film was good and the plot was bad"), dtype=np.int32)
    short = np.array(encode(template, "good"), dtype=np.int32)
    (found, same), cut = template.shortened([sequence, short], 5)
    assert found.tolist() == [*sequence[:4], template.eos]
    assert (cut, same.tolist()) == (1, short.tolist())
    with pytest.raises(UserError, match=r"max_tokens: .* reads 2 tokens, but a text takes 3 or more"):
        template.shortened([short], 2)


def test_what_may_never_be_drawn(tokenizer: Any) -> None:
    template = Template(tokenizer, len(tokenizer) + 3, 2, 2, False)  # a padded embedding: 3 rows without a token
    size = len(tokenizer)
    assert template.banned == (size, size + 1, size + 2, size + 4, size + 5)
    assert template.sep not in template.banned
    assert template.eos not in template.banned


def test_save_and_load(tokenizer: Any, tmp_path: Path) -> None:
    template = template_of(tokenizer, 2, classes=4, blanks=True)
    template.save(tmp_path / "template")
    loaded = Template.load(tmp_path / "template")
    assert (loaded.bos, loaded.sep, loaded.eos, loaded.banned) == (
        template.bos,
        template.sep,
        template.eos,
        template.banned,
    )
    assert encode(loaded, "a film", "bad", label=3) == encode(template, "a film", "bad", label=3)


def test_unusable_tokenizers(tokenizer: Any, tiny_generator: Path) -> None:
    with pytest.raises(UserError, match="has more tokens than its model"):
        Template(tokenizer, len(tokenizer) - 1, 2, 1, False)
    without = load_tokenizer(tiny_generator)
    without.eos_token = None
    with pytest.raises(UserError, match=r"no end token \(eos\)"):
        template_of(without)
