"""Biases on attention scores by the distance of two tokens, from one table that all layers read (MPNet)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.learners.packed import Layout


class RelativeBias:
    """The table [buckets, H] of a transformers encoder; name: of its weight in the classifier."""

    def __init__(self, name: str, encoder: Any) -> None:
        self.name, self._bucket = name, encoder.relative_position_bucket

    def __call__(self, table: Tensor, batch: Layout) -> Tensor:
        """What to add to scores [B, H, L, L]: [H, L, L]; [runs, 1, H, L, L] from the tables of stacked runs."""
        places = torch.arange(batch.longest, device=table.device)
        buckets = self._bucket(places[None, :] - places[:, None])  # of key minus query
        found = table.index_select(-2, buckets.flatten()).unflatten(-2, buckets.shape).movedim(-1, -3)
        return found if table.ndim == 2 else found[:, None]


def relative_bias(prefix: str, encoder: Any) -> RelativeBias | None:
    """That of an encoder, where it has one; prefix: of the encoder's weights."""
    known = hasattr(encoder, "relative_attention_bias")
    return RelativeBias(f"{prefix}relative_attention_bias.weight", encoder) if known else None
