"""The last layer of a classifier: what is drawn at random before training, and its gradients from a forward pass.

It is one linear map (BERT, GPT-2), or two with tanh between them (RoBERTa, XLNet).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.api import UserError
from bench.learners.split import Drop, Top

ROBERTA = ("roberta", "xlm-roberta", "camembert")
SUPPORTED = ("bert", *ROBERTA, "xlnet", "gpt2")


@dataclass(frozen=True)
class Head:
    """z = out(drop(x)), or z = out(drop(tanh(dense(drop(x))))); `rate` and `dense_rate` are of the dropout before."""

    out: nn.Linear
    rate: float
    dense: nn.Linear | None = None
    dense_rate: float = 0.0

    def logits(self, x: Tensor, drop: Drop) -> Tensor:
        """[n, C] from what the head reads, [n, d]."""
        if self.dense is not None:
            x = torch.tanh(self.dense(drop(x, self.dense_rate)))
        found: Tensor = self.out(drop(x, self.rate))
        return found

    @torch.no_grad()
    def factors(self, x: Tensor, labels: Tensor, drop: Drop) -> tuple[tuple[Tensor, Tensor], ...]:
        """Gradients of each sample's cross-entropy: x [n, d] is what the head reads, labels int64 [n].

        For each linear map, the first one first, U [n, p] and V [n, q]: the gradient of sample i is the outer product
        of U_i and V_i, with a column of ones in V for the bias. Of `out` they are delta_i = softmax(z_i) - onehot(y_i)
        and h_i; delta_i reaches `dense` through dropout and tanh. `drop` is called as in `logits`.
        """
        if self.dense is not None:
            x = drop(x, self.dense_rate)
        h = x if self.dense is None else torch.tanh(self.dense(x))
        mask = drop(torch.ones_like(h), self.rate)  # 0 or 1 / (1 - rate); the way back needs it too
        delta = errors(self.out(h * mask), labels)
        last = (delta, _with_ones(h * mask, self.out))
        if self.dense is None:
            return (last,)
        back = delta @ self.out.weight * mask * (1.0 - h**2)
        return (back, _with_ones(x, self.dense)), last


def errors(logits: Tensor, labels: Tensor) -> Tensor:
    """softmax(z_i) - onehot(y_i), [n, C]; at y_i as minus the sum of the rest, exact also where p is nearly 1."""
    delta = torch.softmax(logits, 1).scatter(1, labels[:, None], 0.0)
    return delta.scatter(1, labels[:, None], -delta.sum(1, keepdim=True))


def _with_ones(x: Tensor, layer: nn.Linear) -> Tensor:
    """x with a column of ones for the bias, if there is one."""
    return x if layer.bias is None else functional.pad(x, (0, 1), value=1.0)


def head_of(model: Any) -> Head:
    """The head of a transformers sequence classifier. Raises UserError for an architecture that is not known."""
    kind = model.config.model_type
    if kind == "bert":
        return Head(model.classifier, model.dropout.p)
    if kind in ROBERTA:
        head = model.classifier
        return Head(head.out_proj, head.dropout.p, head.dense, head.dropout.p)
    if kind == "gpt2":
        return Head(model.score, 0.0)
    if kind == "xlnet" and _usual(model.config):
        summary = model.sequence_summary
        first, last = (getattr(part, "p", 0.0) for part in (summary.first_dropout, summary.last_dropout))
        return Head(model.logits_proj, last, summary.summary, first)
    raise UserError(
        f"the last layer of this model of type '{kind}' is not known here; "
        f"choose a model of type {', '.join(SUPPORTED)}, with its usual head"
    )


def _usual(config: Any) -> bool:
    """Whether an XLNet reads its last token through a square map and tanh, as published."""
    usual = config.summary_type == "last" and config.summary_use_proj and config.summary_activation == "tanh"
    return bool(usual and not getattr(config, "summary_proj_to_labels", False))


def head_states(model: Any, states: Tensor, mask: Tensor) -> Tensor:
    """State of the token that the head reads, which is [CLS] where there is one: [B, L, d], int [B, L] -> [B, d]."""
    kind = model.config.model_type
    if kind == "gpt2":
        last = (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(1)
        return states[torch.arange(len(states), device=states.device), last]
    return states[:, -1 if kind == "xlnet" else 0]


def head_input(model: Any, output: Any, mask: Tensor) -> Tensor:
    """What the head reads, [B, d], from the base model's output and the attention mask."""
    found: Tensor = (
        output.pooler_output
        if model.config.model_type == "bert"
        else head_states(model, output.last_hidden_state, mask)
    )
    return found


def split_head(top: Top) -> Head:
    """The head of a split model: BERT's pooler is pretrained, so it is no part of it."""
    if top.pooled:
        return Head(top.out, top.rates[1])
    return Head(top.out, top.rates[1], top.dense, top.rates[0])
