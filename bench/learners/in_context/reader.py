"""A causal language model that reads demonstrations and is asked for the label words of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from bench.api import Context, NotApplicable, TaskInfo, UserError
from bench.learners.causal.loading import load_base
from bench.learners.causal.model import CausalModel
from bench.learners.causal.prefix import Prefix, shares_prefixes
from bench.learners.in_context.prompt import Form, Tokenizer, default_words
from bench.learners.in_context.scoring import first_tokens_differ, last_states, score

Texts = Mapping[str, Sequence[str]]
Progress = Callable[[int, int], None]


class Answers(NamedTuple):
    """What the model says of N rows without demonstrations."""

    scores: np.ndarray  # log p among the first tokens of the C label words, float64 [N, C]
    hidden: np.ndarray  # what its last linear map reads where the label word is asked for, float32 [N, d]


class Reader:
    """The model of an asset and its tokenizer. Nothing in it changes; `dtype`: the name of a torch type."""

    def __init__(self, ref: str, ctx: Context, dtype: str = "float32") -> None:
        base, tokenizer = load_base(ref, ctx, getattr(torch, dtype))
        self.ref = ref
        self.model, self.tokenizer = CausalModel(base, ctx.device), Tokenizer(tokenizer)
        self._shared = shares_prefixes(self.model)

    def ask(
        self,
        form: Form,
        shown: tuple[Texts, np.ndarray],
        *asked: Texts,
        whole: bool = False,
        progress: Progress = lambda done, total: None,
    ) -> list[np.ndarray]:
        """log p of each class for the rows of each of `asked`, after one prompt: float64 [N, C] each.

        shown: texts and labels int [n] of the demonstrations, in their order; n = 0 is none. whole: label words are
        scored by all their tokens, as they are without it where two first tokens are equal. Raises NotApplicable,
        before anything is computed, where the longest prompt does not fit, UserError for label words that are not told
        apart and for scores that are not finite.
        """
        words = self.tokenizer.words(form.words)
        prefix = self.tokenizer.prefix(form.demonstrations(*shown))
        rows = [self._continuations(form, texts, len(shown[1])) for texts in asked]
        queries = [query for part in rows for query in part]
        check_fit(self.ref, self.model.context, len(prefix), queries, words, shown)
        read = Prefix(self.model, prefix, self._shared)
        whole = whole or not first_tokens_differ(words)
        found = score(self.model, read, queries, words, whole=whole, progress=progress)
        if not np.isfinite(found).all():
            raise UserError(
                f"model '{self.ref}' gives scores that are not finite: take dtype=float32, or another model"
            )
        return np.split(found, np.cumsum([len(part) for part in rows])[:-1])

    def answers(self, form: Form, texts: Texts, progress: Progress = lambda done, total: None) -> Answers:
        """What it says of rows without demonstrations, by first tokens.

        Raises as `ask`, and UserError where two label words begin with the same token.
        """
        words = self.tokenizer.words(form.words)
        if not first_tokens_differ(words):
            raise UserError(
                f"label words {', '.join(map(repr, form.words))} begin with the same token for '{self.ref}': "
                "give label_words that do not"
            )
        rows = self._continuations(form, texts, 0)
        prefix = self.tokenizer.prefix([])
        check_fit(self.ref, self.model.context, len(prefix), rows, words, ({}, np.empty(0)))
        hidden = last_states(self.model, Prefix(self.model, prefix, self._shared), rows, progress)
        tokens = torch.tensor([int(ids[0]) for ids in words], device=self.model.device)
        with torch.no_grad():
            logits = self.model.logits_of(hidden.to(self.model.device), tokens).double().cpu()
        return Answers(logits.log_softmax(-1).numpy(), hidden.float().cpu().numpy())

    def _continuations(self, form: Form, texts: Texts, shown: int) -> list[np.ndarray]:
        return self.tokenizer.continuations(form.queries(texts), shown > 0)


def form_of(info: TaskInfo, given: Mapping[str, Sequence[str]]) -> Form:
    """How a task's rows are written; label words are those given for its label or name, or else its label names.

    Raises UserError when there are not C of them, or one is empty.
    """
    name = info.label.partition("[")[0].partition(":")[0]
    words = tuple(given.get(info.label, given.get(name, default_words(info.label_names))))
    if len(words) != info.n_classes:
        classes = ", ".join(info.label_names)
        raise UserError(f"label_words of '{info.label}': {len(words)} words for the {info.n_classes} classes {classes}")
    for label, word in zip(info.label_names, words, strict=True):
        if not word.strip():
            raise UserError(f"label_words of '{info.label}': the word of class '{label}' is empty")
    return Form(info.fields, words)


def order(labels: np.ndarray, shots: int | None, rng: np.random.Generator) -> np.ndarray:
    """Rows of a set as they stand in a prompt: `shots` of each class (None: all), shuffled: int64 [n]."""
    rows = rng.permutation(len(labels))
    if shots is None:
        return rows
    place = np.zeros(len(rows), dtype=np.int64)  # of each row among those of its class
    for label in np.unique(labels):
        own = labels[rows] == label
        place[own] = np.arange(own.sum())
    return rows[place < shots]


def check_fit(
    ref: str,
    context: int,
    prefix: int,
    queries: Sequence[np.ndarray],
    words: Sequence[np.ndarray],
    shown: tuple[Texts, np.ndarray],
) -> None:
    """Raise NotApplicable when the longest prompt has more tokens than the model reads; nothing is ever cut."""
    longest, n = max(map(len, queries), default=0), len(shown[1])
    total = prefix + longest + max(map(len, words)) - 1
    if total > context:
        mend = "; fewer demonstrations fit: shots=K" if n and total - prefix < context else ""
        raise NotApplicable(
            f"the prompt has {total} tokens ({n} demonstrations {prefix}, the longest query {longest}), "
            f"model '{ref}' reads {context}{mend}"
        )
