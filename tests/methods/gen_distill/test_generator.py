"""The generator: its losses against a plain forward pass, new tokens, frozen layers, saving."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from bench.api import TrainData, UserError
from methods.gen_distill.control import BOUNDARY_UNIT, OUTPUT_UNIT
from methods.gen_distill.generator import Generator, load_generator, make_generator
from methods.gen_distill.params import GenDistillParams
from tests.methods.gen_distill.conftest import MakeContext, MakeParams


@pytest.fixture
def folders(tiny_generator: Path, tiny_llama: Path) -> dict[str, str]:
    return {"gpt2": str(tiny_generator), "llama": str(tiny_llama), "scratch": "scratch"}


Make = Callable[..., Generator]


@pytest.fixture
def make(make_params: MakeParams, make_context: MakeContext, folders: dict[str, str]) -> Make:
    """A function (data, architecture, changes) -> a new generator."""

    def build(data: TrainData, architecture: str = "gpt2", **changes: object) -> Generator:
        params: GenDistillParams = make_params(generator=folders[architecture], **changes)
        return make_generator(params, data, make_context(data))

    return build


def encoded(generator: Generator, data: TrainData, rows: slice = slice(0, 6)) -> list[np.ndarray]:
    sequences = generator.template.encode(data.train.texts, data.info.fields, data.train.labels)
    return generator.template.shortened(sequences, generator.context)[0][rows]


def wiggle(generator: Generator) -> None:
    """Give the control vectors, the class vectors and the new tokens' rows values that matter."""
    draw = torch.Generator().manual_seed(7)
    for part in (generator.top, generator.boundary, generator.control):
        for parameter in part.parameters() if part is not None else ():
            parameter.data.normal_(generator=draw)


def alone(generator: Generator, sequence: np.ndarray) -> Tensor:
    """NLL of each token but the start token, from one unpadded row through the cached step by step path."""
    row = torch.from_numpy(sequence.astype(np.int64))[None]
    label = torch.tensor([int(sequence[0]) - generator.template.bos[0]])
    cache, found = None, []
    with torch.inference_mode():
        for place in range(len(sequence) - 1):
            logits, cache = generator.step(row[:, place : place + 1], cache, label)
            found.append(-torch.log_softmax(logits[0], -1)[row[0, place + 1]])
    return torch.stack(found)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "scratch"])
@pytest.mark.parametrize("pair", [False, True])
def test_losses_are_those_of_the_plain_model(
    make: Make, architecture: str, pair: bool, train_data: TrainData, pair_data: TrainData
) -> None:
    """Eq. 1-2 by transformers' own loss on each sequence alone."""
    data = pair_data if pair else train_data
    generator = make(data, architecture)
    sequences = encoded(generator, data)
    found = generator.losses(sequences, "length")
    assert (found.dtype, found.shape) == (torch.float32, (6,))
    for sequence, loss in zip(sequences, found, strict=True):
        ids = torch.from_numpy(sequence.astype(np.int64))[None]
        with torch.no_grad():
            torch.testing.assert_close(loss.detach(), generator.model(input_ids=ids, labels=ids).loss)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize(("layers", "vectors"), [(None, False), (None, True), (2, False), (2, True), (4, False)])
def test_sampling_steps_agree_with_losses(
    make: Make, architecture: str, layers: int | None, vectors: bool, pair_data: TrainData
) -> None:
    """Property 21: logits from the cache are those of the whole forward pass, control and class vectors included."""
    generator = make(pair_data, architecture, trainable_layers=layers, class_vectors=vectors)
    wiggle(generator)
    sequences = encoded(generator, pair_data, slice(0, 2))
    found = generator.losses(sequences, "length").detach()
    torch.testing.assert_close(found, torch.stack([alone(generator, sequence).mean() for sequence in sequences]))


def test_kept_rows_go_on_alone(make: Make, train_data: TrainData) -> None:
    generator = make(train_data, "llama", trainable_layers=2, class_vectors=True)
    wiggle(generator)
    classes = torch.tensor([0, 1, 2])
    ids = torch.tensor(generator.template.bos)[:, None]
    with torch.inference_mode():
        _, cache = generator.step(ids, None, classes)
        _, other = generator.step(ids, None, classes)
        whole, _ = generator.step(torch.tensor([[5], [6], [7]]), cache, classes)
        rows = torch.tensor([2, 0])
        part, _ = generator.step(torch.tensor([[7], [5]]), generator.keep(other, rows), classes[rows])
    torch.testing.assert_close(part, whole[rows])


@pytest.mark.parametrize("layers", [None, 2])
def test_losses_and_batch_mates(make: Make, layers: int | None, train_data: TrainData) -> None:
    """Property 11: `length` looks at the text alone, `padded` at the longest of its batch."""
    generator = make(train_data, trainable_layers=layers)
    wiggle(generator)
    sequences = sorted(encoded(generator, train_data, slice(0, 12)), key=len)
    together = generator.losses(sequences, "length")
    single = torch.cat([generator.losses([sequence], "length") for sequence in sequences])
    torch.testing.assert_close(together, single)
    longest = -(-len(sequences[-1]) // 8) * 8
    lengths = torch.tensor([len(sequence) - 1 for sequence in sequences])
    padded = generator.losses(sequences, "padded")
    torch.testing.assert_close(padded, together * lengths / (longest - 1))
    halves = [generator.losses(sequences[s], "padded", padded_to=longest) for s in (slice(0, 6), slice(6, 12))]
    torch.testing.assert_close(torch.cat(halves), padded)
    assert not torch.allclose(generator.losses(sequences[:1], "padded"), padded[:1])


def test_what_counts(make: Make, train_data: TrainData) -> None:
    """Property 12: the end token counts, the start token does not."""
    generator = make(train_data)
    sequence = encoded(generator, train_data)[0]
    nll = alone(generator, sequence)
    assert len(nll) == len(sequence) - 1
    torch.testing.assert_close(generator.losses([sequence], "length")[0].detach(), nll.mean())
    longer = np.concatenate([sequence, sequence[1:2]])
    torch.testing.assert_close(alone(generator, longer)[:-1], nll)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "scratch"])
def test_new_tokens(make: Make, architecture: str, pair_data: TrainData) -> None:
    """Property 23: start tokens equal the end token, the head stays tied."""
    generator = make(pair_data, architecture)
    template = generator.template
    table = generator.model.get_input_embeddings().weight
    assert table.shape[0] == template.size == generator.model.config.vocab_size
    assert generator.model.get_output_embeddings().weight is table
    for token in template.bos:
        assert torch.equal(table[token], table[template.eos])
    assert not torch.equal(table[template.sep], table[template.eos])
    again = make(pair_data, architecture)
    assert all(torch.equal(a, b) for a, b in zip(generator.state().values(), again.state().values(), strict=True))
    other = make(pair_data, architecture, generator_seed=1).model.get_input_embeddings().weight
    assert not torch.equal(other[template.sep], table[template.sep])


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_frozen_layers(make: Make, architecture: str, pair_data: TrainData) -> None:
    """Only the top trains; at first the function is the pretrained model's with its end token as start."""
    generator = make(pair_data, architecture, trainable_layers=1)
    names = [name for name, _ in generator.trained()]
    norms = {"gpt2": ["transformer.ln_f.weight", "transformer.ln_f.bias"], "llama": ["model.norm.weight"]}[architecture]
    assert [name for name in names if ".3." not in name] == [*norms, "rows", "boundary.vectors"]
    sequences = encoded(generator, pair_data)
    label = int(sequences[0][0]) - generator.template.bos[0]
    renamed = sequences[0].copy()
    renamed[0] = generator.template.bos[1 - label]
    assert torch.equal(*(generator.losses([sequence], "length") for sequence in (sequences[0], renamed)))

    before = {name: p.detach().clone() for name, p in generator.model.named_parameters()}
    optimizer = torch.optim.SGD([p for _, p in generator.trained()], lr=0.1)
    generator.losses(sequences, "length").mean().backward()
    optimizer.step()
    for name, parameter in generator.model.named_parameters():
        assert torch.equal(parameter, before[name]) == (name not in names), name
    assert generator.boundary is not None
    assert (generator.boundary.vectors.abs().sum(1) > 0).all()  # every class and <sep>
    assert not torch.equal(*(generator.losses([sequence], "length") for sequence in (sequences[0], renamed)))


def test_control_reaches_its_own_class_only(make: Make, train_data: TrainData) -> None:
    generator = make(train_data, trainable_layers=2)
    sequences = encoded(generator, train_data, slice(0, 3))  # classes 0, 1, 2
    before = generator.losses(sequences, "length").detach()
    with torch.no_grad():
        generator.boundary.vectors[1].normal_(generator=torch.Generator().manual_seed(0))
    after = generator.losses(sequences, "length").detach()
    assert (before == after).tolist() == [True, False, True]


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "scratch"])
def test_class_vectors(make: Make, architecture: str, train_data: TrainData) -> None:
    """At first they change nothing; then logits are those of the last hidden state plus the class's vector."""
    generator = make(train_data, architecture, class_vectors=True)
    sequences = encoded(generator, train_data, slice(0, 3))  # classes 0, 1, 2
    before = generator.losses(sequences, "length").detach()
    assert torch.equal(before, make(train_data, architecture).losses(sequences, "length").detach())
    assert generator.control is not None
    head = generator.model.get_output_embeddings().weight.detach()
    assert float(generator.control.scale) * float(head.abs().mean()) * head.shape[1] == pytest.approx(OUTPUT_UNIT)
    with torch.no_grad():
        generator.control.vectors[1].normal_(std=0.01, generator=torch.Generator().manual_seed(0))
        after = generator.losses(sequences, "length")
        assert (before == after).tolist() == [True, False, True]
        ids = torch.from_numpy(sequences[1].astype(np.int64))
        hidden = generator.model.base_model(input_ids=ids[None, :-1]).last_hidden_state[0]
        logits = (hidden + generator.control.scale * generator.control.vectors[1]) @ head.T
        torch.testing.assert_close(after[1], torch.nn.functional.cross_entropy(logits, ids[1:]))
    generator.losses(sequences[:2], "length").sum().backward()
    assert generator.control.vectors.grad is not None
    assert generator.control.vectors.grad.abs().sum(1).gt(0).tolist() == [True, True, False]


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("layers", [1, 3, 4])
def test_cached_states_change_nothing(make: Make, architecture: str, layers: int, pair_data: TrainData) -> None:
    """Losses and gradients from kept states are those of the whole forward pass, dropout included."""
    generator = make(pair_data, architecture, trainable_layers=layers, class_vectors=layers == 3)
    wiggle(generator)
    sequences = encoded(generator, pair_data)
    states = generator.lower_states(sequences)
    assert [len(rows) for rows in states] == [len(sequence) - 1 for sequence in sequences]
    parameters = [p for _, p in generator.trained()]
    found = []
    for given in (None, states):
        generator.train_mode()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(3)
            losses = generator.losses(sequences, "length", states=given)
        found.append([losses.detach(), *torch.autograd.grad((losses * torch.arange(1.0, 7.0)).sum(), parameters)])
    for plain, kept in zip(*found, strict=True):
        torch.testing.assert_close(kept, plain)
    generator.eval_mode()
    undisturbed = generator.losses(sequences, "length").detach()
    assert torch.equal(found[0][0], undisturbed) == (architecture == "llama")  # GPT-2 has dropout


def test_the_unit_of_control_follows_the_states(make: Make, train_data: TrainData) -> None:
    generator = make(train_data, "llama", trainable_layers=2)
    assert generator.boundary is not None
    sizes = np.concatenate([np.linalg.norm(s, axis=1) for s in generator.lower_states(encoded(generator, train_data))])
    size = np.median(sizes) / np.sqrt(32)  # root mean square of a state of width 32
    assert float(generator.boundary.scale) == pytest.approx(BOUNDARY_UNIT * size, rel=0.2)  # of other texts


def test_dropout_is_on_in_the_trained_part_only(make: Make, train_data: TrainData) -> None:
    generator = make(train_data, trainable_layers=2)
    generator.train_mode()
    on = {name.split(".")[1] for name, module in generator.model.named_modules() if module.training}
    assert {name for name in on if name != "h"} == {"ln_f"}
    layers = generator.model.transformer.h
    assert [layer.training for layer in layers] == [False, False, True, True]
    assert not generator.model.transformer.drop.training
    generator.eval_mode()
    assert not any(module.training for module in generator.model.modules())


@pytest.mark.parametrize(("layers", "vectors"), [(None, False), (None, True), (2, False), (2, True)])
def test_saved_and_loaded(make: Make, layers: int | None, vectors: bool, pair_data: TrainData, tmp_path: Path) -> None:
    generator = make(pair_data, "llama", trainable_layers=layers, class_vectors=vectors)
    wiggle(generator)
    sequences = encoded(generator, pair_data)
    wanted = generator.losses(sequences, "length").detach()
    generator.save(tmp_path)
    loaded = load_generator(tmp_path, "cpu")
    assert torch.equal(loaded.losses(sequences, "length").detach(), wanted)
    assert [name for name, _ in loaded.trained()] == [name for name, _ in generator.trained()]
    assert loaded.model.get_output_embeddings().weight is loaded.model.get_input_embeddings().weight

    fresh = make(pair_data, "llama", trainable_layers=layers, class_vectors=vectors, generator_seed=5)
    fresh.load_state(generator.state())
    if layers is not None:  # everything but what is trained comes from the same asset
        assert torch.equal(fresh.losses(sequences, "length").detach(), wanted)
    state = fresh.state()
    with torch.no_grad():
        fresh.trained()[0][1].zero_()
    fresh.load_state(state)
    assert all(torch.equal(a, b) for a, b in zip(fresh.state().values(), generator.state().values(), strict=True))


def test_no_global_generator_is_touched(make: Make, train_data: TrainData, tmp_path: Path) -> None:
    def snapshot() -> tuple[object, ...]:
        return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()

    make(train_data)  # some libraries draw a number when they are imported
    before = snapshot()
    for architecture, layers in (("gpt2", None), ("llama", 2), ("scratch", None)):
        generator = make(train_data, architecture, trainable_layers=layers)
        generator.losses(encoded(generator, train_data), "length")
        generator.save(tmp_path / architecture)
        load_generator(tmp_path / architecture, "cpu")
    assert snapshot() == before


def test_scratch(make: Make, train_data: TrainData) -> None:
    generator = make(train_data, "scratch", scratch_width=144)
    config = generator.model.config
    sequences = encoded(generator, train_data, slice(None))
    longest = max(map(len, sequences))
    assert generator.context == -(-longest // 8) * 8
    assert (config.n_layer, config.n_embd, config.n_head) == (2, 144, 2)
    assert len(generator.template.tokenizer) <= 300
    assert make(train_data, "scratch", max_tokens=9).context == 16
    with pytest.raises(ValueError, match="more than the generator's 16"):
        make(train_data, "scratch", max_tokens=9).losses(sequences, "length")
    with pytest.raises(ValueError, match="trainable_layers would freeze random layers"):
        make(train_data, "scratch", trainable_layers=1)


def test_too_many_layers(make: Make, train_data: TrainData) -> None:
    with pytest.raises(UserError, match="trainable_layers=5: the model has 4 layers"):
        make(train_data, trainable_layers=5)


def test_a_short_context(
    tmp_path: Path, tiny_generator: Path, pair_data: TrainData, make_params: MakeParams, make_context: MakeContext
) -> None:
    folder = tmp_path / "short"
    shutil.copytree(tiny_generator, folder)
    config = GPT2Config.from_pretrained(tiny_generator, n_positions=4)
    with torch.random.fork_rng(devices=[]):
        GPT2LMHeadModel(config).save_pretrained(folder)
    with pytest.raises(UserError, match="reads 4 tokens, but a text takes 5 or more: choose another generator"):
        make_generator(make_params(generator=str(folder)), pair_data, make_context(pair_data))
