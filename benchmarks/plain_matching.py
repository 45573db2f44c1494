"""The plain way to match gradients, for comparison: autograd through the whole learner, as a first script would.

The gradient of the real texts' mean loss with respect to all parameters; that of sum_i a_i l_theta(x_i) with its
graph kept; the last layer's parts of both; then backward through the second into a_i.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class PlainLearner:
    """A BERT-like classifier with all parameters trained, in evaluation mode."""

    def __init__(self, folder: str, n_classes: int, head_only: bool) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=n_classes, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        self.head = [self.model.classifier.weight, self.model.classifier.bias]
        self.wanted = self.head if head_only else list(self.model.parameters())

    def losses(self, texts: Sequence[str], label: int) -> Tensor:
        """Cross-entropy of each text, [n]."""
        inputs = self.tokenizer(list(texts), padding=True, truncation=True, max_length=512, return_tensors="pt")
        wanted = torch.full((len(texts),), label, device=self.model.device)
        return functional.cross_entropy(self.model(**inputs.to(self.model.device)).logits, wanted, reduction="none")

    def last_layer(self, loss: Tensor, keep_graph: bool) -> Tensor:
        """The last layer's gradient, flattened, out of that of all wanted parameters."""
        found = torch.autograd.grad(loss, self.wanted, create_graph=keep_graph, allow_unused=True)
        mine = {id(parameter): grad for parameter, grad in zip(self.wanted, found, strict=True)}
        return torch.cat([mine[id(parameter)].flatten() for parameter in self.head])

    def step(self, real: Sequence[str], synthetic: Sequence[str], label: int, a: Tensor) -> tuple[float, Tensor]:
        """L_GM and dL_GM/da [N]."""
        a = a.clone().requires_grad_()
        target = self.last_layer(self.losses(real, label).mean(), keep_graph=False)
        own = self.last_layer((a * self.losses(synthetic, label)).sum(), keep_graph=True)
        loss = 1.0 - functional.cosine_similarity(target, own, dim=0)
        (gradient,) = torch.autograd.grad(loss, a)
        return float(loss.detach()), gradient
