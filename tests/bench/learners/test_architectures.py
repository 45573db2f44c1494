"""Every architecture of the students, tiny, through the real loading, training and scoring."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

from bench.api import UserError
from bench.learners.load import load_network
from bench.learners.network import Network
from bench.learners.pretrained import own_rng
from bench.learners.recipe import Recipe, fit, predict
from bench.learners.train import spared_by_module
from bench.learners.whole import WholeNetwork
from tests.architectures import ARCHITECTURES, DECODERS, POSITIONS, Architecture, build, build_tokenizer
from tests.learner_models import gold, make_set

C, N = 3, 36
Texts = dict[str, list[str]]

# Rates of dropout by the names of each configuration. Those that its classifier takes from another one (None) are not.
RATES = {
    "bert": ["hidden_dropout_prob", "attention_probs_dropout_prob"],
    "tinybert": ["hidden_dropout_prob", "attention_probs_dropout_prob"],
    "roberta": ["hidden_dropout_prob", "attention_probs_dropout_prob"],
    "xlnet": ["dropout", "summary_last_dropout"],
    "distilbert": ["dropout", "attention_dropout", "seq_classif_dropout"],
    "deberta-v2": ["hidden_dropout_prob", "attention_probs_dropout_prob", "pooler_dropout"],
    "modernbert": ["attention_dropout", "embedding_dropout", "mlp_dropout", "classifier_dropout"],
    "mpnet": ["hidden_dropout_prob", "attention_probs_dropout_prob"],
    "electra": ["hidden_dropout_prob", "attention_probs_dropout_prob"],
    "gpt2": ["embd_pdrop", "attn_pdrop", "resid_pdrop"],
    "llama": ["attention_dropout"],
}

# What decays, written by hand; {} is the number of a layer. Everything else is a bias or belongs to a norm.
_BERT = """
    bert.embeddings.word_embeddings.weight bert.embeddings.position_embeddings.weight
    bert.embeddings.token_type_embeddings.weight bert.encoder.layer.{}.attention.self.query.weight
    bert.encoder.layer.{}.attention.self.key.weight bert.encoder.layer.{}.attention.self.value.weight
    bert.encoder.layer.{}.attention.output.dense.weight bert.encoder.layer.{}.intermediate.dense.weight
    bert.encoder.layer.{}.output.dense.weight bert.pooler.dense.weight classifier.weight
"""
_ROBERTA = _BERT.replace("bert.pooler.dense.weight classifier.weight", "")
_TWO_MAPS = " classifier.dense.weight classifier.out_proj.weight"
DECAYS = {
    "bert": _BERT,
    "tinybert": _BERT,
    "roberta": _ROBERTA.replace("bert.e", "roberta.e") + _TWO_MAPS,
    "electra": _ROBERTA.replace("bert.e", "electra.e") + _TWO_MAPS + " electra.embeddings_project.weight",
    "xlnet": """
        transformer.word_embedding.weight transformer.mask_emb transformer.layer.{}.rel_attn.q
        transformer.layer.{}.rel_attn.k transformer.layer.{}.rel_attn.v transformer.layer.{}.rel_attn.o
        transformer.layer.{}.rel_attn.r transformer.layer.{}.rel_attn.seg_embed transformer.layer.{}.ff.layer_1.weight
        transformer.layer.{}.ff.layer_2.weight sequence_summary.summary.weight logits_proj.weight
    """,
    "distilbert": """
        distilbert.embeddings.word_embeddings.weight distilbert.embeddings.position_embeddings.weight
        distilbert.transformer.layer.{}.attention.q_lin.weight distilbert.transformer.layer.{}.attention.k_lin.weight
        distilbert.transformer.layer.{}.attention.v_lin.weight distilbert.transformer.layer.{}.attention.out_lin.weight
        distilbert.transformer.layer.{}.ffn.lin1.weight distilbert.transformer.layer.{}.ffn.lin2.weight
        pre_classifier.weight classifier.weight
    """,
    "deberta-v2": """
        deberta.embeddings.word_embeddings.weight deberta.encoder.rel_embeddings.weight
        deberta.encoder.layer.{}.attention.self.query_proj.weight
        deberta.encoder.layer.{}.attention.self.key_proj.weight
        deberta.encoder.layer.{}.attention.self.value_proj.weight
        deberta.encoder.layer.{}.attention.output.dense.weight deberta.encoder.layer.{}.intermediate.dense.weight
        deberta.encoder.layer.{}.output.dense.weight pooler.dense.weight classifier.weight
    """,
    "modernbert": """
        model.embeddings.tok_embeddings.weight model.layers.{}.attn.Wqkv.weight model.layers.{}.attn.Wo.weight
        model.layers.{}.mlp.Wi.weight model.layers.{}.mlp.Wo.weight head.dense.weight classifier.weight
    """,
    "mpnet": """
        mpnet.embeddings.word_embeddings.weight mpnet.embeddings.position_embeddings.weight
        mpnet.encoder.relative_attention_bias.weight mpnet.encoder.layer.{}.attention.attn.q.weight
        mpnet.encoder.layer.{}.attention.attn.k.weight mpnet.encoder.layer.{}.attention.attn.v.weight
        mpnet.encoder.layer.{}.attention.attn.o.weight mpnet.encoder.layer.{}.intermediate.dense.weight
        mpnet.encoder.layer.{}.output.dense.weight
    """
    + _TWO_MAPS,
    "gpt2": """
        transformer.wte.weight transformer.wpe.weight transformer.h.{}.attn.c_attn.weight
        transformer.h.{}.attn.c_proj.weight transformer.h.{}.mlp.c_fc.weight transformer.h.{}.mlp.c_proj.weight
        score.weight
    """,
    "llama": """
        model.embed_tokens.weight model.layers.{}.self_attn.q_proj.weight model.layers.{}.self_attn.k_proj.weight
        model.layers.{}.self_attn.v_proj.weight model.layers.{}.self_attn.o_proj.weight
        model.layers.{}.mlp.gate_proj.weight model.layers.{}.mlp.up_proj.weight model.layers.{}.mlp.down_proj.weight
        score.weight
    """,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of an architecture, written once; read it, do not write to it."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = build(name, tmp_path_factory.mktemp(name))
        return made[name]

    return folder


@pytest.fixture(params=[*ARCHITECTURES, *DECODERS])
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def folder(name: str, folders: Callable[[str], Path]) -> Path:
    return folders(name)


def one(name: str) -> Architecture:
    return {**ARCHITECTURES, **DECODERS}[name]


def load(folder: Path, layers: int | None = None, dropout: float | None = None, max_length: int = 512) -> Network:
    options: dict[str, Any] = {"trainable_layers": layers, "dropout": dropout, "max_length": max_length}
    return load_network(folder, C, "cpu", identity={"test": str(folder)}, **options)


def whole(folder: Path, layers: int | None = None, dropout: float | None = None) -> WholeNetwork:
    return WholeNetwork(folder, C, "cpu", trainable_layers=layers, dropout=dropout, max_length=512)


def start(network: Network, seed: int = 5) -> dict[str, Tensor]:
    return network.initial(torch.Generator().manual_seed(seed))


def texts_of(n: int, fields: int = 1, seed: int = 3) -> Texts:
    distilled, _ = make_set(n, C, seed, fields)
    assert distilled.texts is not None
    return {field: list(column) for field, column in distilled.texts.items()}


def scores(network: Network, weights: dict[str, Tensor], texts: Texts) -> np.ndarray:
    return predict(network, weights, network.prepare(network.tokenize(texts, tuple(texts))))


@torch.no_grad()
def in_training(network: Network, weights: dict[str, Tensor], texts: Texts, *seeds: int) -> Tensor:
    """Logits with dropout of these seeds, or without any."""
    batch = network.batch(network.prepare(network.tokenize(texts, tuple(texts))), np.arange(len(texts["first"])))
    return network.logits(weights, batch, network.dropout(*seeds))


def trained(network: Network, seed: int = 1, steps: int = 30) -> dict[str, Tensor]:
    distilled, weights = make_set(N, C, seed=0)[0], start(network, seed)
    inputs = network.prepare(network.tokenize(distilled.texts, ("first",)))  # type: ignore[arg-type]
    recipe = Recipe(learning_rate=3e-3, steps=steps)
    fit(network, weights, inputs, torch.from_numpy(distilled.labels), recipe, network.dropout(seed), order())
    return weights


def order() -> np.random.Generator:
    return np.random.default_rng(0)


def test_it_learns(folder: Path) -> None:
    """Topics of 108 unseen sentences, of which the random encoder knows nothing: chance is one in three."""
    queries = make_set(N, C, seed=0)[1]
    network = load(folder, dropout=0.0)
    learnt = scores(network, trained(network, steps=60), dict(queries.texts)).argmax(1)  # type: ignore[arg-type]
    assert float((learnt == gold(N, C)).mean()) > 0.55


@pytest.mark.parametrize("layers", [None, 1])
def test_runs_restart_exactly(folder: Path, layers: int | None) -> None:
    """Training one run moves neither the network nor where the next one starts."""
    network, texts = load(folder, layers), texts_of(6)
    before = {name: weight.detach().clone() for name, weight in start(network).items()}
    published = load_file(folder / "model.safetensors")
    kept = sum(any(torch.equal(own, p) for p in published.values()) for own in before.values())
    assert kept >= len(before) - len(network.initial.head)
    first = trained(network, steps=6)
    assert sum(not torch.equal(first[name], weight) for name, weight in start(network, 1).items()) > 5
    assert all(torch.equal(weight, before[name]) for name, weight in start(network).items())
    expected = scores(network, first, texts)
    np.testing.assert_array_equal(scores(network, trained(network, steps=6), texts), expected)
    fresh = load(folder, layers)
    np.testing.assert_array_equal(scores(fresh, trained(fresh, steps=6), texts), expected)
    assert np.abs(scores(network, trained(network, seed=2, steps=6), texts) - expected).max() > 1e-4


def test_a_saved_classifier_gives_the_same_logits(name: str, folder: Path, tmp_path: Path) -> None:
    """Bit for bit, with dropout too: transformers' own classifier with a run's weights; what it saves, loaded."""
    network, texts = whole(folder), texts_of(6)
    weights = trained(network, steps=6)
    settings = transformers.AutoConfig.from_pretrained(folder, num_labels=C)
    with torch.random.fork_rng(devices=[]):
        model = transformers.AutoModelForSequenceClassification.from_config(settings).eval()
    lost = model.load_state_dict({key: weight.detach() for key, weight in weights.items()}, strict=False)
    assert not lost.unexpected_keys
    assert not set(lost.missing_keys) & {key for key, _ in model.named_parameters()}
    found = in_training(network, weights, texts)
    model.config.pad_token_id = network.texts.tokenizer.pad_token_id  # decoders look for it
    batch = network.batch(network.tokenize(texts, ("first",)), np.arange(6))
    with torch.no_grad(), own_rng(3, "cpu"):
        torch.testing.assert_close(model(**batch).logits, found, rtol=0, atol=0)
        dropped = model.train()(**batch).logits
    torch.testing.assert_close(in_training(network, weights, texts, 3), dropped, rtol=0, atol=0)
    model.save_pretrained(tmp_path)
    build_tokenizer(one(name), tmp_path)
    again = whole(tmp_path)
    loaded = start(again)
    assert set(loaded) == set(weights)
    for key, weight in loaded.items():
        assert torch.equal(weight, weights[key]) is (key not in again.initial.head), key
    loaded |= {key: weights[key] for key in again.initial.head}
    torch.testing.assert_close(in_training(again, loaded, texts), found, rtol=0, atol=0)


@pytest.mark.parametrize("fields", [1, 2])
def test_padding_does_not_matter(folder: Path, fields: int) -> None:
    network, texts = load(folder), texts_of(9, fields)
    lengths = network.tokenize(texts, tuple(texts)).lengths()
    assert lengths.max() > lengths.min() + 4
    weights = trained(network, steps=6)
    together = in_training(network, weights, texts)
    for row in (int(lengths.argmin()), int(lengths.argmax())):
        alone = in_training(network, weights, {field: [column[row]] for field, column in texts.items()})
        torch.testing.assert_close(alone[0], together[row], atol=2e-5, rtol=1e-5)
    assert float(together.std(0).min()) > 1e-2  # the texts are told apart


def test_a_tokenizers_side_of_padding_does_not_matter(name: str, folder: Path, tmp_path: Path) -> None:
    """What a tokenizer's file says would have BERT read a padding token in the place of [CLS]."""
    other = copy(folder, tmp_path)
    build_tokenizer(one(name), other, padding_side="right" if one(name).left else "left")
    networks, texts = [whole(folder), whole(other)], texts_of(9)
    assert networks[0].texts.tokenizer.padding_side != networks[1].texts.tokenizer.padding_side
    found = [in_training(network, start(network), texts) for network in networks]
    torch.testing.assert_close(found[0], found[1], atol=0, rtol=0)
    batch = networks[0].batch(networks[0].tokenize(texts, ("first",)), np.arange(9))
    assert bool(batch["attention_mask"][:, -1].all()) is one(name).left


def test_pairs(name: str, folder: Path) -> None:
    """Both texts, the special tokens between them, segments where there are any, and each of them matters."""
    network, texts = load(folder), texts_of(4, fields=2)
    tokens = network.tokenize(texts, ("first", "second"))
    tokenizer = network.texts.tokenizer  # type: ignore[attr-defined]
    expected = tokenizer(texts["first"], texts["second"])
    for row in range(4):
        ids = tokens.columns["input_ids"][row].tolist()
        words = [word for word in tokenizer.convert_ids_to_tokens(ids) if word not in one(name).special]
        assert words == f"{texts['first'][row]} {texts['second'][row]}".split()
        between = tokenizer.convert_ids_to_tokens(ids)[len(texts["first"][row].split()) :]
        assert name in DECODERS or between[:2] != words[len(texts["first"][row].split()) :][:2]
        if one(name).segments:
            assert tokens.columns["token_type_ids"][row].tolist() == expected["token_type_ids"][row]
            assert {0, 1} <= set(tokens.columns["token_type_ids"][row].tolist())
    assert ("token_type_ids" in tokens.columns) is one(name).segments
    weights = start(network)
    plain = scores(network, weights, texts)
    for changed in (
        {**texts, "second": texts["second"][::-1]},
        {"first": texts["second"], "second": texts["first"]},
    ):
        assert np.abs(scores(network, weights, changed) - plain).max(1).min() > 1e-4
    if one(name).segments:
        single = {"first": [f"{a} {b}" for a, b in zip(texts["first"], texts["second"], strict=True)]}
        assert np.abs(scores(network, weights, single) - plain).max(1).min() > 1e-4


def test_what_decays(name: str, folder: Path) -> None:
    """D17 of the reference: its list by names misses XLNet's norms. Ours goes by module, and `bias` ends the name."""
    network = load(folder)
    model = whole(folder).model
    assert network.spared == spared_by_module(model)
    depth = max(network.depth, 1)
    decays = {key.format(layer) for key in DECAYS[name].split() for layer in range(depth)}
    assert set(network.initial.trained) - network.spared == decays
    assert {key for key in network.spared if network.initial.trained[key].ndim > 1} == {
        f"transformer.layer.{layer}.rel_attn.r_{kind}_bias" for layer in range(depth) for kind in "rsw"
    } & set(network.spared)


def test_lower_layers_are_frozen(folder: Path) -> None:
    network = load(folder, 1)
    top = {key for key in network.initial.trained if f".{network.depth - 1}." in key}
    rest = set(network.initial.trained) - top - network.initial.head
    assert top
    assert not [key for key in rest if "embed" in key or any(part.isdigit() for part in key.split("."))]
    model = network.model if isinstance(network, WholeNetwork) else whole(folder, 1).model
    expected = {key: p.detach().clone() for key, p in model.named_parameters()}
    trained(network, steps=6)
    assert all(torch.equal(p, expected[key]) for key, p in model.named_parameters())
    with pytest.raises(UserError, match=f"trainable_layers={network.depth + 1}: the model has {network.depth} layers"):
        load(folder, network.depth + 1)


def test_frozen_layers_have_no_dropout(folder: Path) -> None:
    """All that reaches the trained layer is what it is without dropout, XLNet's positions too; there is some above."""
    network, texts, seen = whole(folder, 1, dropout=0.5), texts_of(4), []
    layers = max((m for m in network.model.modules() if isinstance(m, torch.nn.ModuleList)), key=len)

    def look(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append([value.clone() for value in (*args, *kwargs.values()) if isinstance(value, Tensor)])

    layers[-1].register_forward_pre_hook(look, with_kwargs=True)
    weights = start(network)
    found = [in_training(network, weights, texts, *seeds) for seeds in ((1,), (2,), ())]
    assert len(seen[0]) >= 1
    for other in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], other, strict=True))
    assert float((found[0] - found[1]).abs().max()) > 1e-3
    assert float((found[0] - found[2]).abs().max()) > 1e-3


@pytest.mark.parametrize("layers", [None, 1])
def test_without_dropout_training_is_deterministic(name: str, folder: Path, tmp_path: Path, layers: int | None) -> None:
    """Also where the model has a rate in each place: the parameter has to reach all of them."""
    other = configured(copy(folder, tmp_path), dict.fromkeys(RATES[name], 0.4))
    network, texts = load(other, layers, dropout=0.0), texts_of(6)
    weights = start(network)
    expected = in_training(network, weights, texts)
    for seed in (1, 2):
        torch.testing.assert_close(in_training(network, weights, texts, seed), expected, atol=0, rtol=0)
    own = load(other, layers)
    assert float((in_training(own, weights, texts, 1) - expected).abs().max()) > 1e-3


@pytest.mark.parametrize("layers", [None, 1])
def test_a_rate_of_dropout_reaches_every_place(name: str, folder: Path, tmp_path: Path, layers: int | None) -> None:
    """Equal to a model whose own configuration has this rate in every place, whatever it had before."""
    texts = texts_of(6)
    by_hand = load(configured(copy(folder, tmp_path / "a"), dict.fromkeys(RATES[name], 0.5)), layers)
    expected = in_training(by_hand, start(by_hand), texts, 3)
    for before in (0.0, 0.1):
        other = configured(copy(folder, tmp_path / str(before)), dict.fromkeys(RATES[name], before))
        network = load(other, layers, dropout=0.5)
        torch.testing.assert_close(in_training(network, start(network), texts, 3), expected, atol=0, rtol=0)
    assert float((in_training(by_hand, start(by_hand), texts, 4) - expected).abs().max()) > 1e-2


def test_texts_longer_than_the_positions_are_cut(name: str, folder: Path) -> None:
    """RoBERTa and MPNet count their 42 rows from the padding's index + 1; XLNet has no limit."""
    network, limit = whole(folder), one(name).positions
    assert network.positions == limit
    words = "the team won a match and " * 30
    pair = {"first": [words, "law"], "second": [words, "law"]}
    lengths = network.tokenize(pair, ("first", "second")).lengths()
    assert lengths[0] == (limit or len(words.split()) * 2 + 3)
    weights = start(network)
    assert np.isfinite(scores(network, weights, pair)).all()
    assert load(folder, max_length=16).tokenize(pair, ("first", "second")).lengths()[0] == 16
    cut = {"first": [" ".join(words.split()[:POSITIONS])], "second": [" ".join(words.split()[:POSITIONS])]}
    if limit is not None:
        np.testing.assert_allclose(scores(network, weights, cut)[0], scores(network, weights, pair)[0], atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_decoders_read_the_last_token_of_a_text(name: str, folders: Callable[[str], Path], tmp_path: Path) -> None:
    """Found by the mask: the padding's id may stand in a text, or there may be none, as in the published GPT-2."""
    other = configured(copy(folders(name), tmp_path), {"pad_token_id": None})
    build_tokenizer(one(name), other, pad_token="it")
    network, texts = whole(other), {"first": ["the team won it it", "law", "the bank is it"]}
    build_tokenizer(one(name), other, pad_token=None)
    without = whole(other)
    assert without.texts.tokenizer.pad_token_id is None
    weights, alone = start(network), []
    for text in texts["first"]:
        batch = network.batch(network.tokenize({"first": [text]}, ("first",)), np.arange(1))
        states = network.model.base_model(**batch).last_hidden_state.detach()
        alone.append(states[0, -1] @ weights["score.weight"].detach().T)
    for padded in (network, without):
        torch.testing.assert_close(in_training(padded, weights, texts), torch.stack(alone), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_tokenizer_without_padding_is_refused(name: str, folders: Callable[[str], Path], tmp_path: Path) -> None:
    other = copy(folders(name), tmp_path)
    build_tokenizer(one(name), other, pad_token=None)
    for layers in (None, 1):
        with pytest.raises(UserError, match=r"has no padding token: name the one .*pad_token") as error:
            load(other, layers)
        assert str(other) in str(error.value)
        assert "\n" not in str(error.value)


def test_tokens_without_an_embedding_are_refused(folders: Callable[[str], Path], tmp_path: Path) -> None:
    """A padding token that was added to the tokenizer alone; another model's tokenizer."""
    other = copy(folders("gpt2"), tmp_path)
    build_tokenizer(one("gpt2"), other, pad_token="[NEW]")
    with pytest.raises(UserError, match=r"gives token (\d+), and the model has \1 embeddings") as error:
        whole(other).tokenize({"first": ["law"]}, ("first",))
    assert "\n" not in str(error.value)


def test_an_xlnet_that_reads_padding_is_refused(folders: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="summary_type 'mean' reads padding"):
        whole(configured(copy(folders("xlnet"), tmp_path), {"summary_type": "mean"}))


def test_a_folder_with_a_plain_vocabulary(folders: Callable[[str], Path], tmp_path: Path) -> None:
    """As the published TinyBERT: vocab.txt and nothing else of a tokenizer; pairs have segments all the same."""
    other = copy(folders("tinybert"), tmp_path)
    vocabulary = json.loads((other / "tokenizer.json").read_text())["model"]["vocab"]
    for file in other.glob("tokenizer*"):
        file.unlink()
    (other / "vocab.txt").write_text("".join(f"{word}\n" for word in sorted(vocabulary, key=vocabulary.__getitem__)))
    texts = texts_of(4, fields=2)
    for layers in (None, 1):
        found, expected = load(other, layers), load(folders("tinybert"), layers)
        np.testing.assert_array_equal(scores(found, start(found), texts), scores(expected, start(expected), texts))


def copy(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target, dirs_exist_ok=True))


def configured(folder: Path, changes: dict[str, Any]) -> Path:
    """Write other values to the folder's config.json."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return folder
