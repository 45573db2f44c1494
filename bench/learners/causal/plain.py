"""Ids of texts as plain text: what they spell out is no special token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.data.encoders import TOKENIZE_ROWS, quiet


def plain_ids(tokenizer: Any, texts: Sequence[str], special: bool = False) -> list[list[int]]:
    """Ids of each text, uncut. special: with what the tokenizer puts around every text."""
    found: list[list[int]] = []
    with quiet():  # texts longer than model_max_length are cut or refused later, so its warning says nothing
        for start in range(0, len(texts), TOKENIZE_ROWS):
            found += tokenizer(
                list(texts[start : start + TOKENIZE_ROWS]),
                add_special_tokens=special,
                split_special_tokens=True,
                padding=False,
                truncation=False,
                return_attention_mask=False,
            )["input_ids"]
    return found
