"""The split student is exact: same logits, gradients and training as the whole model with frozen layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.api import DistilledSet, Queries, UserError
from bench.data import onednn
from bench.learners import split
from bench.learners.linear import linear
from bench.learners.recipe import Recipe
from bench.learners.split import Batch, Dropout, Packed, SplitModel, attention, can_split, feed_forward, first_attention
from bench.learners.whole import WholeModel
from students.encoder import targets
from tests.learner_models import MakeContext, make_set


def both(
    folder: Path, layers: int, dropout: float | None = 0.0, max_length: int = 512
) -> tuple[SplitModel, WholeModel]:
    options: dict[str, Any] = {"trainable_layers": layers, "dropout": dropout, "max_length": max_length}
    parts = SplitModel(folder, 3, "cpu", identity={"test": str(folder)}, **options)
    whole = WholeModel(folder, 3, "cpu", **options)
    for model in (parts, whole):
        model.reset(torch.Generator().manual_seed(5))
    return parts, whole


def pairs_of_parameters(parts: SplitModel, whole: WholeModel) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """(name, the split model's parameter, the whole model's) for all that is trained."""
    base, head = whole.model.base_model, whole.model.classifier
    dense, out = (base.pooler.dense, head) if base.pooler is not None else (head.dense, head.out_proj)
    found = []
    top = base.encoder.layer[len(base.encoder.layer) - len(parts.top.layers) :]
    for mine, other in [*zip(parts.top.layers, top, strict=True), (parts.top.dense, dense), (parts.top.out, out)]:
        theirs = dict(other.named_parameters())
        found += [(name, p, theirs[name]) for name, p in mine.named_parameters()]
    assert len(found) == sum(p.requires_grad for p in whole.model.parameters())
    return found


@pytest.fixture(params=["bert", "roberta"])
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue({"bert": "tiny_encoder", "roberta": "tiny_roberta"}[request.param])
    return found


@pytest.mark.parametrize("fields", [1, 2])
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_logits_and_gradients_equal_the_whole_model(
    folder: Path, layers: int, fields: int, context: MakeContext
) -> None:
    parts, whole = both(folder, layers)
    distilled, queries = make_set(9, 3, seed=layers, fields=fields)
    assert distilled.texts is not None
    ctx, labels = context(), targets(distilled)
    packed = parts.frozen_states(distilled.texts, queries.info.fields, ctx, cached=False)
    assert len(set(packed.lengths.tolist())) > 1
    mine = parts.top(Batch(packed, "cpu"), Dropout())
    theirs = whole.logits(whole.texts.encode(distilled.texts, queries.info.fields), np.arange(9))
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    assert float((theirs - theirs.mean(0)).detach().abs().max()) > 1e-3  # the texts are told apart at all
    for logits in (mine, theirs):
        torch.nn.functional.cross_entropy(logits, labels).backward()
    for name, a, b in pairs_of_parameters(parts, whole):
        if name == "attention.self.key.bias" and a.grad is None:
            assert b.grad is not None
            assert float(b.grad.abs().max()) < 1e-6  # softmax cancels it
            continue
        torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-5, msg=name)


def test_equal_lengths_need_no_padding(tiny_encoder: Path, context: MakeContext) -> None:
    parts, whole = both(tiny_encoder, 2)
    texts = {"first": ["team won the match", "bank profit too good", "the law of the"]}
    packed = parts.frozen_states({"first": texts["first"][:2]}, ("first",), context(), cached=False)
    batch = Batch(packed, "cpu")
    assert not batch.ragged
    expected = whole.logits(whole.texts.encode(texts, ("first",)), np.arange(2))
    torch.testing.assert_close(parts.top(batch, Dropout()), expected, atol=1e-5, rtol=1e-5)


def test_first_position_alone_equals_the_full_layer(tiny_encoder: Path) -> None:
    parts, _ = both(tiny_encoder, 1)
    generator = np.random.default_rng(0)
    lengths = np.array([3, 7, 1, 5])
    batch = Batch(Packed(generator.normal(size=(16, 32)).astype(np.float32), lengths), "cpu")
    layer = parts.top.layers[0]
    everything = feed_forward(layer, attention(layer, batch.states, batch, Dropout()), Dropout())
    first = feed_forward(layer, first_attention(layer, batch.states, batch, Dropout()), Dropout())
    torch.testing.assert_close(first, everything[[0, 3, 10, 11]], atol=1e-5, rtol=1e-5)


def test_training_equals_training_of_the_whole_model(folder: Path, context: MakeContext) -> None:
    """60 steps without dropout, more rows than a batch: same batches, same clipping, same weights in the end."""
    parts, whole = both(folder, 2)
    distilled, queries = make_set(20, 3, seed=1)
    recipe = Recipe(learning_rate=1e-3, steps=60, batch=8)
    ctx = context(7, queries)
    for model in (parts, whole):
        model.fit(distilled, queries, targets(distilled), recipe, ctx)
    np.testing.assert_allclose(parts.scores(queries, ctx), whole.scores(queries, ctx), atol=2e-3)
    start = SplitModel(folder, 3, "cpu", trainable_layers=2, dropout=0.0, max_length=512, identity={})
    moved = float((parts.top.dense.weight - start.top.dense.weight).detach().abs().max())
    assert moved > 5e-3


def test_truncation_equals_the_whole_model(tiny_encoder: Path, context: MakeContext) -> None:
    parts, whole = both(tiny_encoder, 2, max_length=8)
    _, queries = make_set(6, 3, seed=4, fields=2)
    mine = parts.scores(queries, context())
    np.testing.assert_allclose(mine, whole.scores(queries, context()), atol=1e-5)
    longer, _ = both(tiny_encoder, 2)
    assert np.abs(longer.scores(queries, context()) - mine).max() > 1e-3


def test_states_are_cached_once_and_shared(
    tiny_encoder: Path, context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, queries = make_set(6, 3, seed=2)
    first = both(tiny_encoder, 2)[0].scores(queries, context())
    other = both(tiny_encoder, 2)[0]
    computed = []
    monkeypatch.setattr(other.lower, "states", lambda *args: computed.append(args))
    np.testing.assert_array_equal(other.scores(queries, context()), first)
    assert not computed
    changed = Queries(queries.info, {"first": [*queries.texts["first"][:-1], "very good film"]})
    ctx = context()
    packed = both(tiny_encoder, 2)[0].frozen_states(changed.texts, ("first",), ctx, cached=True)
    old = both(tiny_encoder, 2)[0].frozen_states(queries.texts, ("first",), ctx, cached=True)
    assert isinstance(packed.states, np.memmap)
    assert len(packed.states) != len(old.states)
    deeper = both(tiny_encoder, 1)[0].frozen_states(queries.texts, ("first",), ctx, cached=True)
    assert np.abs(deeper.states - old.states).max() > 1e-3


def test_large_sets_train_from_the_cache_with_equal_results(
    tiny_encoder: Path, context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    distilled, queries = make_set(20, 3, seed=6)
    recipe = Recipe(learning_rate=1e-3, steps=10, batch=8)
    scores = []
    for rows in (split.DIRECT_ROWS, 4):
        monkeypatch.setattr(split, "DIRECT_ROWS", rows)
        model = both(tiny_encoder, 2, dropout=0.1)[0]
        model.fit(distilled, queries, targets(distilled), recipe, context(3))
        scores.append(model.scores(queries, context(3)))
    np.testing.assert_array_equal(scores[0], scores[1])


def test_packed_rows() -> None:
    packed = Packed(np.arange(12, dtype=np.float32).reshape(6, 2), np.array([1, 3, 2]))
    taken = packed.rows(np.array([2, 0]))
    np.testing.assert_array_equal(taken.states, [[8, 9], [10, 11], [0, 1]])
    np.testing.assert_array_equal(taken.lengths, [2, 1])


def test_pad_and_unpad_are_inverse() -> None:
    states = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    batch = Batch(Packed(states, np.array([1, 3, 2])), "cpu")
    padded = batch.pad(batch.states)
    assert padded.shape == (3, 3, 4)
    assert not padded[0, 1:].any()
    torch.testing.assert_close(padded[1], batch.states[1:4])
    torch.testing.assert_close(batch.unpad(padded), batch.states)


def test_dropout_keeps_the_mean_and_follows_its_generator() -> None:
    x = torch.ones(401, 499)  # no multiple of four: the last word is used in part
    for rate in (0.1, 0.5):
        dropped = Dropout(torch.Generator().manual_seed(1))(x, rate)
        zeros = float((dropped == 0).float().mean())
        assert zeros == pytest.approx(rate, abs=5 * (rate * (1 - rate) / x.numel()) ** 0.5)
        assert float(dropped.max()) == pytest.approx(1 / (1 - rate), rel=1e-4)
        again = Dropout(torch.Generator().manual_seed(1))
        torch.testing.assert_close(again(x, rate), dropped, atol=0, rtol=0)
        assert (again(x, rate) != dropped).any()
    assert Dropout()(x, 0.5) is x


def test_linear_equals_torch() -> None:
    layer = torch.nn.Linear(24, 40)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(17, 24, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = torch.linspace(-1, 1, 40)
    results = []
    for function in (lambda: linear(x, layer), lambda: layer(x)):
        x.grad = layer.weight.grad = layer.bias.grad = None
        found = function()
        (found.square() @ weights).sum().backward()
        results.append((found.detach(), x.grad, layer.weight.grad, layer.bias.grad))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-5)


def test_without_onednn_the_results_agree(
    tiny_encoder: Path, context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    distilled, queries = make_set(6, 3, seed=8)
    scores = []
    for available in (onednn.available(), False):
        monkeypatch.setattr(onednn, "available", lambda found=available: found)
        model = both(tiny_encoder, 2)[0]
        model.fit(distilled, queries, targets(distilled), Recipe(learning_rate=1e-3, steps=10), context(1))
        scores.append(model.scores(queries, context(1)))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-3)


def test_can_split(tiny_encoder: Path, tiny_roberta: Path, tiny_xlnet: Path, tmp_path: Path) -> None:
    assert can_split(tiny_encoder)
    assert can_split(tiny_roberta)
    assert not can_split(tiny_xlnet)
    assert not can_split(tmp_path)


def test_more_layers_than_there_are(tiny_encoder: Path) -> None:
    with pytest.raises(UserError, match="trainable_layers=5: the model has 4 layers"):
        SplitModel(tiny_encoder, 2, "cpu", trainable_layers=5, dropout=None, max_length=64, identity={})


def test_set_of_one_row(tiny_encoder: Path, context: MakeContext) -> None:
    model = both(tiny_encoder, 2, dropout=None)[0]
    _, queries = make_set(3, 3, seed=0)
    one = DistilledSet(labels=np.array([2]), texts={"first": ["team won"]})
    model.fit(one, queries, targets(one), Recipe(learning_rate=1e-2, steps=20), context())
    assert (model.scores(queries, context()).argmax(1) == 2).all()
