"""The network of the learners that baselines ask, loaded once in a process."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from bench.api import Context
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
    return load_network(
        folder,
        n_classes,
        device,
        trainable_layers=trainable_layers,
        dropout=None,
        max_length=max_length,
        identity=json.loads(identity),
    )
