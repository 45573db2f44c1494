"""Fine-tuning through the model's own forward pass: any architecture that transformers knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.api import Context, DistilledSet, Queries, UserError
from bench.data.batching import longest_first
from bench.data.encoders import Tokens
from bench.learners.pretrained import Reset, Texts, initializer_range, load_classifier, own_rng, precision
from bench.learners.recipe import Recipe, train

PREDICT_TOKENS = 8192


class WholeModel:
    """A classifier, its tokenizer and its pretrained weights. Reset, train, predict; then again."""

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
        self.model, head = load_classifier(folder, n_classes, dropout)
        self.texts = Texts(folder, self.model.base_model, max_length)
        self.frozen = freeze_lower(self.model, trainable_layers) if trainable_layers is not None else []
        self.model.to(device)
        self.reset = Reset(self.model, head, initializer_range(self.model.config))

    def train_mode(self) -> None:
        """Dropout on, except in frozen modules."""
        self.model.train()
        for module in self.frozen:
            module.eval()

    def logits(self, tokens: Tokens, rows: np.ndarray) -> Tensor:
        """float32 [len(rows), C]."""
        with precision(self.device):
            found: Tensor = self.model(**self.texts.pad(tokens, rows, self.device)).logits
        return found.float()

    def fit(self, distilled: DistilledSet, queries: Queries, targets: Tensor, recipe: Recipe, ctx: Context) -> None:
        """Reset, then train on the set; every random draw comes from the run's seed."""
        assert distilled.texts is not None
        self.reset(torch.Generator().manual_seed(ctx.derive("head")))
        tokens = self.texts.encode(distilled.texts, queries.info.fields)
        self.train_mode()
        with own_rng(ctx.derive("dropout"), self.device):
            train(
                self.model,
                lambda rows: self.logits(tokens, rows),
                targets.to(self.device),
                recipe,
                ctx.rng("order"),
                lambda done, total: ctx.progress(done, total, "training"),
            )

    @torch.no_grad()
    def scores(self, queries: Queries, ctx: Context) -> np.ndarray:
        """Logits of the queries, float32 [len(queries), C]."""
        tokens = self.texts.encode(queries.texts, queries.info.fields)
        self.model.eval()
        found = np.empty((len(tokens), self.n_classes), dtype=np.float32)
        for rows in longest_first(tokens.lengths(), PREDICT_TOKENS):
            found[rows] = self.logits(tokens, rows).cpu().numpy()
        return found


def freeze_lower(model: Any, trainable_layers: int) -> list[nn.Module]:
    """Freeze the embeddings and all but the top layers; the frozen modules, whose dropout must stay off.

    The layers are the base model's longest list of modules. What is registered before the first trainable
    layer is frozen (embeddings, lower layers); what comes after it (a pooler) is trained.
    """
    base = model.base_model
    lists = [module for module in base.modules() if isinstance(module, nn.ModuleList) and len(module) > 0]
    if not lists:
        raise UserError(f"trainable_layers: found no list of layers in {type(base).__name__}; leave it out")
    layers = max(lists, key=len)
    check_depth(trainable_layers, len(layers))
    first = len(layers) - trainable_layers
    top = {id(p) for layer in layers[first:] for p in layer.parameters()}
    for parameter in base.parameters():
        if id(parameter) in top:
            break
        parameter.requires_grad_(False)
    children = [child for child in base.children() if any(True for _ in child.parameters())]
    whole = [child for child in children if not any(p.requires_grad for p in child.parameters())]
    return [*whole, *layers[:first]]


def check_depth(trainable_layers: int, layers: int) -> None:
    """Raise UserError when a model has fewer layers than are to be trained."""
    if trainable_layers > layers:
        raise UserError(f"trainable_layers={trainable_layers}: the model has {layers} layers")
