"""Everything trained, tables too, by explicit layers: the same as transformers' own model, in whole and in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.learners.bert import BertNetwork
from bench.learners.packed import Packed
from bench.learners.recipe import Recipe, fit, predict
from bench.learners.tables import TableNetwork, lookup
from bench.learners.whole import WholeNetwork
from students.encoder import targets
from tests.learner_models import make_set

KEY_BIAS = ("attention.self.key.bias", "attention.attn.k.bias")  # softmax cancels it


@pytest.fixture(params=["tiny_encoder", "tiny_roberta", "tiny_mpnet"])
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def both(folder: Path, dropout: float = 0.0) -> tuple[TableNetwork, WholeNetwork]:
    options: dict[str, Any] = {"dropout": dropout, "max_length": 64}
    return TableNetwork(folder, 3, "cpu", identity={}, **options), WholeNetwork(
        folder, 3, "cpu", trainable_layers=None, **options
    )


def start(network: Any, seed: int = 5) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = network.initial(torch.Generator().manual_seed(seed))
    return found


TEXTS = {
    "plain": {"first": ["team won the match", "bank profit too good to be this high", "law"]},
    "pairs": {"first": ["team won", "bank profit too good"], "second": ["the match was lost", "law"]},
    "padding": {"first": ["team [PAD] won", "[PAD] law [PAD] [PAD] was", "a good match"]},
}


@pytest.mark.parametrize("texts", TEXTS)
def test_logits_and_gradients_equal_the_whole_model(texts: str, folder: Path) -> None:
    """Of every weight; also of texts that hold the token that pads, which transformers neither counts nor learns."""
    given, found = TEXTS[texts], []
    for network in both(folder):
        weights = start(network)
        inputs = network.prepare(network.tokenize(given, tuple(given)))
        logits = network.logits(weights, network.batch(inputs, np.arange(len(inputs))), network.dropout())
        torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)) % 3).backward()
        found.append((weights, logits))
    (mine, a), (theirs, b) = found
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    assert float((b - b.mean(0)).detach().abs().max()) > 1e-3
    assert list(mine) == list(theirs)
    for name, weight in mine.items():
        other = theirs[name].grad
        assert other is not None
        if weight.grad is None:
            assert name.endswith(KEY_BIAS)
            continue
        torch.testing.assert_close(weight.grad, other, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize("batch", [8, 64])
def test_training_equals_training_of_the_whole_model(batch: int, folder: Path) -> None:
    """Every weight after it, the rows of words that the set does not name too, which only decay."""
    distilled, queries = make_set(20, 3, seed=1)
    recipe, found = Recipe(learning_rate=1e-3, weight_decay=0.5, steps=12, batch=batch), []
    for network in both(folder):
        weights = start(network)
        inputs = network.prepare(network.tokenize(distilled.texts, ("first",)))  # type: ignore[arg-type]
        fit(network, weights, inputs, targets(distilled), recipe, network.dropout(), np.random.default_rng(0))
        test = network.prepare(network.tokenize(queries.texts, ("first",)))
        found.append((weights, predict(network, weights, test)))
    (mine, a), (theirs, b) = found
    np.testing.assert_allclose(a, b, atol=1e-3)
    network = both(folder)[0]
    before, tokens = network.initial.trained[network.table], network.tokenize(distilled.texts, ("first",))  # type: ignore[arg-type]
    absent = np.setdiff1d(np.arange(len(before)), tokens.columns["input_ids"].flat)
    assert 5 < len(absent) < len(before) - 5
    factor = np.prod([1 - 0.5 * rate for rate in map(rates(recipe), range(12))])
    assert factor < 0.998
    torch.testing.assert_close(theirs[network.table][absent], before[absent] * factor, rtol=2e-6, atol=0)
    torch.testing.assert_close(mine[network.table][absent], before[absent] * factor, rtol=2e-6, atol=0)
    assert float((mine[network.table] - before * factor).detach().abs().max()) > 1e-3
    for name, weight in mine.items():
        if not name.endswith(KEY_BIAS):  # noise of float32 is all that reaches it
            torch.testing.assert_close(weight, theirs[name], atol=2e-3, rtol=0, msg=name)


def rates(recipe: Recipe) -> Any:
    from bench.learners.train import Schedule

    return Schedule(recipe.learning_rate, recipe.steps, recipe.warmup).rate


def test_embeddings_leave_the_table_alone(tiny_encoder: Path) -> None:
    """No step reaches it, so it does not decay either: as with transformers' own model."""
    from tests.bench.learners.test_network import embedding_of

    distilled, _ = make_set(6, 3, seed=2)
    texts = {"first": list(distilled.texts["first"])}  # type: ignore[index]
    for network in both(tiny_encoder):
        weights, inputs = start(network), network.prepare(embedding_of(network, texts))
        recipe = Recipe(learning_rate=1e-2, weight_decay=0.5, steps=4)
        fit(network, weights, inputs, targets(distilled), recipe, network.dropout(), np.random.default_rng(0))
        table = "bert.embeddings.word_embeddings.weight"
        assert torch.equal(weights[table], network.initial.trained[table])
        places = "bert.embeddings.position_embeddings.weight"
        assert not torch.equal(weights[places], network.initial.trained[places])


def test_dropout_reaches_the_embeddings(tiny_encoder: Path) -> None:
    network, _ = both(tiny_encoder, dropout=0.5)
    inputs = network.prepare(network.tokenize(TEXTS["plain"], ("first",)))
    batch, weights = network.batch(inputs, np.arange(3)), start(network)
    dropped = network.lowest(weights, batch, network.dropout(1))
    assert 0.4 < float((dropped == 0).float().mean()) < 0.6
    assert not (network.lowest(weights, batch, network.dropout()) == 0).any()


def test_inputs_of_another_kind_are_refused(tiny_encoder: Path) -> None:
    network, _ = both(tiny_encoder)
    with pytest.raises(ValueError, match="hidden states"):
        network.batch(Packed(np.zeros((3, 32), np.float32), np.array([3])), np.array([0]))
    words = network.prepare(network.tokenize(TEXTS["plain"], ("first",)))
    split = BertNetwork(tiny_encoder, 3, "cpu", trainable_layers=2, dropout=0.0, max_length=64, identity={})
    with pytest.raises(ValueError, match="tables are frozen"):
        split.prepare(words)


def test_rows_of_stacked_tables() -> None:
    tables = torch.arange(24.0).view(2, 4, 3)
    shared, own = torch.tensor([3, 0, 3]), torch.tensor([[1, 2], [0, 3]])
    assert torch.equal(lookup(tables, shared), tables[:, shared])
    assert torch.equal(lookup(tables, own), torch.stack([tables[0][own[0]], tables[1][own[1]]]))
    assert torch.equal(lookup(tables[1], shared), tables[1][shared])
