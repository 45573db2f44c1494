"""In-context students: the set is the demonstrations of a prompt, nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from bench.api import Context, DistilledSet, NotApplicable, Queries, Student, TaskInfo, UserError
from bench.learners.causal.loading import load_base
from bench.learners.causal.model import CausalModel
from bench.learners.causal.prefix import Prefix, shares_prefixes
from bench.learners.in_context.calibration import calibrated, content_free
from bench.learners.in_context.prompt import Form, Tokenizer, default_words
from bench.learners.in_context.scoring import first_tokens_differ, score
from students.params import InContextParams


class InContextStudent(Student):
    """A causal language model that reads the set before each query and is asked for the label word.

    The demonstrations are run once a prompt, all queries go on from their keys and values. The model stays in memory
    between the runs of a worker; nothing of it changes.
    """

    params: InContextParams

    def __init__(self, params: InContextParams) -> None:
        super().__init__(params)
        self._loaded: tuple[tuple[Any, ...], CausalModel, Tokenizer, bool] | None = None

    def refuses(self, distilled: DistilledSet) -> str | None:
        """Sets without texts; an empty set is a prompt without demonstrations."""
        return None if distilled.texts is not None else super().refuses(distilled)

    def reads(self, distilled: DistilledSet) -> Literal["demonstrations"]:
        """The texts of a set and their hard labels, in a prompt."""
        return "demonstrations"

    def predict(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        """Read the set in an order drawn by `ctx.seed`, label every query: int64 [len(queries)] in [0, C).

        Raises NotApplicable, before anything is computed, where the prompt is longer than the model reads; UserError
        for label words that are not told apart.
        """
        assert distilled.texts is not None  # `refuses` has seen to it
        form = Form(queries.info.fields, label_words(self.params.label_words, queries.info))
        model, tokenizer, shared = self._load(ctx)
        words = tokenizer.words(form.words)
        chosen = order(distilled.labels, self.params.shots, ctx.rng("demonstrations"))
        texts = {name: [distilled.texts[name][row] for row in chosen] for name in form.fields}
        prefix = tokenizer.prefix(form.demonstrations(texts, distilled.labels[chosen]))
        asked = tokenizer.continuations(form.queries(queries.texts), len(chosen) > 0)
        prior_rows = self._prior_rows(form.fields, ctx)
        prior = tokenizer.continuations(form.queries(prior_rows), len(chosen) > 0)
        check_fit(len(prefix), asked + prior, words, model.context, self.params.model, len(chosen))
        read = Prefix(model, prefix, shared)
        whole = self.params.scoring == "whole" or not first_tokens_differ(words)

        def scores(rows: Sequence[np.ndarray], what: str) -> np.ndarray:
            return score(
                model, read, rows, words, whole=whole, progress=lambda done, total: ctx.progress(done, total, what)
            )

        found = scores(asked, "queries")
        if prior:
            found = calibrated(found, scores(prior, "calibration"))
        if not np.isfinite(found).all():
            raise UserError(f"model '{self.params.model}' gives scores that are not finite (dtype={self.params.dtype})")
        labels: np.ndarray = found.argmax(axis=1).astype(np.int64)
        return labels

    def _prior_rows(self, fields: Sequence[str], ctx: Context) -> Mapping[str, Sequence[str]]:
        """What the calibration asks the model; no row without one."""
        if self.params.calibration == "contextual":
            return content_free(fields)
        if self.params.calibration == "batch":
            return ctx.train_texts(self.params.prior_rows)
        return {name: [] for name in fields}

    def _load(self, ctx: Context) -> tuple[CausalModel, Tokenizer, bool]:
        import torch

        ref, dtype = self.params.model, self.params.dtype
        key = (ctx.asset(ref), ctx.device)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # two models at once are too much memory
            base, tokenizer = load_base(ref, ctx, getattr(torch, dtype))
            model = CausalModel(base, ctx.device)
            self._loaded = key, model, Tokenizer(tokenizer), shares_prefixes(model)
        return self._loaded[1:]


def label_words(given: Mapping[str, Sequence[str]], info: TaskInfo) -> tuple[str, ...]:
    """The words for a task's classes: those given for its label or name, or else its label names.

    Raises UserError when there are not C of them, or one has no letter.
    """
    name = info.label.partition("[")[0].partition(":")[0]
    found = tuple(given.get(info.label, given.get(name, default_words(info.label_names))))
    if len(found) != info.n_classes:
        raise UserError(
            f"label_words of '{info.label}': {len(found)} words for the {info.n_classes} classes "
            f"{', '.join(info.label_names)}"
        )
    if empty := [label for label, word in zip(info.label_names, found, strict=True) if not word.strip()]:
        raise UserError(f"label_words of '{info.label}': the word of class '{empty[0]}' is empty")
    return found


def order(labels: np.ndarray, shots: int | None, rng: np.random.Generator) -> np.ndarray:
    """Rows of a set as they stand in the prompt: `shots` of each class (None: all), shuffled: int64 [n]."""
    rows = rng.permutation(len(labels))
    if shots is None:
        return rows
    place = np.zeros(len(rows), dtype=np.int64)  # of each row among those of its class
    for label in np.unique(labels):
        own = labels[rows] == label
        place[own] = np.arange(own.sum())
    return rows[place < shots]


def check_fit(
    prefix: int, queries: Sequence[np.ndarray], words: Sequence[np.ndarray], context: int, model: str, shown: int
) -> None:
    """Raise NotApplicable when the longest prompt has more tokens than the model reads; nothing is ever cut."""
    longest = max(len(query) for query in queries)
    total = prefix + longest + max(len(ids) for ids in words) - 1
    if total > context:
        mend = "; fewer demonstrations fit: shots=K" if prefix + longest > context >= longest + 2 else ""
        raise NotApplicable(
            f"the prompt has {total} tokens ({shown} demonstrations {prefix}, the longest query {longest}), "
            f"model '{model}' reads {context}{mend}"
        )
