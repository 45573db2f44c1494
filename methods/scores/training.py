"""A short training of the learner as a part: what its last layer says of every train row at each checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor
from torch.nn import functional

from bench.api import Context, Part, TrainData, UserError
from bench.learners.layers import Weights
from bench.learners.load import load_network
from bench.learners.network import Inputs, Network
from bench.learners.recipe import Recipe, batches, make_trainer
from bench.learners.seeds import derive
from methods.making import one_by_one
from methods.scores.reading import read

REPORT = "report.json"


def make(parts: Sequence[Part], data: TrainData, ctx: Context) -> dict[int, Exception]:
    """Train the learners that are not there; the error of each that failed, by its position.

    An artifact holds rows.npy, int64 [n], the train rows of the pool, ascending, and what a `Reading` says of them at
    each of the K checkpoints: errors.npy, float32 [K, n, C], and inputs.npy, float32 [K, n, q].
    """
    return one_by_one(_make, parts, data, ctx)


def _make(part: Part, data: TrainData, ctx: Context) -> None:
    kind, fields, code = ctx.address(part)
    ctx.artifact(kind, fields, partial(_save, fields=part.fields, data=data, ctx=ctx), code)


def stops(steps: int, checkpoints: int) -> list[int]:
    """Steps after which a checkpoint is taken: evenly spaced, the last after all of them."""
    return [steps * number // checkpoints for number in range(1, checkpoints + 1)]


def pool_of(labels: np.ndarray, most: int | None, seed: int) -> np.ndarray:
    """Rows of a pool with at most that many of each class, drawn without replacement: int64, ascending."""
    rows = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        if most is not None and len(own) > most:
            own = np.random.default_rng(derive(seed, "pool", int(label))).choice(own, size=most, replace=False)
        rows.append(own)
    return np.sort(np.concatenate(rows))


def train(
    network: Network, inputs: Inputs, labels: Tensor, fields: Mapping[str, Any]
) -> Iterator[tuple[int, float, Weights]]:
    """The students' recipe over `steps` steps: after each its number from 1 on, its loss and the weights, which change.

    Head, order and dropout follow learner_seed and run. Raises UserError when the loss is no number any more.
    """
    n, steps, rate = len(labels), fields["steps"], fields["learning_rate"]
    recipe = Recipe(rate, steps=steps, batch=min(fields["batch"], n))
    seed = partial(derive, fields["learner_seed"], "run", fields["run"])
    weights = network.initial(torch.Generator().manual_seed(seed("head")))
    trainer = make_trainer(weights, network.spared, recipe, steps)
    drop = network.dropout(seed("dropout"))
    for rows in batches(n, recipe.batch, steps, np.random.default_rng(seed("order"))):
        trainer.clear()
        logits = network.logits(weights, network.batch(inputs, rows), drop)
        loss = functional.cross_entropy(logits, labels[torch.from_numpy(rows).to(labels.device)])
        if not math.isfinite(loss.item()):
            raise UserError(
                f"learner {fields['learner']}: the loss is {loss.item()} at step {trainer.done + 1}; "
                f"take a learning_rate below {rate}"
            )
        loss.backward()
        trainer.step()
        yield trainer.done, loss.item(), weights


def _save(folder: Path, fields: Mapping[str, Any], data: TrainData, ctx: Context) -> None:
    network = _network(fields, data, ctx)
    rows = pool_of(data.train.labels, fields["pool_rows"], fields["learner_seed"])
    np.save(folder / "rows.npy", rows, allow_pickle=False)
    texts = {name: [data.train.texts[name][row] for row in rows] for name in data.info.fields}
    inputs = network.shared(texts, data.info.fields, ctx)
    labels = torch.from_numpy(data.train.labels[rows]).to(ctx.device)
    wanted = stops(fields["steps"], fields["checkpoints"])
    batch_losses: list[float] = []
    losses: list[float] = []
    accuracies: list[float] = []
    files: dict[str, np.memmap] = {}
    for done, batch_loss, weights in train(network, inputs, labels, fields):
        batch_losses.append(batch_loss)
        ctx.progress(done, fields["steps"], f"learner {fields['run'] + 1}")
        if done not in wanted:
            continue
        found = read(network, weights, inputs, labels)
        for name, values in (("errors", found.errors), ("inputs", found.inputs)):
            if not np.isfinite(values).all():
                raise UserError(
                    f"learner {fields['learner']}: its last layer's {name} are no numbers after step {done}; "
                    f"take a learning_rate below {fields['learning_rate']}"
                )
            if name not in files:
                shape = (len(wanted), *values.shape)
                files[name] = open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=shape)
            files[name][len(losses)] = values
        losses.append(found.loss)
        accuracies.append(found.accuracy)
    for file in files.values():
        file.flush()
    facts = {name: "all" if value is None else value for name, value in fields.items()}
    report = {
        "title": f"training {fields['run'] + 1} of the learner {fields['learner']} on {data.info.label}",
        "facts": {**facts, "rows": len(rows), "train accuracy at the end": accuracies[-1]},
        "curves": {
            "batch loss": {"x": list(range(1, len(batch_losses) + 1)), "y": batch_losses},
            "train loss": {"x": wanted, "y": losses},
            "train accuracy": {"x": wanted, "y": accuracies},
        },
        "curve_labels": {
            "batch loss": ("step", "nats"),
            "train loss": ("step", "nats"),
            "train accuracy": ("step", "part of the train rows"),
        },
    }
    (folder / REPORT).write_text(json.dumps(report, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def _network(fields: Mapping[str, Any], data: TrainData, ctx: Context) -> Network:
    """The learner. Raises UserError when it cannot serve: not there, too few layers, a head that is not known."""
    try:
        network = load_network(
            ctx.asset(fields["learner"]),
            data.info.n_classes,
            ctx.device,
            trainable_layers=fields["learner_layers"],
            dropout=None,
            max_length=fields["max_length"],
            identity=ctx.asset_identity(fields["learner"]),
        )
        _ = network.head
    except UserError as error:  # the networks know the option by its name among the students'
        raise UserError(f"learner: {str(error).replace('trainable_layers', 'learner_layers')}") from error
    return network
