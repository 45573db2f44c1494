"""Training the top layers of a causal language model while all below stays as it is.

The pretrained embeddings and lower layers are frozen, the rows of new tokens among them, so what the lower layers give
for a text never changes and may be kept. What is to reach the trained layers enters at the boundary, their first input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bench.api import UserError
from bench.learners.linear import affine
from bench.learners.pretrained import check_depth


class _Reached(Exception):
    """Ends a forward pass at the boundary."""


class Top(nn.Module):
    """The trained layers of a model, and `rows`: the head's rows of new tokens, [new, d], as parameters of their own.

    known: tokens that the model came with; those above it are new. Raises UserError when the model has fewer layers.
    """

    def __init__(self, model: Any, trainable_layers: int, known: int) -> None:
        super().__init__()
        found = decoder_layers(model)
        check_depth(trainable_layers, len(found))
        first = len(found) - trainable_layers
        self._lower, self._top = list(found[:first]), list(found[first:])  # lists: the model owns these modules
        inside = {id(p) for layer in found for p in layer.parameters()}
        top = {id(p) for layer in self._top for p in layer.parameters()}
        self._norms: list[nn.Module] = []
        model.requires_grad_(False)
        for name, module in model.base_model.named_modules():
            for parameter in module.parameters(recurse=False):
                final_norm = parameter.ndim == 1 and id(parameter) not in inside and "emb" not in name
                parameter.requires_grad_(final_norm or id(parameter) in top)
                if final_norm and module not in self._norms:
                    self._norms.append(module)
        self.rows = nn.Parameter(model.get_output_embeddings().weight.detach()[known:].clone())
        self._shift: Tensor | None = None
        self._states: Tensor | None = None
        self._capture = False
        self._top[0].register_forward_pre_hook(self._at_boundary, with_kwargs=True)

    def _at_boundary(self, layer: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        hidden = args[0] if args else kwargs["hidden_states"]
        if self._capture:
            self._states = hidden
            raise _Reached
        if self._states is not None:
            hidden = self._states
        if self._shift is not None:
            hidden = hidden + self._shift
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

    def train_mode(self, model: Any) -> None:
        """Dropout in the trained layers only."""
        model.eval()
        for module in (*self._top, *self._norms):
            module.train()

    @contextmanager
    def entering(self, shift: Tensor | None, states: Tensor | None) -> Iterator[None]:
        """Forward passes of the model inside add `shift`, broadcast to [B, L, d], to the first trained layer's input.

        states [B, L, d]: what the lower layers give; they are skipped then.
        """
        self._shift, self._states = shift, states
        try:
            with _skipped(self._lower if states is not None else []):
                yield
        finally:
            self._shift = self._states = None

    @torch.no_grad()
    def lower(self, model: Any, ids: Tensor) -> Tensor:
        """What the frozen part gives for ids [B, L]: [B, L, d]."""
        self._capture = True
        try:
            model.base_model(input_ids=ids, use_cache=False)
        except _Reached:
            assert self._states is not None
            return self._states
        finally:
            self._capture, self._states = False, None
        raise AssertionError("the forward pass did not reach the first trained layer")

    def logits(self, model: Any, hidden: Tensor) -> Tensor:
        """The head with the trained rows of the new tokens: hidden [n, d] -> [n, V]."""
        head = model.get_output_embeddings()
        known = head.weight.shape[0] - len(self.rows)
        bias = getattr(head, "bias", None)
        parts = (bias[:known], bias[known:]) if bias is not None else (None, None)
        return torch.cat(
            [affine(hidden, head.weight[:known], parts[0]), affine(hidden, self.rows, parts[1])],
            -1,
        )


def decoder_layers(model: Any) -> nn.ModuleList:
    """The list of a model's layers, the lowest first."""
    n = model.config.num_hidden_layers
    for module in model.base_model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n:
            return module
    raise UserError(f"trainable_layers: found no list of {n} layers in {type(model).__name__}; leave it out")


@contextmanager
def _skipped(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Let layers pass on what they are given."""
    before = [layer.__dict__.get("forward") for layer in layers]
    for layer in layers:
        layer.forward = _pass_on
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            if forward is None:
                del layer.__dict__["forward"]
            else:
                layer.forward = forward


def _pass_on(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return hidden_states
