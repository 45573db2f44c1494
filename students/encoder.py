"""The fine-tuned student: reset, train with the paper's recipe, label the queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.api import Context, DistilledSet, Queries, Student
from bench.learners.recipe import Recipe
from bench.learners.split import SplitModel, can_split
from bench.learners.whole import WholeModel
from students.params import EncoderParams


class EncoderStudent(Student):
    """A pretrained encoder with a new linear head.

    The loaded weights stay in memory between the runs of a worker; each run starts from copies of them.
    With `trainable_layers` a BERT-like model runs its frozen part once per text (`bench.learners.split`).
    """

    params: EncoderParams

    def __init__(self, params: EncoderParams) -> None:
        super().__init__(params)
        self._model: WholeModel | SplitModel | None = None
        self._key: tuple | None = None

    def refuses(self, distilled: DistilledSet) -> str | None:
        """Sets without text, and empty ones."""
        return super().refuses(distilled) or ("the set is empty" if len(distilled) == 0 else None)

    def predict(self, distilled: DistilledSet, queries: Queries, ctx: Context) -> np.ndarray:
        """Train on the set with `ctx.seed`, label every query: int64 [len(queries)] in [0, C)."""
        model = self._load(queries.info.n_classes, ctx)
        p = self.params
        recipe = Recipe(p.learning_rate, p.weight_decay, p.warmup, p.steps, p.min_epochs, p.batch, p.clip)
        model.fit(distilled, queries, targets(distilled), recipe, ctx)
        labels: np.ndarray = model.scores(queries, ctx).argmax(axis=1).astype(np.int64)
        return labels

    def _load(self, n_classes: int, ctx: Context) -> WholeModel | SplitModel:
        folder = ctx.asset(self.params.model)
        key = (folder, n_classes, ctx.device)
        if self._model is None or key != self._key:
            self._model = None  # two models at once are too much memory
            p = self.params
            options: dict[str, Any] = {
                "trainable_layers": p.trainable_layers,
                "dropout": p.dropout,
                "max_length": p.max_length,
            }
            if p.trainable_layers is not None and can_split(folder):
                identity = ctx.asset_identity(p.model)
                self._model = SplitModel(folder, n_classes, ctx.device, **options, identity=identity)
            else:
                self._model = WholeModel(folder, n_classes, ctx.device, **options)
            self._key = key
        return self._model


def targets(distilled: DistilledSet) -> Tensor:
    """What cross-entropy is taken against: soft labels float32 [N, C] where the set has them, else int64 [N]."""
    if distilled.soft_labels is not None:
        return torch.from_numpy(np.array(distilled.soft_labels, dtype=np.float32))
    return torch.from_numpy(np.array(distilled.labels, dtype=np.int64))
