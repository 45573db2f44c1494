"""In-context students: the set is the demonstrations of a prompt, nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from bench.api import Context, DistilledSet, Queries, Student
from bench.learners.in_context.calibration import calibrated, content_free
from bench.learners.in_context.reader import Reader, form_of, order
from students.params import InContextParams


class InContextStudent(Student):
    """A causal language model that reads the set before each query and is asked for the label word.

    The demonstrations are run once a prompt, all queries go on from their keys and values. The model stays in memory
    between the runs of a worker; nothing of it changes.
    """

    params: InContextParams

    def __init__(self, params: InContextParams) -> None:
        super().__init__(params)
        self._loaded: tuple[tuple[Path, str], Reader] | None = None

    def refuses(self, distilled: DistilledSet) -> str | None:
        """Sets without texts, or with fewer than `shots` of a class; an empty set is a prompt of its own."""
        if distilled.texts is None:
            return super().refuses(distilled)
        fewest = int(np.unique(distilled.labels, return_counts=True)[1].min(initial=len(distilled)))
        if len(distilled) and fewest < (self.params.shots or 0):
            return f"a class of the set has {fewest} examples, fewer than shots={self.params.shots}: leave shots out"
        return None

    def reads(self, distilled: DistilledSet) -> Literal["demonstrations"]:
        """The texts of a set and their hard labels, in a prompt."""
        return "demonstrations"

    def predict(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        """Read the set in an order drawn by `ctx.seed`, label every query: int64 [len(queries)] in [0, C).

        Raises as `bench.learners.in_context.reader.Reader.ask`.
        """
        assert distilled.texts is not None  # `refuses` has seen to it
        form = form_of(queries.info, self.params.label_words)
        rows = order(distilled.labels, self.params.shots, ctx.rng("demonstrations"))
        texts = {name: [distilled.texts[name][row] for row in rows] for name in form.fields}
        prior = self._prior_rows(form.fields, ctx)
        found, *of_prior = self._reader(ctx).ask(
            form,
            (texts, distilled.labels[rows]),
            {name: queries.texts[name] for name in form.fields},
            *([] if prior is None else [prior]),
            whole=self.params.scoring == "whole",
            progress=lambda done, total: ctx.progress(done, total, "queries"),
        )
        for scores in of_prior:
            found = calibrated(found, scores)
        labels: np.ndarray = found.argmax(axis=1).astype(np.int64)
        return labels

    def predict_many(
        self, distilled: DistilledSet, queries: Queries, contexts: Sequence[Context]
    ) -> Sequence[np.ndarray]:
        """The labels of the first run, or of all where nothing is drawn: no demonstrations, no prior of train rows."""
        found = self.predict(distilled, queries, contexts[0])
        alike = len(distilled) == 0 and self.params.calibration != "batch"
        return [found] * (len(contexts) if alike else 1)

    def _prior_rows(self, fields: Sequence[str], ctx: Context) -> Mapping[str, Sequence[str]] | None:
        """What a calibration asks the model."""
        if self.params.calibration == "contextual":
            return content_free(fields)
        if self.params.calibration == "batch":
            return ctx.train_texts(self.params.prior_rows)
        return None

    def _reader(self, ctx: Context) -> Reader:
        key = (ctx.asset(self.params.model), ctx.device)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # two models at once are too much memory
            self._loaded = key, Reader(self.params.model, ctx, self.params.dtype)
        return self._loaded[1]
