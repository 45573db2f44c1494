"""The last layer of a classifier: what is drawn at random before training, and its gradients from a forward pass.

It is one linear map (BERT, decoders such as GPT-2), or two with tanh between them (RoBERTa, XLNet).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.api import UserError
from bench.learners.dropout import Drop
from bench.learners.layers import Weights

TWO_MAPS = ("roberta", "xlm-roberta", "camembert", "mpnet")
SUPPORTED = ("bert", *TWO_MAPS, "xlnet", "gpt2")


@dataclass(frozen=True)
class Head:
    """z = out(drop(x)), or z = out(drop(tanh(dense(drop(x))))); `rate` and `dense_rate` are of the dropout before.

    `out` and `dense` are names of linear maps among the weights of the classifier.
    """

    out: str
    rate: float
    dense: str | None = None
    dense_rate: float = 0.0

    def logits(
        self, weights: Weights, x: Tensor, drop: Drop, linear: Callable[..., Tensor] = functional.linear
    ) -> Tensor:
        """[n, C] from what the head reads, [n, d]."""
        if self.dense is not None:
            x = torch.tanh(linear(drop(x, self.dense_rate), *_map(weights, self.dense)))
        return linear(drop(x, self.rate), *_map(weights, self.out))

    @torch.no_grad()
    def factors(self, weights: Weights, x: Tensor, labels: Tensor, drop: Drop) -> tuple[tuple[Tensor, Tensor], ...]:
        """Gradients of each sample's cross-entropy: x [n, d] is what the head reads, labels int64 [n].

        For each linear map, the first one first, U [n, p] and V [n, q]: the gradient of sample i is the outer product
        of U_i and V_i, with a column of ones in V for the bias. Of `out` they are delta_i = softmax(z_i) - onehot(y_i)
        and h_i; delta_i reaches `dense` through dropout and tanh. `drop` is called as in `logits`.
        """
        if self.dense is not None:
            x = drop(x, self.dense_rate)
        h = x if self.dense is None else torch.tanh(functional.linear(x, *_map(weights, self.dense)))
        mask = drop(torch.ones_like(h), self.rate)  # 0 or 1 / (1 - rate); the way back needs it too
        weight, bias = _map(weights, self.out)
        delta = errors(functional.linear(h * mask, weight, bias), labels)
        last = delta, _with_ones(h * mask, bias)
        if self.dense is None:
            return (last,)
        back = delta @ weight * mask * (1.0 - h**2)
        return (back, _with_ones(x, _map(weights, self.dense)[1])), last


def _map(weights: Weights, name: str) -> tuple[Tensor, Tensor | None]:
    return weights[f"{name}.weight"], weights.get(f"{name}.bias")


def errors(logits: Tensor, labels: Tensor) -> Tensor:
    """softmax(z_i) - onehot(y_i), [n, C]; at y_i as minus the sum of the rest, exact also where p is nearly 1."""
    delta = torch.softmax(logits, 1).scatter(1, labels[:, None], 0.0)
    return delta.scatter(1, labels[:, None], -delta.sum(1, keepdim=True))


def _with_ones(x: Tensor, bias: Tensor | None) -> Tensor:
    """x with a column of ones for the bias, if there is one."""
    return x if bias is None else functional.pad(x, (0, 1), value=1.0)


def head_of(model: Any) -> Head:
    """The head of a transformers sequence classifier. Raises UserError for an architecture that is not known."""
    kind = model.config.model_type
    if kind == "bert":
        return Head("classifier", model.dropout.p)
    if kind in TWO_MAPS:
        rate = model.classifier.dropout.p
        return Head("classifier.out_proj", rate, "classifier.dense", rate)
    if is_decoder(model):
        return Head("score", 0.0)
    if kind == "xlnet" and _usual(model.config):
        summary = model.sequence_summary
        first, last = (getattr(part, "p", 0.0) for part in (summary.first_dropout, summary.last_dropout))
        return Head("logits_proj", last, "sequence_summary.summary", first)
    raise UserError(
        f"the last layer of this model of type '{kind}' is not known here; "
        f"choose a model of type {', '.join(SUPPORTED)}, with its usual head"
    )


def is_decoder(model: Any) -> bool:
    """Whether this classifier reads the last token of a text by one linear map, as those of decoders do."""
    return isinstance(getattr(model, "score", None), nn.Linear) and not model.config.is_encoder_decoder


def reads_last_place(model: Any) -> bool:
    """Whether this classifier reads the last place of a row, so that padding has to stand before the text: XLNet's.

    Raises UserError for one that would read padding on either side.
    """
    config = model.config
    if config.model_type != "xlnet":
        return False
    if config.summary_type != "last":
        raise UserError(
            f"an XLNet with summary_type '{config.summary_type}' reads padding with the text: "
            "set it to 'last' in the model's config.json"
        )
    return True


def _usual(config: Any) -> bool:
    """Whether an XLNet reads its last token through a square map and tanh, as published."""
    usual = config.summary_type == "last" and config.summary_use_proj and config.summary_activation == "tanh"
    return bool(usual and not getattr(config, "summary_proj_to_labels", False))


def head_states(model: Any, states: Tensor, mask: Tensor) -> Tensor:
    """State of the token that the head reads, which is [CLS] where there is one: [B, L, d], int [B, L] -> [B, d]."""
    if is_decoder(model):
        last = (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(1)
        return states[torch.arange(len(states), device=states.device), last]
    return states[:, -1 if model.config.model_type == "xlnet" else 0]


def head_input(model: Any, output: Any, mask: Tensor) -> Tensor:
    """What the head reads, [B, d], from the base model's output and the attention mask."""
    found: Tensor = (
        output.pooler_output
        if model.config.model_type == "bert"
        else head_states(model, output.last_hidden_state, mask)
    )
    return found
