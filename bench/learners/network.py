"""A network whose weights are values: it reads texts or embeddings and is told its weights at each call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from bench.api import Context
from bench.data.encoders import Tokens
from bench.learners.embedded import Embedded
from bench.learners.head import Head
from bench.learners.layers import Weights
from bench.learners.packed import Packed
from bench.learners.pretrained import Initial


class Output(NamedTuple):
    """What a forward pass gives; stacked runs have a leading axis."""

    hidden: Tensor  # last layer's state of the token that the head reads, [B, d]
    head_input: Tensor  # what the untrained head reads, [B, d]: the same, or BERT's pooler's output
    logits: Tensor  # float32 [B, C]


Inputs = Tokens | Embedded | Packed  # texts, word embeddings, or hidden states above the frozen layers


class Network(Protocol):
    """An encoder classifier. Its own tensors never change; whoever trains it holds the weights."""

    device: str
    n_classes: int
    width: int  # d
    depth: int  # layers of the encoder; 0: not known
    predict_tokens: int  # padded tokens of a batch without gradients
    spared: frozenset[str]  # names of weights that do not decay
    initial: Initial  # called with a CPU generator: the weights from which a run starts

    @property
    def entries(self) -> Mapping[int, int]:
        """Layers whose input may be given in the place of texts -> the width of that input."""
        ...

    @property
    def positions(self) -> int | None:
        """The most tokens that it reads; None: any number."""
        ...

    @property
    def attention(self) -> tuple[int, int] | None:
        """Trained layers and heads, where the network has `attended` (`BertNetwork`); None: it tells no attention."""
        ...

    @property
    def head(self) -> Head:
        """The last layer. Raises UserError for an architecture where it is not known; `logits` works there too."""
        ...

    def tokenize(self, texts: Mapping[str, Sequence[str]], fields: Sequence[str]) -> Tokens:
        """N texts, or N pairs when there are two fields, truncated to what the network reads."""
        ...

    def prepare(self, inputs: Inputs) -> Inputs:
        """What does not depend on the trained weights, once for all steps."""
        ...

    def shared(self, texts: Mapping[str, Sequence[str]], fields: Sequence[str], ctx: Context) -> Inputs:
        """The same for texts that many jobs read: kept in the cache."""
        ...

    def dropout(self, *seeds: int) -> Any:
        """Dropout of a run, or of several stacked ones, as `encode` and `logits` take it; none without a seed."""
        ...

    def batch(self, inputs: Inputs, rows: np.ndarray) -> Any:
        """Some rows of inputs, as `encode` and `logits` read them."""
        ...

    def encode(self, weights: Weights, batch: Any, drop: Any) -> tuple[Tensor, Tensor]:
        """`Output.hidden` and `Output.head_input`."""
        ...

    def logits(self, weights: Weights, batch: Any, drop: Any) -> Tensor:
        """`Output.logits`."""
        ...

    def forward(self, weights: Weights, batch: Any, drop: Any) -> Output:
        """All of it from one pass."""
        ...


def stacked(runs: Sequence[Weights]) -> dict[str, Tensor]:
    """The weights of several runs as new leaf tensors [runs, ...]."""
    return {name: torch.stack([run[name].detach() for run in runs]).requires_grad_() for name in runs[0]}
