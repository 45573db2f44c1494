"""A plugin in one file: the kit's topics, and a method that returns embeddings of a tiny encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch

from bench.api import (
    AssetRef,
    Context,
    DistilledSet,
    Embeddings,
    Method,
    MethodSpec,
    Params,
    Task,
    TaskData,
    TaskSpec,
    TrainData,
    hookimpl,
)
from bench.data.encoders import load_encoder, tokenize
from bench.testing import topic_task


class Topics(Task):
    def load(self, ctx: Context) -> TaskData:
        return topic_task()


class TableParams(Params):
    encoder: Annotated[str, AssetRef()]
    layer: int = 0


class Table(Method):
    """The input of a layer for random rows, with ten step sizes."""

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        rng = ctx.rng()
        rows = [rng.choice(data.class_rows(label), dpc, replace=False) for label in range(data.info.n_classes)]
        chosen = DistilledSet.from_rows(data, np.concatenate(rows))
        assert chosen.texts is not None
        encoder = load_encoder(ctx.asset(self.params.encoder))
        batch = tokenize(encoder.tokenizer, chosen.texts, data.info.fields, None).batch(np.arange(len(chosen)))
        with torch.no_grad():
            if self.params.layer:
                states = encoder.model(**batch, output_hidden_states=True).hidden_states[self.params.layer]
            else:
                states = encoder.model.get_input_embeddings()(batch["input_ids"])
        embeddings = Embeddings(
            states.numpy(),
            batch["attention_mask"].numpy(),
            np.eye(data.info.n_classes, dtype=np.float32)[chosen.labels],
            self.params.encoder,
            step_sizes=np.full(10, 0.1, np.float32),
            layer=self.params.layer,
            encoder_identity=ctx.asset_identity(self.params.encoder),
        )
        return DistilledSet(labels=chosen.labels, embeddings=embeddings)


@hookimpl
def bench_tasks() -> Sequence[TaskSpec]:
    return [TaskSpec(name="topics", summary="Topics.", target=f"{__name__}:Topics")]


@hookimpl
def bench_methods() -> Sequence[MethodSpec]:
    return [MethodSpec(name="table", summary="Embeddings.", target=f"{__name__}:Table", params=TableParams)]
