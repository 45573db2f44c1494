"""The network of the learners that baselines ask, loaded once in a process."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.api import Context
from bench.learners.bert import BertNetwork, can_split
from bench.learners.load import load_network
from bench.learners.network import Network
from methods.baselines.params import LearnerParams


def load_learner(params: LearnerParams, n_classes: int, ctx: Context) -> Network:
    """An encoder with a head of `n_classes`. Raises UserError when the folder holds none that can be used."""
    return _load(
        ctx.asset(params.encoder),
        n_classes,
        ctx.device,
        params.trainable_layers,
        params.max_length,
        json.dumps(ctx.asset_identity(params.encoder), sort_keys=True),
    )


@lru_cache(maxsize=1)  # weights are values, so nothing of a job stays in it
def _load(
    folder: Path, n_classes: int, device: str, trainable_layers: int | None, max_length: int, identity: str
) -> Network:
    options: dict[str, Any] = {"dropout": None, "max_length": max_length, "identity": json.loads(identity)}
    if can_split(folder):  # never the tables, so that a set of embeddings can say what its steps were learned on
        return BertNetwork(folder, n_classes, device, trainable_layers=trainable_layers, **options)
    return load_network(folder, n_classes, device, trainable_layers=trainable_layers, **options)
