"""A network whose weights are values: it reads texts or embeddings and is told its weights at each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from bench.learners.words import Words


class Output(NamedTuple):
    """What a forward pass gives; stacked runs have a leading axis."""

    hidden: Tensor  # last layer's state of the token that the head reads, [B, d]
    head_input: Tensor  # what the untrained head reads, [B, d]: the same, or BERT's pooler's output
    logits: Tensor  # float32 [B, C]


# Texts, word embeddings, hidden states above the frozen layers, or texts as rows of trained tables.
Inputs = Tokens | Embedded | Packed | Words


class Narrowed(NamedTuple):
    """A training that leaves out what its inputs cannot reach: its weights and inputs.

    `widen` brings the result into the weights of before, given the product of the decays of all steps.
    """

    weights: Weights
    inputs: Inputs
    widen: Callable[[float], None]


class Network(Protocol):
    """An encoder classifier. Its own tensors never change; whoever trains it holds the weights."""

    device: str
    n_classes: int
    width: int  # d
    depth: int  # layers of the encoder; 0: not known
    predict_tokens: int  # padded tokens of a batch without gradients
    spared: frozenset[str]  # names of weights that do not decay
    at_once: bool  # whether stacked runs are one computation, not one after another
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

    def narrow(self, weights: Weights, inputs: Inputs) -> Narrowed:
        """A training on prepared inputs without what they cannot reach."""
        ...

    def batch(self, inputs: Inputs, rows: np.ndarray) -> Any:
        """Some rows [B] of inputs, as `encode` and `logits` read them; [runs, B]: a run's own, of stacked runs."""
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


def all_of_it(weights: Weights, inputs: Inputs) -> Narrowed:
    """The training as it is."""
    return Narrowed(weights, inputs, lambda decay: None)


def stacked(runs: Sequence[Weights]) -> dict[str, Tensor]:
    """The weights of several runs as new leaf tensors [runs, ...]."""
    return {name: torch.stack([run[name].detach() for run in runs]).requires_grad_() for name in runs[0]}
