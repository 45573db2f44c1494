"""What a learner's last layer says of labelled rows: softmax errors and inputs, whose products are its gradients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.data.batching import longest_first
from bench.learners.layers import Weights
from bench.learners.network import Inputs, Network


class Reading(NamedTuple):
    """The gradient of row i's cross-entropy in the last linear map is the outer product of errors_i and inputs_i."""

    errors: np.ndarray  # float32 [n, C]: softmax - onehot
    inputs: np.ndarray  # float32 [n, q]: h, with a one for the bias
    loss: float  # mean cross-entropy, nats
    accuracy: float


@torch.no_grad()
def read(network: Network, weights: Weights, rows: Inputs, labels: Tensor) -> Reading:
    """All rows, in their order, without dropout. labels: int64 [n] on the network's device."""
    pieces, parts = longest_first(rows.lengths(), network.predict_tokens), []
    loss = right = 0.0
    for piece in pieces:
        drop = network.dropout()
        _, x = network.encode(weights, network.batch(rows, piece), drop)
        own = labels[torch.from_numpy(piece).to(labels.device)]
        logits = network.head.logits(weights, x.float(), drop)
        loss += float(functional.cross_entropy(logits, own, reduction="sum"))
        right += float((logits.argmax(1) == own).sum())
        errors, inputs = network.head.factors(weights, x.float(), own, drop)[-1]
        parts.append((errors.cpu().numpy(), inputs.cpu().numpy()))
    back = np.argsort(np.concatenate(pieces))
    read_errors, read_inputs = (np.concatenate(each)[back] for each in zip(*parts, strict=True))
    return Reading(read_errors, read_inputs, loss / len(labels), right / len(labels))
