"""Sets at embedding level made from texts, by transformers' own model: for tests of what trains on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.api import DistilledSet, Embeddings
from bench.data.encoders import load_encoder, tokenize


def embedded(folder: Path, distilled: DistilledSet, classes: int, layer: int = 0, **others: Any) -> DistilledSet:
    """The input of a layer for the texts of a set, with something else at the padding and no text; one-hot labels."""
    assert distilled.texts is not None
    encoder = load_encoder(folder)
    tokens = tokenize(encoder.tokenizer, distilled.texts, tuple(distilled.texts), 64)
    batch = tokens.batch(np.arange(len(tokens)))
    with torch.no_grad():
        if layer:
            states = encoder.model(**batch, output_hidden_states=True).hidden_states[layer]
        else:
            states = encoder.model.get_input_embeddings()(batch["input_ids"])
    values, mask = states.numpy().copy(), batch["attention_mask"].numpy()
    values[mask == 0] = 7.0
    facts: dict[str, Any] = {"encoder": str(folder), "layer": layer, **others}
    labels = facts.pop("label_distribution", np.eye(classes, dtype=np.float32)[distilled.labels])
    return DistilledSet(distilled.labels, embeddings=Embeddings(values, mask, labels, **facts))
