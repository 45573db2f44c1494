"""Training on embedding-level sets by the steps that were learned with them: plain gradient descent, no dropout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.api import Embeddings
from bench.learners.layers import Weights
from bench.learners.network import Inputs, Network


def learned_sgd(network: Network, weights: Weights, inputs: Inputs, embeddings: Embeddings) -> dict[str, Tensor]:
    """The weights after exactly the T steps of the set; those given are not changed.

    inputs: what the network reads of the set, prepared. Raises ValueError for a set without step sizes.
    """
    if embeddings.step_sizes is None:
        raise ValueError("the set has no step sizes")
    batches = [(network.batch(inputs, rows), *wanted) for rows, *wanted in _groups(network, embeddings)]
    current = dict(weights)
    for t, rate in enumerate(embeddings.step_sizes.tolist()):
        batch, targets, attention = batches[t % len(batches)]
        loss = inner_loss(network, current, batch, targets, attention, embeddings.attention_weight)
        # The last layer's key bias changes no attention, so no product reaches it.
        steps = torch.autograd.grad(loss, list(current.values()), allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            moved = {name: w - rate * step for (name, w), step in zip(current.items(), steps, strict=True)}
        current = {name: each.requires_grad_() for name, each in moved.items()}
    return current


def inner_loss(
    network: Any,
    weights: Mapping[str, Tensor],
    batch: Any,
    targets: Tensor,
    attention: Tensor | None = None,
    weight: float = 1.0,
    drop: Any = None,
) -> Tensor:
    """Mean of the cross-entropy against targets [N, C], and `weight` (lambda) times that of attention labels.

    Targets are a distribution or any numbers: -sum_c targets_c log p_c. attention: [N, layers, heads, rows, L],
    distributions over keys; the second term is KL(label || attention), summed over keys, mean over the rest.
    drop: None for no dropout.
    """
    drop = network.dropout() if drop is None else drop
    if attention is None:
        return functional.cross_entropy(network.logits(weights, batch, drop), targets)
    logits, log_attention = network.attended(weights, batch, attention.shape[3], drop)
    divergence = torch.xlogy(attention, attention) - attention * log_attention
    return functional.cross_entropy(logits, targets) + weight * divergence.sum(-1).mean()


def group_rows(groups: np.ndarray | None, n: int) -> list[np.ndarray]:
    """The examples of each group, ascending: step t trains on those of group t mod G. groups: int64 [n] or None."""
    if groups is None:
        return [np.arange(n)]
    return [np.flatnonzero(groups == group) for group in range(int(groups.max()) + 1)]


def _groups(network: Network, embeddings: Embeddings) -> list[tuple[np.ndarray, Tensor, Tensor | None]]:
    """Rows, targets and attention labels of each group."""
    targets = torch.tensor(np.asarray(embeddings.label_distribution, np.float32), device=network.device)
    labels = embeddings.attention_labels
    attention = None if labels is None else torch.tensor(np.asarray(labels, np.float32), device=network.device)
    found = []
    for rows in group_rows(embeddings.groups, len(targets)):
        index = torch.from_numpy(rows).to(network.device)
        found.append((rows, targets[index], None if attention is None else attention[index]))
    return found
