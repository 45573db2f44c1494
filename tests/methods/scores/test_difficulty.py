"""EL2N and GraNd against numpy one row at a time and against autograd."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from methods.scores.checkpoints import Checkpoint
from methods.scores.difficulty import el2n, grand
from tests.methods.scores.conftest import random_checkpoints


def test_el2n_is_a_mean_over_checkpoints_of_each_row() -> None:
    checkpoints = random_checkpoints(7, 3, 5, 4)
    scores = el2n(checkpoints)
    assert scores.shape == (7,)
    for row in range(7):
        norms = [np.sqrt(sum(float(e) ** 2 for e in each.errors[row])) for each in checkpoints]
        assert abs(scores[row] - sum(norms) / 4) < 1e-12


def test_grand_is_the_norm_of_each_rows_gradient_by_autograd() -> None:
    torch.manual_seed(0)
    n, classes, d = 6, 3, 5
    labels = torch.randint(classes, (n,))
    checkpoints, expected, el2ns, inputs = [], np.zeros(n), [], []
    for _ in range(3):
        layer, h = torch.nn.Linear(d, classes), torch.randn(n, d) * 3
        for row in range(n):
            layer.zero_grad()
            functional.cross_entropy(layer(h[row : row + 1]), labels[row : row + 1]).backward()
            norm = torch.cat([layer.weight.grad.flatten(), layer.bias.grad]).norm()
            expected[row] += float(norm) / 3
        with torch.no_grad():
            errors = torch.softmax(layer(h), 1) - functional.one_hot(labels, classes)
        checkpoints.append(Checkpoint(errors.numpy(), functional.pad(h, (0, 1), value=1.0).numpy()))
        el2ns.append(errors.norm(dim=1).numpy())
        inputs.append(np.sqrt(1 + (h**2).sum(1).numpy()))
    found = grand(checkpoints)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(found, np.mean([e * h for e, h in zip(el2ns, inputs, strict=True)], axis=0), rtol=1e-6)
    after = np.mean(el2ns, axis=0) * np.mean(inputs, axis=0)  # the product after averaging is another number
    assert np.abs(found - after).max() > 1e-3
