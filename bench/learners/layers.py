"""The layers of BERT-like encoders as functions of their weights, on packed states.

Names are those of the transformers classifier. With weights of stacked runs, [runs, ...], states are [runs, tokens, d].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bench.learners.dropout import Drop
from bench.learners.linear import affine
from bench.learners.packed import Layout

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Layer:
    """What a layer is besides its weights: where they stand, heads of size e, activation, dropout rates."""

    prefix: str
    heads: int
    size: int
    activation: Callable[[Tensor], Tensor]
    eps: tuple[float, float]  # of the LayerNorms after attention and after the feed-forward part
    rates: tuple[float, float, float]  # of attention weights, of attention's output, of the feed-forward part's

    @classmethod
    def of(cls, prefix: str, module: Any) -> Layer:
        """The facts of a transformers layer."""
        own, attended, out = module.attention.self, module.attention.output, module.output
        return cls(
            prefix,
            own.num_attention_heads,
            own.attention_head_size,
            module.intermediate.intermediate_act_fn,
            (attended.LayerNorm.eps, out.LayerNorm.eps),
            (own.dropout.p, attended.dropout.p, out.dropout.p),
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
    layer: Layer, weights: Weights, x: Tensor, batch: Layout, drop: Drop, seen: list[Tensor] | None = None
) -> Tensor:
    """Self-attention of all tokens with its residual and LayerNorm: packed [tokens, d] -> the same shape.

    seen: gets the scores before softmax, [B, H, L, L].
    """
    q, k, v = (
        batch.pad(layer.linear(weights, f"attention.self.{part}", x))
        .unflatten(-1, (layer.heads, layer.size))
        .transpose(-2, -3)
        for part in ("query", "key", "value")
    )
    scores = batch.masked(q @ k.transpose(-1, -2) / math.sqrt(layer.size))
    if seen is not None:
        seen.append(scores)
    context = drop(torch.softmax(scores, -1), layer.rates[0]) @ v
    merged = batch.unpad(context.transpose(-2, -3).flatten(-2))
    return _attended(layer, weights, merged, x, drop)


def first_attention(
    layer: Layer, weights: Weights, x: Tensor, batch: Layout, drop: Drop, seen: list[Tensor] | None = None
) -> Tensor:
    """The same for position 0 of each text alone: packed [tokens, d] -> [B, d]; scores [B, H, 1, L].

    Keys and values are never formed: q.(W_k x) = (W_k^T q).x and sum_j a_j (W_v x_j) = W_v (sum_j a_j x_j). The key's
    bias adds the same number to all scores of a query, which softmax cancels.
    """
    heads, own = (layer.heads, layer.size), f"{layer.prefix}attention.self."
    first, padded = batch.firsts(x), batch.pad(x)
    q = layer.linear(weights, "attention.self.query", first).unflatten(-1, heads)
    back = torch.einsum("...bhe,...hed->...bhd", q, weights[own + "key.weight"].unflatten(-2, heads))
    scores = batch.masked((back @ padded.transpose(-1, -2) / math.sqrt(layer.size)).unsqueeze(-2))
    if seen is not None:
        seen.append(scores)
    a = drop(torch.softmax(scores, -1), layer.rates[0]).squeeze(-2)
    context = torch.einsum("...bhd,...hed->...bhe", a @ padded, weights[own + "value.weight"].unflatten(-2, heads))
    bias = weights[own + "value.bias"].unflatten(-1, heads)
    context = context + (bias if bias.ndim == 2 else bias[:, None]) * a.sum(-1, keepdim=True)
    return _attended(layer, weights, context.flatten(-2), first, drop)


def _attended(layer: Layer, weights: Weights, context: Tensor, x: Tensor, drop: Drop) -> Tensor:
    out = drop(layer.linear(weights, "attention.output.dense", context), layer.rates[1])
    return layer.norm(weights, "attention.output.LayerNorm", out + x, layer.eps[0])


def feed_forward(layer: Layer, weights: Weights, x: Tensor, drop: Drop) -> Tensor:
    """The position-wise part of a layer with its residual and LayerNorm, any [n, d]."""
    inner = layer.activation(layer.linear(weights, "intermediate.dense", x))
    out = drop(layer.linear(weights, "output.dense", inner), layer.rates[2])
    return layer.norm(weights, "output.LayerNorm", out + x, layer.eps[1])
