"""Encoder classifiers through their own forward pass: any architecture that transformers knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from bench.api import Context, UserError
from bench.data.encoders import Tokens, max_positions
from bench.learners.dropout import TorchDropout
from bench.learners.head import Head, head_input, head_of, head_states, is_decoder, reads_last_place
from bench.learners.layers import Weights
from bench.learners.network import Inputs, Narrowed, Output, all_of_it
from bench.learners.packed import Packed
from bench.learners.pretrained import Initial, Texts, check_depth, load_classifier, precision, word_table
from bench.learners.train import spared_by_module
from bench.learners.words import Words

Batch = dict[str, Tensor]  # model inputs


class WholeNetwork:
    """A `bench.learners.network.Network`; embeddings are word embeddings. Stacked runs follow one another."""

    predict_tokens, at_once = 8192, False

    def __init__(
        self,
        folder: Path,
        n_classes: int,
        device: str,
        *,
        trainable_layers: int | None,
        dropout: float | None,
        max_length: int,
    ) -> None:
        self.device, self.n_classes = device, n_classes
        self.model, drawn = load_classifier(folder, n_classes, dropout)
        self.texts = Texts(
            folder,
            self.model.base_model,
            max_length,
            left=reads_last_place(self.model),
            causal=is_decoder(self.model),
        )
        self.width = int(self.model.config.hidden_size)
        self.entries = _entries(self.model)
        self.depth = len(_layers(self.model.base_model))
        self.positions, self.attention = max_positions(self.model.base_model), None
        self.frozen = freeze_lower(self.model, trainable_layers) if trainable_layers is not None else []
        self.model.to(device).eval()
        self.initial = Initial(self.model, drawn)
        self.spared = frozenset(spared_by_module(self.model))
        try:
            self._head: Head | UserError = head_of(self.model)
        except UserError as error:  # its logits are all there is to know of it
            self._head = error

    @property
    def head(self) -> Head:
        """The last layer. Raises UserError where it is not known."""
        if isinstance(self._head, UserError):
            raise self._head
        return self._head

    def tokenize(self, texts: Mapping[str, Sequence[str]], fields: Sequence[str]) -> Tokens:
        """See Network."""
        return self.texts.encode(texts, fields)

    def prepare(self, inputs: Inputs) -> Inputs:
        """The inputs themselves."""
        return inputs

    def shared(self, texts: Mapping[str, Sequence[str]], fields: Sequence[str], ctx: Context) -> Tokens:
        """Their tokens: nothing else could be kept."""
        return self.tokenize(texts, fields)

    def dropout(self, *seeds: int) -> TorchDropout:
        """See Network; its masks are those of the model's own modules."""
        return TorchDropout(*seeds, device=self.device)

    def narrow(self, weights: Weights, inputs: Inputs) -> Narrowed:
        """All of it: which weights are tables is not known."""
        return all_of_it(weights, inputs)

    def batch(self, inputs: Inputs, rows: np.ndarray) -> Batch:
        """See Network. Raises ValueError for what only explicit layers read: hidden states, rows for each run."""
        if isinstance(inputs, Packed | Words):
            raise ValueError("hidden states are no input of a whole model")
        if rows.ndim == 2:
            raise ValueError("the stacked runs of a whole model read the same batches")
        return self.texts.pad(inputs, rows, self.device)

    def encode(self, weights: Weights, batch: Batch, drop: TorchDropout) -> tuple[Tensor, Tensor]:
        """See Network."""
        hidden, read = self._each(weights, drop, lambda own: self._encode(own, batch))
        return hidden, read

    def logits(self, weights: Weights, batch: Batch, drop: TorchDropout) -> Tensor:
        """See Network; also where the head is not known."""
        if is_decoder(self.model):  # its own pass looks for the last token by the padding's id, which a text may hold
            return self.forward(weights, batch, drop).logits
        (found,) = self._each(weights, drop, lambda own: (functional_call(self.model, own, kwargs=batch).logits,))
        return found.float()

    def forward(self, weights: Weights, batch: Batch, drop: TorchDropout) -> Output:
        """See Network."""

        def outputs(own: dict[str, Tensor]) -> tuple[Tensor, ...]:
            hidden, read = self._encode(own, batch)
            return hidden, read, self.head.logits(own, read, partial(functional.dropout, training=drop.on))

        hidden, read, logits = self._each(weights, drop, outputs)
        return Output(hidden, read, logits.float())

    def _each(
        self, weights: Weights, drop: TorchDropout, passes: Callable[[dict[str, Tensor]], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """What `passes` gives for the weights of a run, or of each stacked run, in the mode that `drop` asks for."""
        if self.model.training is not drop.on:
            self.model.train(drop.on)
            for module in self.frozen:
                module.eval()
        name = next(iter(weights))
        if weights[name].ndim == self.initial.trained[name].ndim:
            with drop.active(), precision(self.device):
                return passes(dict(weights))
        columns = {name: stack.unbind() for name, stack in weights.items()}
        found = []
        for run in range(len(weights[name])):
            with drop.active(run), precision(self.device):
                found.append(passes({name: column[run] for name, column in columns.items()}))
        return tuple(torch.stack(parts) for parts in zip(*found, strict=True))

    def _encode(self, weights: Weights, batch: Batch) -> tuple[Tensor, Tensor]:
        prefix = self.model.base_model_prefix + "."
        own = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
        output, mask = functional_call(self.model.base_model, own, kwargs=batch), batch["attention_mask"]
        return head_states(self.model, output.last_hidden_state, mask), head_input(self.model, output, mask)


def _entries(model: Any) -> dict[int, int]:
    """See Network; empty where it is not known which embeddings are those of words."""
    table = word_table(model)
    return {} if table is None else {0: int(table.shape[1])}


def _layers(base: nn.Module) -> nn.ModuleList:
    """The longest list of modules; empty where there is none."""
    return max(
        (module for module in base.modules() if isinstance(module, nn.ModuleList)), key=len, default=nn.ModuleList()
    )


def freeze_lower(model: Any, trainable_layers: int) -> list[nn.Module]:
    """Freeze the embeddings and all but the top layers; the frozen modules, whose dropout must stay off.

    The layers are the base model's longest list of modules. What is registered before the first trainable layer is
    frozen (embeddings, lower layers), and what stands beside the layers in an encoder of their own (relative positions,
    which the lower layers read too); what comes after it (a pooler) is trained. A dropout that stands beside the layers
    is off until the first trainable one is reached: XLNet uses one module for its embeddings and for its output.
    """
    base = model.base_model
    layers = _layers(base)
    if not layers:
        raise UserError(f"trainable_layers: found no list of layers in {type(base).__name__}; leave it out")
    check_depth(trainable_layers, len(layers))
    first = len(layers) - trainable_layers
    top = {id(p) for layer in layers[first:] for p in layer.parameters()}
    for parameter in base.parameters():
        if id(parameter) in top:
            break
        parameter.requires_grad_(False)
    encoder = next(module for module in base.modules() if layers in module.children())
    beside = [] if encoder is base else [child for child in encoder.children() if child is not layers]
    for child in beside:
        child.requires_grad_(False)
    own = {child: [p.requires_grad for p in child.parameters()] for child in (*base.children(), *beside)}
    bare = [child for child, trained in own.items() if not trained]

    def switch(on: bool) -> None:
        for module in bare:
            module.train(on)

    base.register_forward_pre_hook(lambda *_: switch(False))
    layers[first].register_forward_pre_hook(lambda layer, _: switch(layer.training))
    return [*(child for child, trained in own.items() if trained and not any(trained)), *layers[:first]]
