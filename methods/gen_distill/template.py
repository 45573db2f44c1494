"""How a labelled text stands before the generator: `<bos_c> text <eos>`, or `<bos_c> first <sep> second <eos>`.

The ids of `<bos_c>` and `<sep>` follow the model's own vocabulary and the tokenizer never learns of them. So no text,
whatever it holds, can be mistaken for one of them; special tokens that a text spells out are read as plain text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import UserError
from bench.data.encoders import load_tokenizer
from bench.learners.causal.plain import plain_ids

_FACTS = "template.json"


@dataclass(frozen=True)
class Marks:
    """Ids that begin and end sampled texts."""

    starts: tuple[int, ...]  # by class: the token before the first one of a text
    banned: tuple[int, ...]  # never drawn
    ends: np.ndarray  # int64 [V]: how many ends a token holds
    needed: int = 1  # ends after which a text is over


class Template:
    """Texts to id sequences and back. A sequence has its start token first, its end token last and no padding.

    tokenizer: of the base model; vocabulary: rows of the base model's embedding; n_classes: C; n_fields: 1 or 2;
    blanks: write a blank before and after each text, as the authors' code does. `bos` holds the id of `<bos_c>` by
    class; `sep` is None for single texts. Raises UserError when the tokenizer has no end token.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, n_classes: int, n_fields: int, blanks: bool) -> None:
        if tokenizer.eos_token_id is None:
            raise UserError("the generator's tokenizer has no end token (eos): choose another generator")
        check_vocabulary(tokenizer, vocabulary)
        self.tokenizer, self.vocabulary = tokenizer, vocabulary
        self.n_classes, self.n_fields, self.blanks = n_classes, n_fields, blanks
        self.eos = int(tokenizer.eos_token_id)
        self.sep: int | None = vocabulary if n_fields > 1 else None
        first = vocabulary + (n_fields > 1)
        self.bos = tuple(range(first, first + n_classes))

    @property
    def size(self) -> int:
        """Ids in all: the model's own vocabulary and the new tokens."""
        return self.bos[-1] + 1

    @property
    def shortest(self) -> int:
        """Tokens of a sequence whose texts have one token each."""
        return 2 * self.n_fields + 1

    @cached_property
    def banned(self) -> tuple[int, ...]:
        """Ids that may never be drawn: all `<bos_c>`, and what is no text but the end token."""
        return tuple(sorted(no_text(self.tokenizer, self.vocabulary) - {self.eos} | set(self.bos)))

    @cached_property
    def marks(self) -> Marks:
        """A text begins with the start token of its class and ends with the end token."""
        ends = np.zeros(self.size, dtype=np.int64)
        ends[self.eos] = 1
        return Marks(self.bos, self.banned, ends)

    def encode(self, texts: Mapping[str, Sequence[str]], fields: Sequence[str], labels: np.ndarray) -> list[np.ndarray]:
        """N whole sequences, int32 each. texts: field -> N strings; labels: int [N]."""
        columns = [self._ids(texts[name]) for name in fields]
        sequences = []
        for row, label in enumerate(labels):
            parts = [[self.bos[int(label)]], columns[0][row]]
            for column in columns[1:]:
                assert self.sep is not None
                parts += [[self.sep], column[row]]
            sequences.append(np.concatenate([*parts, [self.eos]]).astype(np.int32))
        return sequences

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        stripped = [text.strip() for text in texts]
        return plain_ids(self.tokenizer, [f" {text} " for text in stripped] if self.blanks else stripped)

    def shortened(self, sequences: Sequence[np.ndarray], limit: int) -> tuple[list[np.ndarray], int]:
        """The sequences with at most `limit` tokens each, and how many were cut.

        A text loses tokens from its end, in a pair the longer text first; start, `<sep>` and end stay. Raises
        UserError when `limit` leaves no token for a text.
        """
        if limit < self.shortest:
            raise UserError(f"max_tokens: the generator reads {limit} tokens, but a text takes {self.shortest} or more")
        found = [sequence if len(sequence) <= limit else self._cut(sequence, limit) for sequence in sequences]
        return found, sum(len(sequence) > limit for sequence in sequences)

    def _cut(self, sequence: np.ndarray, limit: int) -> np.ndarray:
        if self.sep is None:
            return np.concatenate([sequence[: limit - 1], sequence[-1:]])
        middle = int(np.flatnonzero(sequence == self.sep)[0])
        first, second = sequence[1:middle], sequence[middle + 1 : -1]
        room = limit - 3
        kept = max(room - len(second), min(len(first), -(-room // 2)))
        parts = [sequence[:1], first[:kept], sequence[middle : middle + 1], second[: room - kept], sequence[-1:]]
        return np.concatenate(parts)

    def parse(self, ids: np.ndarray) -> tuple[str, ...] | None:
        """The stripped texts of a sampled sequence without its start token; the end token may be missing.

        None when it has fewer pieces than the task has fields, or an empty one. Of more pieces the first ones count.
        """
        ids = np.asarray(ids)
        ends = np.flatnonzero(ids == self.eos)
        if len(ends):
            ids = ids[: ends[0]]
        pieces = [ids] if self.sep is None else _split(ids, self.sep)
        if len(pieces) < self.n_fields:
            return None
        texts = tuple(self._text(piece) for piece in pieces[: self.n_fields])
        return texts if all(texts) else None

    def _text(self, ids: np.ndarray) -> str:
        kept = [int(i) for i in ids if i < self.vocabulary]
        text: str = self.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.strip()

    def save(self, folder: Path) -> None:
        """Write the tokenizer and the template's facts."""
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save_pretrained(folder)
        facts = {name: getattr(self, name) for name in ("vocabulary", "n_classes", "n_fields", "blanks")}
        (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Template:
        """What `save` wrote."""
        return cls(load_tokenizer(folder), **json.loads((folder / _FACTS).read_text(encoding="utf-8")))


def check_vocabulary(tokenizer: Any, vocabulary: int) -> None:
    """Raise UserError when a tokenizer has tokens beyond the `vocabulary` rows of a model's embedding."""
    if vocabulary < 1 + max(tokenizer.get_vocab().values()):
        raise UserError("the generator's tokenizer has more tokens than its model: they do not belong together")


def no_text(tokenizer: Any, vocabulary: int) -> set[int]:
    """Ids of special tokens, the end token too, and rows of the embedding that no token stands for."""
    unused = set(range(vocabulary)) - set(tokenizer.get_vocab().values())
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return unused | special | set(tokenizer.all_special_ids)


def _split(ids: np.ndarray, at: int) -> list[np.ndarray]:
    """Pieces between the entries that equal `at`."""
    cuts = np.flatnonzero(ids == at)
    starts, ends = [0, *(cuts + 1)], [*cuts, len(ids)]
    return [ids[start:end] for start, end in zip(starts, ends, strict=True)]
