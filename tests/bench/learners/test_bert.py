"""The explicit layers are exact: same logits, gradients and training as the whole model with frozen layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.api import Queries, UserError
from bench.data import onednn
from bench.learners.bert import BertNetwork, can_split
from bench.learners.layers import attention, feed_forward, first_attention
from bench.learners.network import Network, Weights
from bench.learners.packed import Packed
from bench.learners.recipe import Recipe, fit, predict
from bench.learners.whole import WholeNetwork
from students.encoder import targets
from tests.learner_models import MakeContext, make_set


def both(
    folder: Path, layers: int, dropout: float | None = 0.0, max_length: int = 512
) -> tuple[BertNetwork, WholeNetwork]:
    options: dict[str, Any] = {"trainable_layers": layers, "dropout": dropout, "max_length": max_length}
    return BertNetwork(folder, 3, "cpu", identity={"test": str(folder)}, **options), WholeNetwork(
        folder, 3, "cpu", **options
    )


def start(network: Network) -> dict[str, torch.Tensor]:
    return network.initial(torch.Generator().manual_seed(5))


def logits(network: Network, weights: Weights, texts: dict[str, list[str]]) -> torch.Tensor:
    inputs = network.prepare(network.tokenize(texts, tuple(texts)))
    return network.logits(weights, network.batch(inputs, np.arange(len(inputs))), network.dropout())


def trained(network: Network, distilled: Any, queries: Queries, recipe: Recipe, seed: int = 7) -> np.ndarray:
    """Logits of the queries after training on a set."""
    weights, fields = start(network), queries.info.fields
    inputs = network.prepare(network.tokenize(distilled.texts, fields))
    drop = network.dropout(seed)
    fit(network, weights, inputs, targets(distilled), recipe, drop, np.random.default_rng(seed))
    return predict(network, weights, network.prepare(network.tokenize(queries.texts, fields)))


@pytest.fixture(params=["tiny_encoder", "tiny_roberta", "tiny_mpnet"])
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("fields", [1, 2])
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_logits_and_gradients_equal_the_whole_model(folder: Path, layers: int, fields: int) -> None:
    distilled, _ = make_set(9, 3, seed=layers, fields=fields)
    labels, found = targets(distilled), []
    for network in both(folder, layers):
        weights = start(network)
        found.append((weights, logits(network, weights, distilled.texts)))  # type: ignore[arg-type]
        torch.nn.functional.cross_entropy(found[-1][1], labels).backward()
    (mine, a), (theirs, b) = found
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    assert float((b - b.mean(0)).detach().abs().max()) > 1e-3  # the texts are told apart at all
    assert list(mine) == list(theirs)
    for name, weight in mine.items():
        other = theirs[name].grad
        assert other is not None
        if weight.grad is None:
            assert name.endswith(("attention.self.key.bias", "attention.attn.k.bias"))
            assert float(other.abs().max()) < 1e-6  # softmax cancels it
            continue
        torch.testing.assert_close(weight.grad, other, atol=1e-5, rtol=1e-5, msg=name)


def test_the_forward_pass_gives_what_its_parts_give(folder: Path) -> None:
    distilled, _ = make_set(5, 3, seed=2)
    for network in both(folder, 2, dropout=0.2):
        weights = start(network)
        inputs = network.prepare(network.tokenize(distilled.texts, ("first",)))  # type: ignore[arg-type]
        batch = network.batch(inputs, np.arange(5))
        hidden, read, found = network.forward(weights, batch, network.dropout(3))
        parts = network.encode(weights, batch, network.dropout(3))
        torch.testing.assert_close(parts, (hidden, read), atol=0, rtol=0)
        torch.testing.assert_close(network.logits(weights, batch, network.dropout(3)), found, atol=1e-6, rtol=1e-5)
        other = network.forward(weights, batch, network.dropout())
        assert float((other.logits - found).detach().abs().max()) > 1e-3  # type: ignore[arg-type]
        expected = network.head.logits(weights, other.head_input, network.dropout())
        torch.testing.assert_close(expected, other.logits, atol=1e-6, rtol=1e-5)


def test_equal_lengths_need_no_padding(tiny_encoder: Path) -> None:
    parts, whole = both(tiny_encoder, 2)
    texts = {"first": ["team won the match", "bank profit too good"]}
    inputs = parts.prepare(parts.tokenize(texts, ("first",)))
    assert not parts.batch(inputs, np.arange(2)).ragged
    torch.testing.assert_close(
        logits(parts, start(parts), texts), logits(whole, start(whole), texts), atol=1e-5, rtol=1e-5
    )


def test_first_position_alone_equals_the_full_layer(tiny_encoder: Path) -> None:
    parts, _ = both(tiny_encoder, 1)
    weights, drop, layer = start(parts), parts.dropout(), parts.layers[0]
    states = np.random.default_rng(0).normal(size=(16, 32)).astype(np.float32)
    batch = Packed(states, np.array([3, 7, 1, 5])).batch("cpu")
    everything = feed_forward(layer, weights, attention(layer, weights, batch.states, batch, drop), drop)
    first = feed_forward(layer, weights, first_attention(layer, weights, batch.states, batch, drop), drop)
    torch.testing.assert_close(first, everything[[0, 3, 10, 11]], atol=1e-5, rtol=1e-5)


def test_training_equals_training_of_the_whole_model(folder: Path) -> None:
    """60 steps without dropout, more rows than a batch: same batches, same clipping, same weights in the end."""
    distilled, queries = make_set(20, 3, seed=1)
    recipe = Recipe(learning_rate=1e-3, steps=60, batch=8)
    mine, theirs = (trained(network, distilled, queries, recipe) for network in both(folder, 2))
    np.testing.assert_allclose(mine, theirs, atol=2e-3)
    untrained = trained(both(folder, 2)[0], distilled, queries, Recipe(learning_rate=1e-9, steps=1, batch=8))
    assert np.abs(mine - untrained).max() > 0.1


def test_training_leaves_the_network_as_it_is(folder: Path) -> None:
    """Weights are values: nothing of the network moves, and a second run starts where the first did."""
    distilled, queries = make_set(6, 3, seed=3)
    for network in both(folder, 2):
        before = {name: value.clone() for name, value in network.initial.trained.items()}
        first = trained(network, distilled, queries, Recipe(learning_rate=1e-2, steps=8))
        assert all(torch.equal(value, before[name]) for name, value in network.initial.trained.items())
        np.testing.assert_array_equal(trained(network, distilled, queries, Recipe(learning_rate=1e-2, steps=8)), first)


def test_truncation_equals_the_whole_model(tiny_encoder: Path) -> None:
    _, queries = make_set(6, 3, seed=4, fields=2)
    texts = dict(queries.texts)
    mine, theirs = (logits(n, start(n), texts) for n in both(tiny_encoder, 2, max_length=8))  # type: ignore[arg-type]
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    longer, _ = both(tiny_encoder, 2)
    assert float((logits(longer, start(longer), texts) - mine).abs().max()) > 1e-3  # type: ignore[arg-type]


def test_states_are_cached_once_and_shared(
    tiny_encoder: Path, context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, queries = make_set(6, 3, seed=2)
    first = both(tiny_encoder, 2)[0].shared(queries.texts, ("first",), context())
    assert isinstance(first.states, np.memmap)
    other = both(tiny_encoder, 2)[0]
    computed = []
    monkeypatch.setattr(other.frozen, "_run", lambda *args: computed.append(args))
    again = other.shared(queries.texts, ("first",), context())
    np.testing.assert_array_equal(again.states, first.states)
    assert not computed
    fresh = both(tiny_encoder, 2)[0]
    np.testing.assert_array_equal(fresh.prepare(fresh.tokenize(queries.texts, ("first",))).states, first.states)
    changed = {"first": [*queries.texts["first"][:-1], "very good film"]}
    assert len(fresh.shared(changed, ("first",), context()).states) != len(first.states)
    deeper = both(tiny_encoder, 1)[0].shared(queries.texts, ("first",), context())
    assert np.abs(deeper.states - first.states).max() > 1e-3


def test_through_onednn_the_results_agree(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distilled, queries = make_set(6, 3, seed=8)
    scores = []
    for faster in (onednn.available(), False):
        monkeypatch.setattr(onednn, "faster", lambda found=faster: found)
        scores.append(trained(both(tiny_encoder, 2)[0], distilled, queries, Recipe(learning_rate=1e-3, steps=10)))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-3)


def test_can_split(tiny_encoder: Path, tiny_roberta: Path, tiny_xlnet: Path, tiny_mpnet: Path, tmp_path: Path) -> None:
    assert can_split(tiny_encoder)
    assert can_split(tiny_roberta)
    assert not can_split(tiny_xlnet)
    assert can_split(tiny_mpnet)
    assert not can_split(tmp_path)


def test_more_layers_than_there_are(tiny_encoder: Path) -> None:
    with pytest.raises(UserError, match="trainable_layers=5: the model has 4 layers"):
        both(tiny_encoder, 5)
