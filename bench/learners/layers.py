"""The layers of BERT-like encoders as functions of their weights, on packed states.

Names are those of the transformers classifier. With weights of stacked runs, [runs, ...], states are [runs, tokens, d].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from bench.learners.dropout import Drop
from bench.learners.linear import affine
from bench.learners.packed import Layout

Weights = Mapping[str, Tensor]


class Names(NamedTuple):
    """Where the maps and the LayerNorm of attention stand in a layer."""

    query: str
    key: str
    value: str
    out: str
    norm: str


BERT = Names(
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
)
MPNET = Names("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o", "attention.LayerNorm")


@dataclass(frozen=True)
class Layer:
    """What a layer is besides its weights: where they stand, heads of size e, activation, dropout rates."""

    prefix: str
    heads: int
    size: int
    activation: Callable[[Tensor], Tensor]
    eps: tuple[float, float]  # of the LayerNorms after attention and after the feed-forward part
    rates: tuple[float, float, float]  # of attention weights, of attention's output, of the feed-forward part's
    names: Names = BERT

    @classmethod
    def of(cls, prefix: str, module: Any) -> Layer:
        """The facts of a transformers layer."""
        bert, out = hasattr(module.attention, "self"), module.output
        own = module.attention.self if bert else module.attention.attn
        attended = module.attention.output if bert else module.attention
        return cls(
            prefix,
            own.num_attention_heads,
            own.attention_head_size,
            module.intermediate.intermediate_act_fn,
            (attended.LayerNorm.eps, out.LayerNorm.eps),
            (own.dropout.p, attended.dropout.p, out.dropout.p),
            BERT if bert else MPNET,
        )

    def linear(self, weights: Weights, name: str, x: Tensor) -> Tensor:
        """One of its linear maps."""
        return affine(x, weights[f"{self.prefix}{name}.weight"], weights[f"{self.prefix}{name}.bias"])

    def norm(self, weights: Weights, name: str, x: Tensor, eps: float) -> Tensor:
        """One of its LayerNorms."""
        return layer_norm(x, weights[f"{self.prefix}{name}.weight"], weights[f"{self.prefix}{name}.bias"], eps)


def layer_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """LayerNorm of [n, d], also of stacked runs: scale and shift [runs, d]."""
    if scale.ndim == 1:
        return functional.layer_norm(x, scale.shape, scale, shift, eps)
    return functional.layer_norm(x, scale.shape[1:], eps=eps) * scale[:, None] + shift[:, None]


def attention(
    layer: Layer,
    weights: Weights,
    x: Tensor,
    batch: Layout,
    drop: Drop,
    bias: Tensor | None = None,
    seen: list[Tensor] | None = None,
) -> Tensor:
    """Self-attention of all tokens with its residual and LayerNorm: packed [tokens, d] -> the same shape.

    bias: added to the scores, see `RelativeBias`. seen: gets the scores before softmax, [B, H, L, L].
    """
    names = layer.names
    q, k, v = (
        batch.pad(layer.linear(weights, part, x)).unflatten(-1, (layer.heads, layer.size)).transpose(-2, -3)
        for part in (names.query, names.key, names.value)
    )
    scores = batch.masked(_biased(q @ k.transpose(-1, -2) / math.sqrt(layer.size), bias))
    if seen is not None:
        seen.append(scores)
    context = drop(torch.softmax(scores, -1), layer.rates[0]) @ v
    merged = batch.unpad(context.transpose(-2, -3).flatten(-2))
    return _attended(layer, weights, merged, x, drop)


def first_attention(
    layer: Layer,
    weights: Weights,
    x: Tensor,
    batch: Layout,
    drop: Drop,
    bias: Tensor | None = None,
    seen: list[Tensor] | None = None,
) -> Tensor:
    """The same for position 0 of each text alone: packed [tokens, d] -> [B, d]; scores [B, H, 1, L].

    Keys and values are never formed: q.(W_k x) = (W_k^T q).x and sum_j a_j (W_v x_j) = W_v (sum_j a_j x_j). The key's
    bias adds the same number to all scores of a query, which softmax cancels.
    """
    heads, names = (layer.heads, layer.size), layer.names
    first, padded = batch.firsts(x), batch.pad(x)
    q = layer.linear(weights, names.query, first).unflatten(-1, heads)
    back = torch.einsum("...bhe,...hed->...bhd", q, weights[f"{layer.prefix}{names.key}.weight"].unflatten(-2, heads))
    found = (back @ padded.transpose(-1, -2) / math.sqrt(layer.size)).unsqueeze(-2)
    scores = batch.masked(_biased(found, None if bias is None else bias[..., :1, :]))
    if seen is not None:
        seen.append(scores)
    a = drop(torch.softmax(scores, -1), layer.rates[0]).squeeze(-2)
    value, shift = (weights[f"{layer.prefix}{names.value}.{part}"] for part in ("weight", "bias"))
    context = torch.einsum("...bhd,...hed->...bhe", a @ padded, value.unflatten(-2, heads))
    shift = shift.unflatten(-1, heads)
    context = context + (shift if shift.ndim == 2 else shift[:, None]) * a.sum(-1, keepdim=True)
    return _attended(layer, weights, context.flatten(-2), first, drop)


def _biased(scores: Tensor, bias: Tensor | None) -> Tensor:
    return scores if bias is None else scores + bias


def _attended(layer: Layer, weights: Weights, context: Tensor, x: Tensor, drop: Drop) -> Tensor:
    out = drop(layer.linear(weights, layer.names.out, context), layer.rates[1])
    return layer.norm(weights, layer.names.norm, out + x, layer.eps[0])


def feed_forward(layer: Layer, weights: Weights, x: Tensor, drop: Drop) -> Tensor:
    """The position-wise part of a layer with its residual and LayerNorm, any [n, d]."""
    inner = layer.activation(layer.linear(weights, "intermediate.dense", x))
    out = drop(layer.linear(weights, "output.dense", inner), layer.rates[2])
    return layer.norm(weights, "output.LayerNorm", out + x, layer.eps[1])
