"""What an embedding-level set consists of while it is trained: free numbers, and the quantities that they stand for."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from methods.embedding.learner import Learner
from methods.embedding.params import UnrolledParams, group_count

ATTENTION_STD = 1.0  # of attention labels before softmax, as drawn at first


class Variables:
    """The free numbers of a set: E [N, L, d], labels [N, C], raw step sizes [T], attention [N, layers, heads, rows, L].

    eta = softplus(raw); labels are the softmax of their numbers, or the numbers; attention is a softmax over keys.
    `free`: name -> leaf tensor of what is learned, in the order of the trainer.
    """

    def __init__(
        self, learner: Learner, vectors: np.ndarray, labels: np.ndarray, params: UnrolledParams, seed: int
    ) -> None:
        """vectors: where E starts, class by class; labels: int64 [N], each example's own class."""
        self.learner, self.params = learner, params
        device, c = learner.device, learner.network.n_classes
        n, dpc = len(vectors), len(vectors) // c
        self.groups = np.tile(np.arange(dpc) % group_count(params, dpc), c)
        self.n_steps = group_count(params, dpc) * params.epochs
        self.labels = np.asarray(labels)
        one_hot = torch.eye(c)[torch.from_numpy(self.labels)]
        self._fixed = {
            "embeddings": torch.from_numpy(vectors),
            "labels": one_hot if params.labels == "hard" else params.label_start * one_hot,
            "step_sizes": torch.full((self.n_steps,), math.log(math.expm1(params.step_size))),
        }
        if params.attention_labels != "none":
            layers, length = learner.network.layers, vectors.shape[1]
            rows = 1 if params.attention_labels == "cls" else length
            drawn = torch.Generator().manual_seed(seed)
            shape = (n, len(layers), layers[0].heads, rows, length)
            self._fixed["attention"] = torch.empty(shape).normal_(0.0, ATTENTION_STD, generator=drawn)
        self._fixed = {name: value.float().to(device) for name, value in self._fixed.items()}
        learned = {
            "embeddings": params.learn_embeddings,
            "labels": params.labels != "hard",
            "step_sizes": params.learn_step_sizes,
            "attention": True,
        }
        self.free = {name: value.requires_grad_() for name, value in self._fixed.items() if learned[name]}

    def values(self) -> dict[str, Tensor]:
        """The quantities themselves, differentiable in what is free: `states` is what the trained layers read."""
        free = self._fixed
        found = {"states": self.learner.states(free["embeddings"]), "targets": self.targets()}
        found["step_sizes"] = functional.softplus(free["step_sizes"])
        if "attention" in free:
            found["attention"] = torch.softmax(free["attention"], -1)
        return found

    def targets(self) -> Tensor:
        """Targets of the cross-entropy, [N, C]."""
        return torch.softmax(self._fixed["labels"], 1) if self.params.labels == "soft" else self._fixed["labels"]

    @torch.no_grad()
    def arrays(self) -> dict[str, np.ndarray]:
        """The set as it would be kept: float32 arrays by the names of `bench.api.Embeddings`."""
        values = self.values()
        found = {
            "inputs_embeds": self._fixed["embeddings"],
            "label_distribution": values["targets"],
            "step_sizes": values["step_sizes"],
        }
        if "attention" in values:
            found["attention_labels"] = values["attention"]
        return {name: value.detach().cpu().numpy().copy() for name, value in found.items()}
