"""What every network does: texts and embeddings alike, stacked runs as single ones, through both ways of computing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import DistilledSet, Queries, UserError
from bench.learners.bert import BertNetwork
from bench.learners.embedded import Embedded
from bench.learners.load import load_network
from bench.learners.network import Network, stacked
from bench.learners.packed import Batch, Packed
from bench.learners.recipe import Recipe, fit, make_trainer, predict
from bench.learners.whole import WholeNetwork
from students.encoder import targets
from tests.learner_models import make_set

CASES = {
    "bert split": ("tiny_encoder", 2),
    "roberta split": ("tiny_roberta", 2),
    "bert": ("tiny_encoder", None),
    "roberta": ("tiny_roberta", None),
    "xlnet": ("tiny_xlnet", None),
    "mpnet": ("tiny_mpnet", None),
    "mpnet frozen": ("tiny_mpnet", 1),
}
MakeNetwork = Callable[..., Network]


@pytest.fixture(params=CASES)
def make(request: pytest.FixtureRequest) -> MakeNetwork:
    """A function (dropout) -> network of 3 classes."""
    fixture, layers = CASES[request.param]
    folder: Path = request.getfixturevalue(fixture)

    def network(dropout: float | None = 0.0) -> Network:
        return load_network(
            folder, 3, "cpu", trainable_layers=layers, dropout=dropout, max_length=64, identity={"test": str(folder)}
        )

    return network


def embedding_of(network: Network, texts: dict[str, list[str]]) -> Embedded:
    """Rows of the embedding table for the tokens of texts, with something else at the padding."""
    if isinstance(network, WholeNetwork):
        table = network.model.get_input_embeddings().weight
    else:
        assert isinstance(network, BertNetwork)
        table = network.frozen.embeddings.word_embeddings.weight  # published, also where runs train it
    batch = network.tokenize(texts, tuple(texts)).batch(np.arange(len(texts["first"])))
    mask = batch["attention_mask"].numpy()
    values = table.detach()[batch["input_ids"]].numpy().copy()
    values[mask == 0] = 7.0
    wider = np.pad(values, ((0, 0), (0, 2), (0, 0))), np.pad(mask, ((0, 0), (0, 2)))
    return Embedded(*wider)


def start(network: Network, seed: int = 5) -> dict[str, torch.Tensor]:
    return network.initial(torch.Generator().manual_seed(seed))


def test_word_embeddings_of_texts_give_the_texts_logits(make: MakeNetwork) -> None:
    """In batches of another make-up, too."""
    network, (distilled, _) = make(), make_set(9, 3, seed=1)
    texts = {"first": list(distilled.texts["first"])}  # type: ignore[index]
    weights, embedded = start(network), embedding_of(network, texts)
    expected = predict(network, weights, network.prepare(network.tokenize(texts, ("first",))))
    np.testing.assert_allclose(predict(network, weights, network.prepare(embedded)), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-3
    some = np.array([4, 0, 7])
    found = network.logits(weights, network.batch(embedded, some), network.dropout())
    np.testing.assert_allclose(found.detach(), expected[some], atol=1e-5)
    other = dataclasses.replace(embedded, values=embedded.values[..., ::-1])
    assert np.abs(predict(network, weights, network.prepare(other)) - expected).max() > 1e-3


@pytest.mark.parametrize("fixture", ["tiny_encoder", "tiny_roberta"])
def test_hidden_states_of_texts_give_the_texts_logits(fixture: str, request: pytest.FixtureRequest) -> None:
    """Above the frozen layers; and a method that trains them gets their gradient."""
    folder = request.getfixturevalue(fixture)
    network = BertNetwork(
        folder, 3, "cpu", trainable_layers=2, dropout=0.0, max_length=64, identity={"test": str(folder)}
    )
    distilled, _ = make_set(6, 3, seed=2)
    tokens = network.tokenize(distilled.texts, ("first",))  # type: ignore[arg-type]
    packed = network.prepare(tokens)
    batch = packed.batch("cpu")
    values = batch.pad(batch.states).numpy()
    again = Embedded(values, (np.arange(values.shape[1]) < packed.sizes[:, None]).astype(np.int64)).packed()
    weights = start(network)
    expected = predict(network, weights, packed)
    np.testing.assert_array_equal(predict(network, weights, again), expected)
    states = batch.states.clone().requires_grad_()
    network.logits(weights, Batch(states, packed.sizes), network.dropout())[2].sum().backward()
    reached = states.grad.abs().sum(1) > 0  # type: ignore[union-attr]
    assert torch.equal(reached.nonzero()[:, 0], torch.arange(*np.cumsum(packed.sizes)[[1, 2]]))


def test_whole_models_refuse_hidden_states(tiny_encoder: Path) -> None:
    whole = WholeNetwork(tiny_encoder, 3, "cpu", trainable_layers=None, dropout=None, max_length=64)
    with pytest.raises(ValueError, match="hidden states"):
        whole.batch(Packed(np.zeros((3, 32), np.float32), np.array([3])), np.array([0]))


def test_masks_that_no_text_has() -> None:
    values = np.zeros((2, 3, 4), np.float32)
    for mask in ([[1, 1, 0], [0, 1, 1]], [[1, 1, 1], [0, 0, 0]], [[1, 2, 0], [1, 1, 0]]):
        with pytest.raises(ValueError, match="mask"):
            Embedded(values, np.array(mask))
    with pytest.raises(ValueError, match="do not fit"):
        Embedded(values, np.ones((2, 2)))


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_stacked_runs_equal_single_ones(dropout: float, make: MakeNetwork) -> None:
    """Two runs from two heads, with dropout of their own: the same predictions; logits up to float32 rounding."""
    network, (distilled, queries) = make(dropout), make_set(9, 3, seed=3)
    inputs = network.prepare(network.tokenize(distilled.texts, ("first",)))  # type: ignore[arg-type]
    test = network.prepare(network.tokenize(queries.texts, ("first",)))
    labels, recipe = torch.from_numpy(distilled.labels), Recipe(learning_rate=1e-3, steps=12)
    singles = []
    for seed in (1, 2):
        weights = start(network, seed)
        fit(network, weights, inputs, labels, recipe, network.dropout(seed), np.random.default_rng(0))
        singles.append(predict(network, weights, test))
    both = stacked([start(network, seed) for seed in (1, 2)])
    fit(network, both, inputs, labels, recipe, network.dropout(1, 2), [np.random.default_rng(0)] * 2)
    found = predict(network, both, test)
    assert found.shape == (2, len(queries), 3)
    np.testing.assert_allclose(found, singles, atol=2e-4)
    np.testing.assert_array_equal(found.argmax(-1), np.argmax(singles, -1))
    assert np.abs(found[0] - found[1]).max() > 0.05


OWN_BATCHES = ["bert split", "roberta split", "bert", "roberta"]


@pytest.fixture(params=OWN_BATCHES)
def make_axis(request: pytest.FixtureRequest) -> MakeNetwork:
    """As `make`, of networks whose stacked runs are one computation."""
    fixture, layers = CASES[request.param]
    folder: Path = request.getfixturevalue(fixture)

    def network(dropout: float | None = 0.0, layers: int | None = layers) -> Network:
        found = load_network(
            folder, 3, "cpu", trainable_layers=layers, dropout=dropout, max_length=64, identity={"test": str(folder)}
        )
        assert found.at_once
        return found

    return network


def trained(
    network: Network, distilled: DistilledSet, queries: Queries, recipe: Recipe, seeds: Sequence[int], together: bool
) -> np.ndarray:
    """Logits of runs, [runs, n, C]: stacked, or one after another."""
    inputs = network.prepare(network.tokenize(distilled.texts, ("first",)))  # type: ignore[arg-type]
    test = network.prepare(network.tokenize(queries.texts, ("first",)))
    labels = targets(distilled)
    orders = {seed: np.random.default_rng(seed) for seed in seeds}
    if together:
        weights = stacked([start(network, seed) for seed in seeds])
        fit(network, weights, inputs, labels, recipe, network.dropout(*seeds), list(orders.values()))
        return predict(network, weights, test)
    found = []
    for seed, order in orders.items():
        weights = start(network, seed)
        fit(network, weights, inputs, labels, recipe, network.dropout(seed), order)
        found.append(predict(network, weights, test))
    return np.stack(found)


@pytest.mark.parametrize("case", ["soft", "hard", "one layer"])
def test_stacked_runs_larger_than_a_batch(case: str, make_axis: MakeNetwork) -> None:
    """Each draws its own batches, of texts of other lengths, and its own masks: as it would alone."""
    network = make_axis(0.2, 1) if case == "one layer" else make_axis(0.2)
    distilled, queries = make_set(13, 3, seed=4)
    if case == "soft":
        labels = np.random.default_rng(0).dirichlet(np.ones(3), 13).astype(np.float32)
        distilled = dataclasses.replace(distilled, soft_labels=labels)
    recipe = Recipe(learning_rate=1e-3, steps=7, batch=4)
    single = trained(network, distilled, queries, recipe, (1, 2), together=False)
    found = trained(network, distilled, queries, recipe, (1, 2), together=True)
    np.testing.assert_allclose(found, single, atol=2e-4)
    assert np.abs(found[0] - found[1]).max() > 0.05
    more = trained(network, distilled, queries, recipe, (2, 3, 1), together=True)
    np.testing.assert_allclose(
        more[[2, 0]], found, atol=2e-4, err_msg="a further run changes nothing, nor does a place"
    )
    alone = trained(network, distilled, queries, recipe, (2,), together=True)
    np.testing.assert_allclose(alone, single[[1]], atol=2e-4)


def test_the_order_of_a_stacked_run_is_its_own(make_axis: MakeNetwork) -> None:
    """With the same head and no dropout, runs differ by the order of their rows alone; of a full batch by nothing."""
    network, (distilled, queries) = make_axis(), make_set(16, 3, seed=5)
    inputs = network.prepare(network.tokenize(distilled.texts, ("first",)))  # type: ignore[arg-type]
    test = network.prepare(network.tokenize(queries.texts, ("first",)))
    for batch, differ in ((4, True), (16, False)):
        weights, orders = stacked([start(network, 1)] * 2), [np.random.default_rng(seed) for seed in (1, 2)]
        recipe = Recipe(learning_rate=1e-3, steps=8, batch=batch)
        fit(network, weights, inputs, targets(distilled), recipe, network.dropout(), orders)
        found = predict(network, weights, test)
        assert bool(np.abs(found[0] - found[1]).max() > 1e-3) is differ


def test_stacked_runs_are_clipped_by_their_own_norm(make_axis: MakeNetwork) -> None:
    """One run starts from a head that makes steep gradients: by a norm over both, the other would hardly move."""
    network, (distilled, queries) = make_axis(), make_set(9, 3, seed=6)
    inputs = network.prepare(network.tokenize(distilled.texts, ("first",)))  # type: ignore[arg-type]
    test = network.prepare(network.tokenize(queries.texts, ("first",)))
    recipe = Recipe(learning_rate=1e-3, steps=10, clip=0.05)

    def starts() -> list[dict[str, torch.Tensor]]:
        calm, steep = start(network, 1), start(network, 2)
        with torch.no_grad():
            for name in network.initial.head:
                steep[name].mul_(1000.0)
        return [calm, steep]

    calm = starts()[0]
    fit(network, calm, inputs, targets(distilled), recipe, network.dropout(), np.random.default_rng(0))
    both = stacked(starts())
    fit(network, both, inputs, targets(distilled), recipe, network.dropout(), [np.random.default_rng(0)] * 2)
    np.testing.assert_allclose(predict(network, both, test)[0], predict(network, calm, test), atol=2e-4)
    shared = stacked(starts())
    norms = make_trainer(shared, network.spared, recipe, 10, runs=2)
    batch = network.batch(inputs, np.arange(9))
    logits = network.logits(shared, batch, network.dropout())
    torch.stack([torch.nn.functional.cross_entropy(run, targets(distilled)) for run in logits]).sum().backward()
    own = norms.clip()
    assert own[1] > 100 * own[0] > 100 * recipe.clip, "both are clipped, by very different factors"
    after = [torch.stack([w.grad[run].norm() for w in shared.values() if w.grad is not None]).norm() for run in (0, 1)]
    torch.testing.assert_close(torch.stack(after), torch.full((2,), recipe.clip), rtol=1e-4, atol=0)


def test_a_run_that_diverges_leaves_its_mates_alone(make_axis: MakeNetwork) -> None:
    network, (distilled, queries) = make_axis(0.2), make_set(9, 3, seed=6)
    inputs = network.prepare(network.tokenize(distilled.texts, ("first",)))  # type: ignore[arg-type]
    test = network.prepare(network.tokenize(queries.texts, ("first",)))
    recipe = Recipe(learning_rate=1e-3, steps=6)
    expected = trained(network, distilled, queries, recipe, (1,), together=False)[0]
    broken = start(network, 2)
    with torch.no_grad():
        broken[next(iter(network.initial.head))].fill_(float("nan"))
    weights = stacked([start(network, 1), broken])
    fit(network, weights, inputs, targets(distilled), recipe, network.dropout(1, 2), [np.random.default_rng(1)] * 2)
    found = predict(network, weights, test)
    assert np.isnan(found[1]).any()
    np.testing.assert_allclose(found[0], expected, atol=2e-4)


def test_whole_models_share_the_batches_of_stacked_runs(tiny_xlnet: Path) -> None:
    """What they cannot do is said: each of their runs reads the one batch."""
    network = WholeNetwork(tiny_xlnet, 3, "cpu", trainable_layers=None, dropout=None, max_length=64)
    assert not network.at_once
    tokens = network.tokenize({"first": ["the team won", "law"]}, ("first",))
    with pytest.raises(ValueError, match="read the same batches"):
        network.batch(tokens, np.array([[0], [1]]))


def test_initial_weights(make: MakeNetwork) -> None:
    """New leaf tensors each time: published values, a head that its generator alone decides."""
    network = make()
    first, again, other = (start(network, seed) for seed in (1, 1, 2))
    assert network.initial.std == pytest.approx(0.2)  # the tiny models' initializer_range
    for name, weight in first.items():
        assert weight.is_leaf
        assert weight.requires_grad
        assert weight.data_ptr() not in {again[name].data_ptr(), network.initial.trained[name].data_ptr()}
        assert torch.equal(weight, again[name])
        assert torch.equal(weight, network.initial.trained[name]) or name in network.initial.head
        assert torch.equal(weight, other[name]) is (name not in network.initial.head or weight.ndim == 1)
        if name in network.initial.head:
            assert float(weight.std()) == pytest.approx(0.2, rel=0.3) if weight.ndim == 2 else not weight.any()


def test_relative_positions_are_frozen_with_the_lower_layers(tiny_mpnet: Path) -> None:
    """All layers read them: were they trained, the frozen layers would change."""
    network = WholeNetwork(tiny_mpnet, 3, "cpu", trainable_layers=1, dropout=None, max_length=64)
    assert {name.split(".")[0] for name in network.initial.trained} == {"mpnet", "classifier"}
    assert all(".layer.3." in name for name in network.initial.trained if name.startswith("mpnet"))
    everything = WholeNetwork(tiny_mpnet, 3, "cpu", trainable_layers=None, dropout=None, max_length=64)
    assert "mpnet.encoder.relative_attention_bias.weight" in everything.initial.trained


def test_frozen_parts_have_no_dropout(tiny_mpnet: Path) -> None:
    """With dropout in the frozen layers two passes would differ below the trained one."""
    network = WholeNetwork(tiny_mpnet, 3, "cpu", trainable_layers=1, dropout=0.5, max_length=64)
    distilled, _ = make_set(4, 3, seed=0)
    batch = network.batch(network.tokenize(distilled.texts, ("first",)), np.arange(4))  # type: ignore[arg-type]
    seen = []
    network.model.base_model.encoder.layer[3].register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    weights = start(network)
    found = [network.logits(weights, batch, network.dropout(seed)) for seed in (1, 2)]
    assert torch.equal(seen[0], seen[1])
    assert float((found[0] - found[1]).abs().max()) > 1e-3  # type: ignore[arg-type]


def test_a_head_that_is_not_known_still_gives_logits(tiny_encoder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, ElectraConfig, ElectraModel

    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    with torch.random.fork_rng(devices=[]):
        ElectraModel(ElectraConfig(vocab_size=len(tokenizer), embedding_size=16, **small)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    network = WholeNetwork(tmp_path, 3, "cpu", trainable_layers=None, dropout=None, max_length=64)
    batch = network.batch(network.tokenize({"a": ["the team won", "law"]}, ("a",)), np.arange(2))
    assert network.logits(start(network), batch, network.dropout()).shape == (2, 3)
    with pytest.raises(UserError, match="type 'electra'"):
        network.forward(start(network), batch, network.dropout())
