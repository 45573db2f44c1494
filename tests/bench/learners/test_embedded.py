"""A set at a layer gives the logits of the text that it was made from; what a start from scratch draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import UserError
from bench.learners.embedded import inputs_of
from bench.learners.load import load_network
from bench.learners.network import Network
from bench.learners.pretrained import Initial
from bench.learners.recipe import predict
from bench.learners.whole import WholeNetwork
from tests.embedded_sets import embedded
from tests.learner_models import make_set

CASES = [  # trained layers, and the layer whose input is given
    ("tiny_encoder", 2, 0),
    ("tiny_encoder", 2, 2),
    ("tiny_encoder", 4, 0),
    ("tiny_roberta", 1, 3),
    ("tiny_encoder", None, 0),
    ("tiny_roberta", None, 0),
    ("tiny_xlnet", None, 0),
    ("tiny_mpnet", 1, 0),
]


def load(folder: Path, layers: int | None, classes: int = 3) -> Network:
    return load_network(
        folder, classes, "cpu", trainable_layers=layers, dropout=None, max_length=64, identity={"test": str(folder)}
    )


@pytest.mark.parametrize(("fixture", "layers", "layer"), CASES)
def test_a_set_at_a_layer_gives_the_logits_of_its_texts(
    fixture: str, layers: int | None, layer: int, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(fixture)
    network, (distilled, _) = load(folder, layers), make_set(9, 3, seed=1)
    assert distilled.texts is not None
    weights = network.initial(torch.Generator().manual_seed(5))
    vectors = embedded(folder, distilled, 3, layer).embeddings
    assert vectors is not None
    assert len(set(vectors.attention_mask.sum(1).tolist())) > 1  # padding
    assert network.entries[layer] == vectors.inputs_embeds.shape[2]
    expected = predict(network, weights, network.prepare(network.tokenize(distilled.texts, ("first",))))
    found = predict(network, weights, network.prepare(inputs_of(vectors)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-2


def test_what_networks_read(tiny_encoder: Path, tiny_roberta: Path, tiny_xlnet: Path) -> None:
    split, whole, relative = load(tiny_encoder, 1), load(tiny_roberta, None), load(tiny_xlnet, None)
    assert split.entries == {0: 32, 3: 32}
    assert (split.depth, split.positions, split.attention) == (4, 128, (1, 4))
    assert (whole.entries, whole.depth, whole.positions, whole.attention) == ({0: 32}, 4, 127, None)  # one is padding's
    assert (relative.entries, relative.depth, relative.positions) == ({0: 32}, 3, None)


def test_word_embeddings_may_be_narrower_than_the_states(tiny_encoder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, ElectraConfig, ElectraModel

    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    with torch.random.fork_rng(devices=[]):
        ElectraModel(ElectraConfig(vocab_size=len(tokenizer), embedding_size=8, **small)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    network = load(tmp_path, None)
    assert (network.width, network.entries) == (16, {0: 8})


@pytest.mark.parametrize(("fixture", "layers"), [("tiny_encoder", 2), ("tiny_roberta", None), ("tiny_xlnet", None)])
def test_a_start_from_scratch_holds_nothing_that_is_published(
    fixture: str, layers: int | None, request: pytest.FixtureRequest
) -> None:
    initial = load(request.getfixturevalue(fixture), layers).initial
    first, again, other = (initial(torch.Generator().manual_seed(seed), scratch=True) for seed in (1, 1, 2))
    assert first.keys() == initial.trained.keys()
    for name, weight in first.items():
        assert torch.equal(weight, again[name])
        assert weight.is_leaf
        assert weight.requires_grad
        if weight.ndim > 1:
            assert not torch.equal(weight, other[name])
            assert not torch.equal(weight, initial.trained[name])
            assert float(weight.detach().std()) == pytest.approx(0.2, rel=0.3)
            assert abs(float(weight.detach().mean())) < 0.1
        elif name.lower().endswith("norm.weight") or name.endswith("layer_norm.weight"):
            assert (weight == 1).all()
        else:
            assert not weight.any()
    pretrained = initial(torch.Generator().manual_seed(1))
    assert any(torch.equal(pretrained[name], initial.trained[name]) for name in pretrained)


def test_norms_that_are_not_known_are_not_drawn(tiny_encoder: Path) -> None:
    """The scale of some starts at 1, that of others at 0."""
    network = WholeNetwork(tiny_encoder, 3, "cpu", trainable_layers=None, dropout=None, max_length=64)
    network.model.bert.pooler.scale = torch.nn.Parameter(torch.ones(3))
    initial = Initial(network.model, network.initial.head)
    initial(torch.Generator().manual_seed(1))
    with pytest.raises(UserError, match=r"its 'bert.pooler.scale' is no matrix or bias"):
        initial(torch.Generator().manual_seed(1), scratch=True)
