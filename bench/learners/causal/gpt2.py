"""GPT-2 on a CPU without padding outside attention: forward and backward on the real positions alone.

The function is transformers' own. In training so are the digits, up to 1,024 padded positions: where products and sums
run over fewer rows, those left out are zeros (a test). Dropout masks are drawn for padded shapes, so that they are
those of the model's own forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bench.data import onednn

CHUNK_VALUES = 1 << 17  # log probabilities at a time in the backward pass: they stay in a core's cache


def can_pack(model: Any) -> bool:
    """Whether `hidden` and `nll` know this model, and the CPU has what they need."""
    return (
        type(model) is transformers.GPT2LMHeadModel
        and model.config._attn_implementation == "sdpa"
        and not model.config.add_cross_attention
        and model.get_output_embeddings().bias is None
        and next(model.parameters()).device.type == "cpu"
        and next(model.parameters()).dtype == torch.float32
        and onednn.available()
    )


@dataclass(frozen=True)
class Places:
    """Where the n real positions of B texts lie in [B, L]; padding is on the right."""

    ids: Tensor  # int64 [n]
    rows: Tensor  # int64 [n], into B * L
    shape: tuple[int, int]  # B, L

    @classmethod
    def of(cls, ids: Tensor, real: Tensor) -> Places:
        """Of ids int64 [B, L], and which of them are real, bool [B, L]."""
        rows = torch.nonzero(real.flatten()).squeeze(1)
        return cls(ids.flatten()[rows], rows, (ids.shape[0], ids.shape[1]))

    def padded(self, x: Tensor) -> Tensor:
        """x [n, d] with zeros between: [B, L, d]."""
        full = x.new_zeros(self.shape[0] * self.shape[1], x.shape[1])
        return full.index_copy_(0, self.rows, x).view(*self.shape, -1)

    def packed(self, x: Tensor) -> Tensor:
        """x [B, L, d] at the real positions: [n, d]."""
        return x.reshape(-1, x.shape[2]).index_select(0, self.rows)


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, at: Places) -> Tensor:
        ctx.at = at
        return at.packed(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.at.padded(grad), None


class _Conv1D(torch.autograd.Function):
    """x [n, d_in] times weight [d_in, d_out], plus bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, at: Places) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.at = at
        return onednn.product(weight.t(), bias, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias, _ = ctx.needs_input_grad
        return (
            onednn.product(weight, None, grad) if to_x else None,
            onednn.product(grad.t(), None, x.t()) if to_weight else None,
            ctx.at.padded(grad).flatten(0, 1).sum(0) if to_bias else None,  # rounded as the sum over padded rows
            None,
        )


class _Attention(torch.autograd.Function):
    """Causal attention of h heads with dropout: queries, keys and values [n, 3 d] -> [n, d].

    The steps and their order are those of PyTorch's own, so the digits are too.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, at: Places, heads: int, scale: float, rate: float) -> Tensor:
        B, L = at.shape
        q, k, v = at.padded(qkv).view(B, L, 3, heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = q * scale**0.5, k * scale**0.5, v.contiguous()
        weights = (q @ k.transpose(-2, -1)).add_(_future(L)).softmax(-1)
        kept = torch.empty_like(weights).bernoulli_(1.0 - rate).div_(1.0 - rate) if rate else None
        ctx.save_for_backward(q, k, v, weights, kept)
        ctx.at, ctx.scale = at, scale
        mixed = (weights if kept is None else weights * kept) @ v
        return at.packed(mixed.transpose(1, 2).reshape(B, L, -1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        q, k, v, weights, kept = ctx.saved_tensors
        B, heads, L, width = q.shape
        found = q.new_empty(B, L, 3, heads, width)
        to_q, to_k, to_v = found.permute(2, 0, 3, 1, 4)
        grad = ctx.at.padded(grad).view(B, L, heads, width).transpose(1, 2)
        to_v.copy_((weights if kept is None else weights * kept).transpose(-2, -1) @ grad)
        to_weights = grad @ v.transpose(-2, -1)
        if kept is not None:
            to_weights *= kept
        to_scores = torch.ops.aten._softmax_backward_data(to_weights, weights, -1, torch.float32)
        torch.mul(to_scores @ k, ctx.scale**0.5, out=to_q)
        torch.mul((q.transpose(-2, -1) @ to_scores).transpose(-2, -1), ctx.scale**0.5, out=to_k)
        return ctx.at.packed(found.view(B, L, -1)), None, None, None, None


@lru_cache(maxsize=64)
def _future(length: int) -> Tensor:
    """-inf where a position would look ahead, else 0: [L, L]."""
    return torch.full((length, length), -torch.inf).triu(1)


class _NLL(torch.autograd.Function):
    """Negative log-likelihood of the next tokens; the logits' buffer holds log probabilities, then the gradient."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        scores = onednn.product(head, None, hidden)
        torch.log_softmax(scores, -1, out=scores)
        ctx.save_for_backward(hidden, head, targets)
        ctx.scores = scores
        return scores.gather(1, targets[:, None]).squeeze(1).neg_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        hidden, head, targets = ctx.saved_tensors
        scores, ctx.scores = ctx.scores, None
        step = max(1, CHUNK_VALUES // scores.shape[1])
        wanted = scores.new_zeros(min(step, len(scores)), scores.shape[1])
        for some, t, g in zip(scores.split(step), targets.split(step), grad.split(step), strict=True):
            own = wanted[: len(some)].scatter_(1, t[:, None], -g[:, None])
            torch.ops.aten._log_softmax_backward_data.out(own, some, -1, torch.float32, out=some)
            own.scatter_(1, t[:, None], 0.0)
        return (
            onednn.product(head.t(), None, scores) if ctx.needs_input_grad[0] else None,
            # The smaller factor is the one that has to be copied, and then the product: logits are 16 times larger.
            onednn.product(scores.t(), None, hidden.t()).t().contiguous() if ctx.needs_input_grad[1] else None,
            None,
        )


def nll(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """-log p of each target under softmax(hidden @ head^T): hidden [n, d], head [V, d], targets int64 [n] -> [n].

    Backward may be called once.
    """
    found: Tensor = _NLL.apply(hidden, head, targets)
    return found


def hidden(model: Any, ids: Tensor, real: Tensor) -> Tensor:
    """Last hidden states at the real positions of ids int64 [B, L] with padding on the right: [n, d]."""
    at, base = Places.of(ids, real), model.transformer
    positions: Any = base.wpe(torch.arange(at.shape[1])[None]).expand(at.shape[0], -1, -1)
    x = _dropout(base.wte(at.ids) + _Pack.apply(positions, at), base.drop, at)
    for block in base.h:
        x = _attention(block.attn, block.ln_1(x), at) + x
        x = x + _mlp(block.mlp, block.ln_2(x), at)
    found: Tensor = base.ln_f(x)
    return found


def _attention(layer: Any, x: Tensor, at: Places) -> Tensor:
    rate = layer.attn_dropout.p if layer.training else 0.0
    mixed: Any = _Attention.apply(_conv(layer.c_attn, x, at), at, layer.num_heads, layer.scaling, rate)
    return _dropout(_conv(layer.c_proj, mixed, at), layer.resid_dropout, at)


def _mlp(layer: Any, x: Tensor, at: Places) -> Tensor:
    return _dropout(_conv(layer.c_proj, layer.act(_conv(layer.c_fc, x, at)), at), layer.dropout, at)


def _conv(layer: Any, x: Tensor, at: Places) -> Tensor:
    found: Tensor = _Conv1D.apply(x, layer.weight, layer.bias, at)
    return found


def _dropout(x: Tensor, layer: nn.Dropout, at: Places) -> Tensor:
    if not layer.training or layer.p == 0:
        return x
    kept = torch.empty(*at.shape, x.shape[1], dtype=torch.int32).bernoulli_(1.0 - layer.p)
    return x * at.packed(kept).to(x.dtype).div_(1.0 - layer.p)
