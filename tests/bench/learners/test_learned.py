"""Training by learned steps, against transformers' own model and a loop of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bench.api import Embeddings
from bench.learners.bert import BertNetwork
from bench.learners.embedded import Embedded
from bench.learners.learned import group_rows, inner_loss, learned_sgd
from bench.learners.recipe import Recipe, batches, fit, make_trainer

N, L, C = 4, 5, 3


def network_of(folder: Path, layers: int = 2) -> BertNetwork:
    return BertNetwork(folder, C, "cpu", trainable_layers=layers, dropout=None, max_length=32, identity={})


def make(network: BertNetwork, rows: int = 0, **others: object) -> Embeddings:
    rng = np.random.default_rng(0)
    labels = None
    if rows:
        heads = network.layers[0].heads
        labels = rng.dirichlet(np.ones(L), (N, len(network.layers), heads, rows)).astype(np.float32)
    return Embeddings(
        rng.standard_normal((N, L, network.width)).astype(np.float32),
        np.ones((N, L), np.int64),
        rng.dirichlet(np.ones(C), N).astype(np.float32),
        "tiny",
        step_sizes=np.array([0.3, 0.2, 0.4], np.float32),
        layer=len(network.frozen.layers),
        attention_labels=labels,
        **others,  # type: ignore[arg-type]
    )


def transformers_loss(
    model: torch.nn.Module, weights: dict[str, Tensor], e: Embeddings, rows: np.ndarray, first: int
) -> Tensor:
    """The same loss by the layers and the head of the transformers model, from the states of layer `first` on."""
    base = model.bert  # type: ignore[attr-defined]
    x = torch.tensor(e.inputs_embeds[rows])

    def call(module: torch.nn.Module, prefix: str, *inputs: Tensor) -> Tensor:
        own = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
        found = torch.func.functional_call(module, own, inputs)
        return found[0] if isinstance(found, tuple) else found

    logs = []
    for number in range(first, len(base.encoder.layer)):
        layer, prefix = base.encoder.layer[number], f"bert.encoder.layer.{number}."
        own = layer.attention.self
        q, k = (
            call(getattr(own, part), f"{prefix}attention.self.{part}.", x)
            .unflatten(-1, (own.num_attention_heads, own.attention_head_size))
            .transpose(1, 2)
            for part in ("query", "key")
        )
        logs.append(torch.log_softmax(q @ k.transpose(2, 3) / own.attention_head_size**0.5, -1))
        x = call(layer, prefix, x)
    pooled = call(base.pooler, "bert.pooler.", x)
    logits = call(model.classifier, "classifier.", pooled)  # type: ignore[attr-defined]
    loss = -(torch.tensor(e.label_distribution[rows]) * torch.log_softmax(logits, 1)).sum(1).mean()
    if e.attention_labels is None:
        return loss
    wanted = torch.tensor(e.attention_labels[rows])
    count = wanted.shape[3]
    log = torch.stack(logs, 1)[..., :count, :]
    divergence = functional.kl_div(log, wanted, reduction="none").sum(-1)
    return loss + e.attention_weight * divergence.mean()


@pytest.mark.parametrize("rows", [0, 1, L])
@pytest.mark.parametrize("groups", [None, np.array([0, 1, 0, 1])])
def test_the_steps_are_those_of_a_plain_loop(rows: int, groups: np.ndarray | None, tiny_encoder: Path) -> None:
    network = network_of(tiny_encoder)
    e = make(network, rows, groups=groups, attention_weight=0.5)
    start = network.initial(torch.Generator().manual_seed(1))
    kept = {name: w.clone() for name, w in start.items()}
    found = learned_sgd(network, start, Embedded(e.inputs_embeds, e.attention_mask).packed(), e)
    assert all(torch.equal(kept[name], start[name]) for name in kept)

    model, current = network_model(tiny_encoder), {name: w.detach().requires_grad_() for name, w in kept.items()}
    of_step = [np.arange(N)] if groups is None else [np.array([0, 2]), np.array([1, 3])]
    assert e.step_sizes is not None
    for t, rate in enumerate(e.step_sizes.tolist()):
        loss = transformers_loss(model, current, e, of_step[t % len(of_step)], e.layer)
        steps = torch.autograd.grad(loss, list(current.values()))
        current = {
            name: (w - rate * step).detach().requires_grad_()
            for (name, w), step in zip(current.items(), steps, strict=True)
        }
    for name, w in current.items():
        torch.testing.assert_close(found[name], w, rtol=1e-4, atol=1e-5)
    moved = max(float((found[name] - kept[name]).detach().abs().max()) for name in kept)
    assert moved > 1e-3


def network_model(folder: Path) -> torch.nn.Module:
    import transformers

    model: torch.nn.Module = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=C, attn_implementation="eager"
    ).eval()
    return model


def test_unrestricted_targets_are_weights_of_log_p(tiny_encoder: Path) -> None:
    network = network_of(tiny_encoder)
    weights = network.initial(torch.Generator().manual_seed(1))
    e = make(network)
    batch = network.batch(Embedded(e.inputs_embeds, e.attention_mask).packed(), np.arange(N))
    targets = torch.tensor([[2.0, -1.0, 0.5]] * N)
    log_p = torch.log_softmax(network.logits(weights, batch, network.dropout()), 1)
    expected = -(targets * log_p).sum(1).mean()
    torch.testing.assert_close(inner_loss(network, weights, batch, targets), expected)


def test_attention_labels_equal_to_the_attention_cost_nothing_and_others_something(tiny_encoder: Path) -> None:
    network = network_of(tiny_encoder)
    weights = network.initial(torch.Generator().manual_seed(1))
    e = make(network)
    batch = network.batch(Embedded(e.inputs_embeds, e.attention_mask).packed(), np.arange(N))
    targets = torch.tensor(e.label_distribution)
    plain = inner_loss(network, weights, batch, targets)
    for rows in (1, L):
        own = network.attended(weights, batch, rows, network.dropout())[1].exp().detach()
        torch.testing.assert_close(own.sum(-1), torch.ones(own.shape[:-1]))
        torch.testing.assert_close(inner_loss(network, weights, batch, targets, own, 3.0), plain, rtol=1e-4, atol=1e-5)
        assert inner_loss(network, weights, batch, targets, own.roll(1, -1), 3.0) > plain


def test_attention_of_texts_of_different_lengths_is_refused(tiny_encoder: Path) -> None:
    network = network_of(tiny_encoder)
    mask = np.ones((N, L), np.int64)
    mask[0, 3:] = 0
    batch = network.batch(Embedded(make(network).inputs_embeds, mask).packed(), np.arange(N))
    weights = network.initial(torch.Generator().manual_seed(1))
    with pytest.raises(ValueError, match="attention of 1 rows"):
        network.attended(weights, batch, 1, network.dropout())


def test_groups() -> None:
    assert [rows.tolist() for rows in group_rows(np.array([1, 0, 1]), 3)] == [[1], [0, 2]]
    assert [rows.tolist() for rows in group_rows(None, 2)] == [[0, 1]]


def test_a_batch_of_the_recipe_meets_its_own_attention_labels(tiny_encoder: Path) -> None:
    """Sets larger than a batch: against the same loss of the same rows by hand."""
    network, e = network_of(tiny_encoder), make(network_of(tiny_encoder), rows=1)
    inputs = Embedded(e.inputs_embeds, e.attention_mask).packed()
    targets, labels = torch.tensor(e.label_distribution), torch.tensor(e.attention_labels)
    recipe = Recipe(learning_rate=1e-2, steps=4, min_epochs=0, batch=3)
    found, expected = (network.initial(torch.Generator().manual_seed(1)) for _ in range(2))
    given = {"attention": labels, "attention_weight": 2.0}
    fit(network, found, inputs, targets, recipe, network.dropout(), np.random.default_rng(0), **given)  # type: ignore[arg-type]
    trainer = make_trainer(expected, network.spared, recipe, 4)
    for rows in batches(N, 3, 4, np.random.default_rng(0)):
        trainer.clear()
        inner_loss(network, expected, network.batch(inputs, rows), targets[rows], labels[rows], 2.0).backward()
        trainer.step()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    with pytest.raises(ValueError, match="stacked runs"):
        fit(network, found, inputs, targets, recipe, None, [np.random.default_rng(0)] * 2, attention=labels)
