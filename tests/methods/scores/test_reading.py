"""Readings against autograd: the gradient of each row alone in the last linear map, for heads of one map and of two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from bench.learners.load import load_network
from methods.scores.checkpoints import Checkpoint
from methods.scores.difficulty import grand
from methods.scores.reading import read
from tests.learner_models import make_set
from tests.learner_models import tiny_roberta as tiny_roberta


@pytest.mark.parametrize(("encoder", "layers"), [("tiny_encoder", 1), ("tiny_roberta", None)])
def test_products_are_the_gradients_of_single_rows(
    encoder: str, layers: int | None, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(encoder)
    network = load_network(folder, 3, "cpu", trainable_layers=layers, dropout=None, max_length=32, identity={})
    network.predict_tokens = 40  # rows are read in several batches, and come back in their order
    rows, _ = make_set(9, 3, seed=1)
    assert rows.texts is not None
    inputs = network.prepare(network.tokenize(rows.texts, ("first",)))
    labels = torch.from_numpy(rows.labels)
    weights = network.initial(torch.Generator().manual_seed(0))
    last = [weights[f"{network.head.out}.{name}"] for name in ("weight", "bias")]
    with torch.no_grad():
        last[0].mul_(20)  # drawn heads give all rows nearly equal probabilities
    found = read(network, weights, inputs, labels)
    norms, losses, right = [], [], []
    for row in range(len(labels)):
        logits = network.logits(weights, network.batch(inputs, np.array([row])), network.dropout())
        loss = functional.cross_entropy(logits, labels[row : row + 1])
        gradient, bias = torch.autograd.grad(loss, last)
        product = np.outer(found.errors[row], found.inputs[row])
        np.testing.assert_allclose(product, torch.cat([gradient, bias[:, None]], 1).numpy(), atol=2e-6)
        norms.append(float(torch.cat([gradient.flatten(), bias]).norm()))
        losses.append(loss.item())
        right.append(int(logits.argmax()) == int(labels[row]))
    np.testing.assert_allclose(grand([Checkpoint(found.errors, found.inputs)]), norms, rtol=1e-4, atol=1e-6)
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert found.accuracy == pytest.approx(np.mean(right))
    assert np.ptp(norms) > 0.1
