"""The learner: a trajectory of its own, exact restarts, factors and features at any point of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from bench.api import TrainData, UserError
from bench.data.encoders import Tokens
from bench.learners import frozen
from bench.learners.recipe import Recipe, fit, predict
from bench.learners.seeds import derive
from bench.learners.whole import WholeNetwork
from methods.gen_distill import learner as module
from methods.gen_distill.learner import Learner
from methods.gen_distill.matching import Factors
from tests.learner_models import tiny_roberta, tiny_xlnet  # noqa: F401  fixtures
from tests.methods.gen_distill.conftest import MakeContext, MakeParams

CASES = {
    "bert split": ("tiny_encoder", 2),
    "roberta split": ("tiny_roberta", 2),
    "bert": ("tiny_encoder", None),
    "roberta": ("tiny_roberta", None),
    "xlnet frozen": ("tiny_xlnet", 1),
    "gpt2": ("tiny_generator", None),
}
SPEED = {"learner_learning_rate": 3e-3, "inner_loop": 4, "learner_steps": 2, "generation_interval": 4}

Make = Callable[..., Learner]


@pytest.fixture
def make_learner(request: pytest.FixtureRequest, make_context: MakeContext, make_params: MakeParams) -> Make:
    """A function (case, data, changes) -> learner that has been started with seed 1."""

    def make(case: str, data: TrainData, **changes: Any) -> Learner:
        fixture, layers = CASES[case]
        folder = str(request.getfixturevalue(fixture))
        params = make_params(**{**SPEED, "learner": folder, "learner_layers": layers, **changes})
        learner = Learner(data, make_context(data), params)
        learner.start(1)
        return learner

    return make


def weights(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: w.detach().clone() for name, w in learner.weights.items()}


def assert_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def gradients(factors: Factors) -> torch.Tensor:
    """Gradients of single samples, flattened, [n, all blocks]: where two factors agree, these do."""
    return torch.cat([torch.einsum("np,nq->npq", U, V).flatten(1) for U, V in factors.blocks], 1)


def folder_of(case: str, request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(CASES[case][0]))


def published(learner: Learner, folder: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(weight, its value in the folder) for everything that is not drawn anew."""
    network = learner.network
    own = network.model.named_parameters() if isinstance(network, WholeNetwork) else network.frozen.weights.items()  # type: ignore[attr-defined]
    live = {**dict(own), **learner.weights}
    stored = load_file(folder / "model.safetensors")
    found = [
        (live[name], value)
        for prefix in ("", "bert.", "roberta.", "transformer.")
        for key, value in stored.items()
        if (name := prefix + key) in live
    ]
    assert len(found) == len(stored)
    return found


@pytest.mark.parametrize("case", CASES)
def test_each_start_is_bit_exact(
    case: str, make_learner: Make, train_data: TrainData, request: pytest.FixtureRequest
) -> None:
    """On a CPU a restore from aliases would restore nothing; nor may a forward pass in between leave a trace."""
    learner = make_learner(case, train_data)
    first = weights(learner)
    assert all(torch.equal(live, stored) for live, stored in published(learner, folder_of(case, request)))
    learner.update(8)
    learner.features(learner.prepare(train_data.train.texts))
    assert sum(not torch.equal(live, stored) for live, stored in published(learner, folder_of(case, request))) > 10
    learner.start(2)
    assert all(torch.equal(live, stored) for live, stored in published(learner, folder_of(case, request)))
    assert learner.trainer.done == 0
    assert not learner.trainer.optimizer.state
    other = weights(learner)
    head = {name for name in first if not torch.equal(first[name], other[name])}
    assert {name for name in head if first[name].ndim == 2} == head  # biases start at 0
    assert len(head) == (1 if case in {"bert", "bert split", "gpt2"} else 2)
    learner.start(1)
    assert_equal(weights(learner), first)


@pytest.mark.parametrize("case", CASES)
def test_the_trajectory_is_the_learners_own(case: str, make_learner: Make, train_data: TrainData) -> None:
    """Bit-identical whatever is computed in between, and however the steps are grouped."""
    alone = make_learner(case, train_data)
    alone.update(5)
    plain = weights(alone)
    busy = make_learner(case, train_data)
    prepared = busy.prepare({"sentence": ["team won", "profit of the bank and shares", "the law"]})
    for steps in (2, 0, 3):
        busy.real(np.array([4, 0, 7]))
        busy.factors(prepared, np.array([2, 0]), 1)
        busy.features(prepared)
        busy.update(steps)
    assert_equal(weights(busy), plain)
    busy.start(1)
    busy.update(5)
    assert_equal(weights(busy), plain)
    busy.start(2)
    busy.update(5)
    assert any(not torch.equal(plain[name], tensor) for name, tensor in weights(busy).items())


@pytest.mark.parametrize("case", ["bert split", "bert", "roberta split", "xlnet frozen"])
def test_updates_are_the_students_recipe(
    case: str, make_learner: Make, train_data: TrainData, request: pytest.FixtureRequest
) -> None:
    """Schedule, order, clipping and decay: as the whole model is trained by `recipe.train`, without dropout."""
    learner = make_learner(case, train_data, learner_dropout=False)
    learner.update(8)
    layers, folder = CASES[case][1], folder_of(case, request)
    whole = WholeNetwork(folder, 3, "cpu", trainable_layers=layers, dropout=0.0, max_length=64)
    wanted = whole.initial(torch.Generator().manual_seed(derive(1, "head")))
    tokens = whole.tokenize(train_data.train.texts, ("sentence",))
    rule = Recipe(learning_rate=3e-3, steps=8, min_epochs=0, batch=8)
    labels = torch.tensor(train_data.train.labels)
    fit(whole, wanted, tokens, labels, rule, whole.dropout(), np.random.default_rng(derive(1, "order")))
    mine = torch.from_numpy(predict(learner.network, learner.weights, learner.train))
    theirs = torch.from_numpy(predict(whole, wanted, tokens))
    torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=0)
    assert float(theirs.std(0).max()) > 1e-2


def test_schedule(make_learner: Make, train_data: TrainData) -> None:
    """T*K steps: 0 at first, the peak after half of them, near 0 at the last."""
    learner = make_learner("bert split", train_data, inner_loop=10, learner_steps=2, generation_interval=10)
    first, rates = weights(learner), []
    for step in range(20):
        learner.update(1)
        rates.append(learner.trainer.optimizer.param_groups[0]["lr"])
        if step == 0:
            assert_equal(weights(learner), first)
    assert rates[:3] == pytest.approx([0, 3e-4, 6e-4])
    assert np.argmax(rates) == 10
    assert rates[10] == pytest.approx(3e-3)
    assert rates[-1] < 1e-4


@pytest.mark.parametrize("case", CASES)
def test_factors_equal_autograd(case: str, make_learner: Make, pair_data: TrainData) -> None:
    """Pairs of different lengths in any order, after some updates; the head's gradient by autograd, row by row."""
    learner = make_learner(case, pair_data, learner_dropout=False)
    learner.update(6)
    rows = np.array([7, 0, 12, 3, 3])
    found = gradients(learner.real(rows))
    network = learner.network
    maps = [name for name in (network.head.dense, network.head.out) if name is not None]
    for place, row in enumerate(rows):
        batch = network.batch(learner.train, rows[place : place + 1])
        logits = network.logits(learner.weights, batch, network.dropout())
        loss = functional.cross_entropy(logits, torch.tensor(pair_data.train.labels[[row]]))
        blocks = []
        for layer in maps:
            tensors = [w for name, w in learner.weights.items() if name in {f"{layer}.weight", f"{layer}.bias"}]
            parts = torch.autograd.grad(loss, tensors, retain_graph=True)
            blocks.append(torch.cat([part.reshape(len(part), -1) for part in parts], 1).flatten())
        torch.testing.assert_close(found[place], torch.cat(blocks), atol=1e-5, rtol=1e-4)
    assert float(found.std(0).max()) > 1e-3


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_split_and_whole_agree(architecture: str, make_learner: Make, train_data: TrainData) -> None:
    texts = {"sentence": ["team won", "profit of the bank and shares", "the law", "goal"]}
    found = []
    for case in (architecture, f"{architecture} split"):
        learner = make_learner(case, train_data, learner_dropout=False, learner_layers=2 if "split" in case else None)
        prepared = learner.prepare(texts)
        rows = np.array([3, 1, 1])
        found.append((gradients(learner.factors(prepared, rows, 2)), torch.from_numpy(learner.features(prepared))))
    # the heads are drawn in the same order from the same seed
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_synthetic_texts_equal_real_ones(case: str, make_learner: Make, train_data: TrainData) -> None:
    learner = make_learner(case, train_data, learner_dropout=False)
    rows = train_data.class_rows(1)[[2, 0, 3]]
    texts = {"sentence": [train_data.train.texts["sentence"][row] for row in rows]}
    synthetic = learner.factors(learner.prepare(texts), np.arange(3), 1)
    torch.testing.assert_close(gradients(synthetic), gradients(learner.real(rows)), atol=1e-5, rtol=1e-4)
    other = learner.factors(learner.prepare(texts), np.arange(3), 2)
    assert float((gradients(other) - gradients(synthetic)).abs().max()) > 1e-2


@pytest.mark.parametrize("case", CASES)
def test_dropout_masks_follow_seed_step_and_tag(case: str, make_learner: Make, train_data: TrainData) -> None:
    learner, rows = make_learner(case, train_data), np.array([0, 3, 6, 9])
    first = gradients(learner.real(rows))
    prepared = learner.prepare(train_data.train.texts)
    assert torch.equal(gradients(learner.real(rows)), first)
    assert torch.equal(gradients(make_learner(case, train_data).real(rows)), first)
    others = [
        gradients(learner.real(rows, tag="other")),
        gradients(learner.factors(prepared, rows, 0)),
        gradients(make_learner(case, train_data, learner_dropout=False).real(rows)),
    ]
    learner.update(1)  # of step size 0: another step, the same weights
    others.append(gradients(learner.real(rows)))
    for number, other in enumerate(others):
        assert float((other - first).abs().max()) > 1e-3, number


@pytest.mark.parametrize("case", ["bert split", "bert", "xlnet frozen"])
def test_pieces_do_not_matter(
    case: str, make_learner: Make, train_data: TrainData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small batches sorted by length, and frozen states that are not kept: same values, same order."""
    learner = make_learner(case, train_data, learner_dropout=False)
    rows = np.array([5, 30, 2, 17, 8, 8, 20])
    expected = gradients(learner.real(rows))
    prepared = learner.prepare(train_data.train.texts)
    features = learner.features(prepared)
    monkeypatch.setitem(module.TOKENS, "cpu", 20)
    monkeypatch.setattr(module, "KEPT_BYTES", 0)
    lean = learner.prepare(train_data.train.texts)
    assert isinstance(lean, Tokens)
    torch.testing.assert_close(gradients(learner.real(rows)), expected, atol=1e-5, rtol=1e-4)
    for row in rows[:3]:
        label = int(train_data.train.labels[row])
        alone = gradients(learner.factors(lean, np.array([row]), label))
        torch.testing.assert_close(alone[0], expected[list(rows).index(row)], atol=1e-5, rtol=1e-4)
    np.testing.assert_allclose(learner.features(lean), features, atol=1e-5)


@pytest.mark.parametrize("case", ["bert split", "bert", "roberta split"])
def test_features_are_the_cls_vectors(
    case: str, make_learner: Make, make_context: MakeContext, train_data: TrainData, request: pytest.FixtureRequest
) -> None:
    """At the start those of the published encoder, as the engine computes them; later they move."""
    learner = make_learner(case, train_data)
    prepared = learner.prepare(train_data.train.texts)
    found = learner.features(prepared)
    assert found.dtype == np.float32
    expected = make_context(train_data).embed(train_data.train.texts, str(folder_of(case, request)), "cls", 64)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_array_equal(learner.features(prepared), found)
    learner.update(8)
    assert np.abs(learner.features(prepared) - found).max() > 1e-2


@pytest.mark.parametrize("dropout", [True, False])
def test_modes(dropout: bool, make_learner: Make, train_data: TrainData) -> None:
    """Dropout as configured in steps and gradients, never in features."""
    learner = make_learner("xlnet frozen", train_data, learner_dropout=dropout)
    assert isinstance(learner.network, WholeNetwork)
    seen: list[bool] = []
    layer = learner.network.model.base_model.layer[-1]
    layer.register_forward_hook(lambda owner, *_: seen.append(owner.training))
    learner.update(1)
    learner.real(np.array([0]))
    learner.features(learner.prepare({"sentence": ["a match"]}))
    assert seen == [dropout, dropout, False]


def test_frozen_states_of_the_train_rows_are_shared(
    make_learner: Make, train_data: TrainData, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = gradients(make_learner("bert split", train_data).real(np.arange(4)))
    monkeypatch.setattr(frozen.Frozen, "_run", lambda *args: pytest.fail("computed again"))
    other = make_learner("bert split", train_data)
    assert torch.equal(gradients(other.real(np.arange(4))), first)
    other.update(2)


@pytest.mark.parametrize("case", ["bert split", "bert"])
def test_global_generators_are_left_alone(case: str, make_learner: Make, train_data: TrainData) -> None:
    torch.manual_seed(4)
    np.random.seed(4)
    random.seed(4)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    learner = make_learner(case, train_data)
    learner.update(2)
    learner.real(np.array([1, 2]))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]


def test_it_learns(make_learner: Make, train_data: TrainData) -> None:
    """The norm of the errors on its own train rows falls; a batch larger than the data is all of them."""
    learner = make_learner("bert split", train_data, learner_dropout=False, learner_steps=15, learner_batch=64)
    rows = np.arange(36)
    before = learner.real(rows).blocks[-1][0].norm()
    learner.update(60)
    assert float(learner.real(rows).blocks[-1][0].norm()) < 0.5 * float(before)


def test_mistakes_are_one_line(make_learner: Make, train_data: TrainData, tiny_encoder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, ElectraConfig, ElectraModel

    with pytest.raises(UserError, match=r"^learner: learner_layers=5: the model has 4 layers$"):
        make_learner("bert split", train_data, learner_layers=5)
    with pytest.raises(UserError, match=r"^learner: no weights in safetensors format"):
        make_learner("bert", train_data, learner=str(tmp_path))
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    with torch.random.fork_rng(devices=[]):
        ElectraModel(ElectraConfig(**sizes, embedding_size=8)).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"^learner: the last layer of this model of type 'electra'") as error:
        make_learner("bert", train_data, learner=str(tmp_path))
    assert "\n" not in str(error.value)
