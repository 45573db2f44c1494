"""A control: random rows whose labels say nothing of their texts."""

from __future__ import annotations

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData
from methods.random_ import Random


class ShuffledLabels(Method):
    """The rows of `random`, their labels shuffled among them."""

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Sorted by the new labels; without `rows`, as these stand for copies of rows with their labels."""
        own = Random(self.params).distill(data, dpc, ctx)
        assert own.texts is not None
        labels = own.labels[ctx.rng("labels").permutation(len(own))]
        order = np.argsort(labels, kind="stable")
        texts = {name: [own.texts[name][i] for i in order] for name in data.info.fields}
        return DistilledSet(labels=labels[order], texts=texts, diagnostics={"kept": int((labels == own.labels).sum())})
