"""The network of a folder: explicit layers where they are known, else the whole model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.learners.bert import BertNetwork, can_split
from bench.learners.network import Network
from bench.learners.tables import TableNetwork
from bench.learners.whole import WholeNetwork


def load_network(
    folder: Path,
    n_classes: int,
    device: str,
    *,
    trainable_layers: int | None,
    dropout: float | None,
    max_length: int,
    identity: Mapping[str, Any],
) -> Network:
    """An encoder classifier from a local folder; raises UserError when it holds none that can be used.

    trainable_layers: train the top layers and the head alone; None trains everything. dropout: the rate of every
    dropout, None takes the model's own. identity: of the encoder, for the cache.
    """
    options: dict[str, Any] = {"dropout": dropout, "max_length": max_length}
    if not can_split(folder):
        return WholeNetwork(folder, n_classes, device, trainable_layers=trainable_layers, **options)
    if trainable_layers is None:
        return TableNetwork(folder, n_classes, device, identity=identity, **options)
    return BertNetwork(folder, n_classes, device, trainable_layers=trainable_layers, identity=identity, **options)
