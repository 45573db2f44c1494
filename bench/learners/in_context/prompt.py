"""A task's rows as a language model reads them: `sentence: TEXT`, a line `label: WORD`, a blank line between rows.

The form of the few-shot evaluation in the public code of Maekawa et al. 2024 (DiLM), with the task's own field names.
What stands in a text stands on one line, so that no text can write a label line of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.api import UserError
from bench.learners.causal.plain import plain_ids

LABEL = "label"
BETWEEN = "\n\n"
ANCHOR = "x"  # a text that what follows is tokenised after, since tokenizers treat the start of a text apart


@dataclass(frozen=True)
class Form:
    """How rows are written. fields: names of a task's text fields; words: what stands for each class, C of them."""

    fields: tuple[str, ...]
    words: tuple[str, ...]

    def queries(self, texts: Mapping[str, Sequence[str]]) -> list[str]:
        """N rows up to the place where the label word is asked for. texts: field -> N strings."""
        rows = zip(*(texts[name] for name in self.fields), strict=True)
        return ["\n".join([*map(_line, self.fields, row), f"{LABEL}:"]) for row in rows]

    def demonstrations(self, texts: Mapping[str, Sequence[str]], labels: Sequence[int] | np.ndarray) -> list[str]:
        """N rows with their label words."""
        return [f"{query} {self.words[int(label)]}" for query, label in zip(self.queries(texts), labels, strict=True)]


def _line(name: str, text: str) -> str:
    return f"{name}: {' '.join(text.split())}"


def default_words(label_names: Sequence[str]) -> tuple[str, ...]:
    """Label names as words: `not_duplicate` is read as "not duplicate"."""
    return tuple(" ".join(name.replace("_", " ").split()) for name in label_names)


class Tokenizer:
    """Ids of the pieces of a prompt. start: what the tokenizer puts before every text (int64 [0 or more]).

    A prompt's ids are those of its pieces one after another. Special tokens that a text spells out are plain text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        whole, plain = ([*tokenizer(ANCHOR, add_special_tokens=special)["input_ids"]] for special in (True, False))
        if not plain:
            raise UserError("the tokenizer reads no plain letters: choose another model")
        place = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
        self.start = np.array(whole[:place], dtype=np.int64)
        self._anchor = plain

    def ids(self, texts: Sequence[str], first: bool = False) -> list[np.ndarray]:
        """Ids of each text as it stands after other text, or where a prompt begins (`first`): int64 [L] each."""
        anchor = [] if first else self._anchor
        written = [("" if first else ANCHOR) + text for text in texts]
        found = []
        for text, ids in zip(written, plain_ids(self.tokenizer, written), strict=True):
            if list(ids[: len(anchor)]) != anchor:
                raise UserError(f"the tokenizer joins {text[:20]!r} with what stands before it: another model")
            found.append(np.array(ids[len(anchor) :], dtype=np.int64))
        return found

    def prefix(self, demonstrations: Sequence[str]) -> np.ndarray:
        """Ids of the start and all demonstrations, int64 [P]."""
        parts = [self.start]
        if demonstrations:
            parts += self.ids(demonstrations[:1], first=True)
            parts += self.ids([BETWEEN + text for text in demonstrations[1:]])
        return np.concatenate(parts)

    def continuations(self, queries: Sequence[str], after_others: bool) -> list[np.ndarray]:
        """Ids of each query as it follows the demonstrations, or where there are none."""
        return self.ids([(BETWEEN if after_others else "") + text for text in queries], first=not after_others)

    def words(self, words: Sequence[str]) -> list[np.ndarray]:
        """Ids of each label word where it is asked for. Raises UserError when two words are not told apart.

        A word that another begins with is not: the longer one could never win, since p(longer) <= p(shorter).
        """
        (before,) = self.ids([f"{LABEL}:"], first=True)
        found = []
        for word, ids in zip(words, self.ids([f"{LABEL}: {word}" for word in words], first=True), strict=True):
            if ids[: len(before)].tolist() != before.tolist():
                raise UserError(
                    f"the tokenizer joins the label word '{word}' with what stands before it: another model"
                )
            found.append(ids[len(before) :])
        for one, ids in enumerate(found):
            if not len(ids):
                raise UserError(f"label word '{words[one]}' has no token: give other label_words")
            for other in range(len(found)):
                if other != one and ids.tolist() == found[other][: len(ids)].tolist():
                    same = len(ids) == len(found[other])
                    how = (
                        "are the same tokens" if same else "are not told apart: one begins with all tokens of the other"
                    )
                    raise UserError(f"label words '{words[one]}' and '{words[other]}' {how}: give other label_words")
        return found
