"""Whether an encoder can train on a set at embedding level, in one line where it cannot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.api import Embeddings
from bench.learners.network import Network


def foreign(embeddings: Embeddings, model: str, identity: Mapping[str, Any]) -> str | None:
    """Why these embeddings are not of this encoder; None when they are. identity: of the encoder's content.

    A set that does not say what identifies its encoder is told by the reference.
    """
    known = embeddings.encoder_identity
    same = embeddings.encoder == model if known is None else _plain(known) == _plain(identity)
    if same:
        return None
    if embeddings.encoder == model:
        return f"the embeddings were made with another '{model}' than this one"
    return f"the embeddings are of the encoder '{embeddings.encoder}', not of '{model}'"


def misfit(embeddings: Embeddings, network: Network, n_classes: int, splits: bool, learned: bool) -> str | None:
    """Why a network of the right encoder cannot train on these embeddings; None when it can.

    learned: it takes the set's own steps, which hold for as many layers as they were learned with. splits: whether the
    encoder could read hidden states if fewer of its layers were trained.
    """
    e, layer = embeddings, embeddings.layer
    classes, width = e.label_distribution.shape[1], e.inputs_embeds.shape[2]
    if classes != n_classes:
        return f"the embeddings have labels of {classes} classes, the task has {n_classes}"
    if layer not in network.entries:
        mend = f": trainable_layers={network.depth - layer} fits" if splits and 0 < layer < network.depth else ""
        known = " or ".join(map(str, sorted(network.entries))) or "none"
        return f"the embeddings are the input of layer {layer}, this student reads that of layer {known}{mend}"
    if width != network.entries[layer]:
        return f"the embeddings have width {width}, the input of layer {layer} has {network.entries[layer]}"
    lengths = (np.asarray(e.attention_mask) != 0).sum(1)
    longest = int(lengths.max())
    if network.positions is not None and longest > network.positions:
        return f"the embeddings have {longest} positions, the encoder has {network.positions}"
    trained = None if network.attention is None else network.attention[0]
    if learned and e.trained_layers not in (None, trained):
        mend = _mend(e.trained_layers, network.depth, splits)
        own = "everything" if trained is None else f"{trained}"
        return f"the steps were learned with {e.trained_layers} trained layers, this student trains {own}{mend}"
    if e.attention_labels is None:
        return None
    if network.attention is None:
        mend = _mend(e.attention_labels.shape[1], network.depth, splits)
        return f"attention labels need explicit layers{mend}"
    if (lengths != longest).any():
        return "attention labels need texts of one length"
    (layers, heads), found = network.attention, e.attention_labels.shape[1:]
    if found not in {(layers, heads, rows, longest) for rows in (1, longest)}:
        wanted = f"{layers} x {heads} x 1 or {longest} x {longest}"
        return (
            f"the attention labels of an example are {' x '.join(map(str, found))} (layers, heads, queries, keys), "
            f"this student's attention is {wanted}"
        )
    return None


def _mend(layers: int | None, depth: int, splits: bool) -> str:
    """What a student is told that has to train `layers` layers of an encoder of `depth`, if it can."""
    if layers is not None and 0 < depth < layers:
        return f", and the encoder has {depth}"
    return f": trainable_layers={layers} fits" if splits else ""


def _plain(value: Any) -> str:
    """As JSON, so that what was lent equals what was not."""
    return json.dumps(value, sort_keys=True, default=dict)
