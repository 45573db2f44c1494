"""The fine-tuned student: exact reset, seeds, soft labels, sanity, refusals."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench.api import DistilledSet, Queries, UserError
from bench.data.encoders import load_tokenizer
from bench.learners.bert import BertNetwork
from bench.learners.network import Network
from bench.learners.pretrained import Initial
from bench.learners.recipe import fit, predict
from bench.learners.whole import WholeNetwork
from bench.testing import build_tiny_generator
from bench.work.context import JobContext
from students import encoder
from students.encoder import EncoderStudent
from students.params import EncoderParams
from tests.learner_models import MakeContext, gold, make_set

CASES = {
    "bert split": ("tiny_encoder", 2),
    "roberta split": ("tiny_roberta", 2),
    "bert": ("tiny_encoder", None),
    "roberta": ("tiny_roberta", None),
    "xlnet": ("tiny_xlnet", None),
    "xlnet frozen": ("tiny_xlnet", 1),
    "mpnet": ("tiny_mpnet", None),
    "mpnet frozen": ("tiny_mpnet", 1),
}

Make = Callable[..., EncoderStudent]


@pytest.fixture(params=CASES)
def make(request: pytest.FixtureRequest) -> Make:
    """A function (parameters) -> student, for each architecture and way of training."""
    fixture, layers = CASES[request.param]
    folder = request.getfixturevalue(fixture)

    def student(**params: Any) -> EncoderStudent:
        defaults = {"model": str(folder), "trainable_layers": layers, "steps": 8, "learning_rate": 3e-3}
        return EncoderStudent(EncoderParams(**{**defaults, **params}))

    return student


@pytest.fixture
def split_student(tiny_encoder: Path) -> Make:
    def student(**params: Any) -> EncoderStudent:
        defaults = {"model": str(tiny_encoder), "trainable_layers": 2, "steps": 40, "learning_rate": 3e-3}
        return EncoderStudent(EncoderParams(**{**defaults, **params}))

    return student


def scores(student: EncoderStudent, distilled: DistilledSet, queries: Queries, ctx: JobContext) -> np.ndarray:
    """Train and give the logits of the queries, which differ wherever anything differs."""
    fields = queries.info.fields
    network = student._load(queries.info.n_classes, ctx)
    found = predict(network, student._fit(network, distilled, fields, ctx), network.shared(queries.texts, fields, ctx))
    labels = student.predict(distilled, queries, ctx)
    assert labels.dtype == np.int64
    assert labels.shape == (len(queries),)
    np.testing.assert_array_equal(found.argmax(1), labels)
    return found


def test_runs_leave_no_trace(make: Make, context: MakeContext) -> None:
    """A, B, A on one instance: the two A are equal bit for bit, and equal to A alone on a new instance."""
    a, queries = make_set(6, 2, seed=0)
    b, other = make_set(7, 3, seed=1, fields=2)
    student = make()
    first = scores(student, a, queries, context(1, queries))
    scores(student, b, other, context(2, other))
    np.testing.assert_array_equal(scores(student, a, queries, context(1, queries)), first)
    np.testing.assert_array_equal(scores(make(), a, queries, context(1, queries)), first)
    assert np.abs(scores(student, a, queries, context(3, queries)) - first).max() > 1e-4  # seeds do matter


def published(student: EncoderStudent) -> dict[str, torch.Tensor]:
    return load_file(Path(student.params.model) / "model.safetensors")


def values(network: Network, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Everything below the head that a forward pass computes with, by the names of the published encoder."""
    if isinstance(network, WholeNetwork):
        own = dict(network.model.named_parameters())
    else:
        assert isinstance(network, BertNetwork)
        own = dict(network.frozen.weights)
    own |= weights
    (prefix,) = {name.split(".")[0] + "." for name in own} - {"classifier.", "logits_proj.", "sequence_summary."}
    return {name.removeprefix(prefix): w for name, w in own.items() if name.startswith(prefix)}


def test_every_run_starts_from_the_published_weights(
    make: Make, context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a run that trained, and after one that died in the middle of training."""
    distilled, queries = make_set(6, 2, seed=0)
    student = make(steps=60)
    expected = published(student)
    starts: list[int] = []
    moved: list[int] = []

    def spy(network: Network, weights: Mapping[str, torch.Tensor], *args: Any, **more: Any) -> None:
        found = values(network, weights)
        assert found.keys() == expected.keys()
        starts.append(sum(torch.equal(found[name], value) for name, value in expected.items()))
        try:
            fit(network, weights, *args, **more)
        finally:
            found = values(network, weights)
            moved.append(sum(not torch.equal(found[name], value) for name, value in expected.items()))

    monkeypatch.setattr(encoder, "fit", spy)
    student.predict(distilled, queries, context(0, queries))

    def die(done: int, total: int, what: str) -> None:
        if what == "training":
            raise RuntimeError("killed")

    ctx = context(1, queries)
    ctx._on_progress = die
    with pytest.raises(RuntimeError, match="killed"):
        student.predict(distilled, queries, ctx)
    student.predict(distilled, queries, context(2, queries))
    assert starts == [len(expected)] * 3
    assert min(moved) > 10


def test_large_sets_train_from_the_cache_with_equal_results(
    make: Make, context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    distilled, queries = make_set(20, 3, seed=6)
    expected = scores(make(batch=8), distilled, queries, context(3, queries))
    monkeypatch.setattr(encoder, "DIRECT_ROWS", 4)
    np.testing.assert_array_equal(scores(make(batch=8), distilled, queries, context(3, queries)), expected)


def test_a_set_is_read_anew_when_its_texts_differ(make: Make, context: MakeContext) -> None:
    """What is kept for the runs of one set must not serve another of the same size."""
    (a, queries), (b, _) = make_set(6, 2, seed=0), make_set(6, 2, seed=1)
    student = make()
    for distilled in (a, b, a):
        expected = scores(make(), distilled, queries, context(1, queries))
        np.testing.assert_array_equal(scores(student, distilled, queries, context(1, queries)), expected)


def test_set_of_one_row(split_student: Make, context: MakeContext) -> None:
    _, queries = make_set(3, 3, seed=0)
    one = DistilledSet(labels=np.array([2]), texts={"first": ["team won"]})
    student = split_student(learning_rate=1e-2, steps=20)
    assert (student.predict(one, queries, context(0, queries)) == 2).all()


def test_a_head_in_the_folder_is_drawn_anew(tiny_encoder: Path, tmp_path: Path, context: MakeContext) -> None:
    """A folder with somebody's trained classifier must not start from that classifier."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with torch.random.fork_rng(devices=[]):
        model = AutoModelForSequenceClassification.from_pretrained(tiny_encoder, num_labels=2)
    torch.nn.init.constant_(model.classifier.weight, 7.0)
    model.save_pretrained(tmp_path / "tuned")
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path / "tuned")
    distilled, queries = make_set(6, 2, seed=0)
    results = []
    for folder in (tiny_encoder, tmp_path / "tuned"):
        for layers in (None, 2):
            params = EncoderParams(model=str(folder), trainable_layers=layers, steps=5)
            results.append(scores(EncoderStudent(params), distilled, queries, context(1, queries)))
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[3])


def test_order_of_runs_does_not_matter(make: Make, context: MakeContext) -> None:
    sets = [make_set(5, 2, seed=seed) for seed in range(3)]
    forward, backward = make(), make()
    ahead = {i: scores(forward, *sets[i], context(i, sets[i][1])) for i in (0, 1, 2)}
    back = {i: scores(backward, *sets[i], context(i, sets[i][1])) for i in (2, 1, 0)}
    for i in ahead:
        np.testing.assert_array_equal(ahead[i], back[i])


def test_global_generators_are_left_alone(make: Make, context: MakeContext) -> None:
    distilled, queries = make_set(70, 2, seed=0)
    torch.manual_seed(4)
    np.random.seed(4)
    random.seed(4)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first = scores(make(steps=3), distilled, queries, context(0, queries))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]
    torch.manual_seed(5)
    np.random.seed(5)
    np.testing.assert_array_equal(scores(make(steps=3), distilled, queries, context(0, queries)), first)


def test_one_hot_soft_labels_equal_hard_labels(make: Make, context: MakeContext) -> None:
    hard, queries = make_set(6, 3, seed=0)
    soft = DistilledSet(hard.labels, hard.texts, soft_labels=np.eye(3, dtype=np.float32)[hard.labels])
    expected = scores(make(), hard, queries, context(0, queries))
    np.testing.assert_allclose(scores(make(), soft, queries, context(0, queries)), expected, atol=1e-3)
    other = DistilledSet(hard.labels, hard.texts, soft_labels=np.full((6, 3), 1 / 3, dtype=np.float32))
    assert np.abs(scores(make(), other, queries, context(0, queries)) - expected).max() > 1e-2


def test_learns_topics_and_shuffled_labels_are_chance(split_student: Make, context: MakeContext) -> None:
    distilled, queries = make_set(48, 3, seed=0)
    wanted = gold(48, 3)
    student = split_student(steps=80)
    learnt = (student.predict(distilled, queries, context(0, queries)) == wanted).mean()
    assert learnt > 0.6
    shuffled = []
    for seed in range(3):
        labels = np.random.default_rng(seed).permutation(distilled.labels)
        wrong = DistilledSet(labels, distilled.texts)
        shuffled.append((student.predict(wrong, queries, context(seed, queries)) == wanted).mean())
    assert abs(float(np.mean(shuffled)) - 1 / 3) < 0.15


def test_permuted_labels_permute_the_scores(split_student: Make, context: MakeContext) -> None:
    """With a head that starts at zero nothing but the labels tells classes apart."""
    distilled, queries = make_set(9, 3, seed=0)
    permutation = np.array([2, 0, 1])
    renamed = DistilledSet(permutation[distilled.labels], distilled.texts)
    student = split_student(steps=20)
    student._load(3, context(0, queries)).initial.std = 0.0
    plain = scores(student, distilled, queries, context(0, queries))
    np.testing.assert_allclose(scores(student, renamed, queries, context(0, queries))[:, permutation], plain, atol=1e-3)
    assert np.ptp(plain, axis=1).max() > 1e-2


def test_prediction_does_not_depend_on_batch_mates(make: Make, context: MakeContext) -> None:
    distilled, queries = make_set(12, 2, seed=0)
    student = make()
    together = scores(student, distilled, queries, context(0, queries))
    ctx = context(0, queries)
    network = student._load(2, ctx)
    weights = student._fit(network, distilled, ("first",), ctx)
    for i in (0, 7, 20):
        alone = network.shared({"first": [queries.texts["first"][i]]}, ("first",), ctx)
        np.testing.assert_allclose(predict(network, weights, alone)[0], together[i], atol=1e-4)


def test_frozen_layers_of_another_architecture_stay(tiny_xlnet: Path, context: MakeContext) -> None:
    distilled, queries = make_set(6, 2, seed=0)
    student = EncoderStudent(EncoderParams(model=str(tiny_xlnet), trainable_layers=1, steps=5, learning_rate=1e-2))
    ctx = context(0, queries)
    network = student._load(2, ctx)
    found, expected = values(network, student._fit(network, distilled, ("first",), ctx)), published(student)
    moved = {name for name, value in expected.items() if not torch.equal(found[name], value)}
    assert len(moved) > 5
    assert all(name.startswith("layer.2.") for name in moved)
    assert isinstance(network, WholeNetwork)
    base = network.model.base_model  # as the last training step has left its modes
    assert not any(m.training for layer in base.layer[:2] for m in layer.modules())
    assert all(m.training for m in base.layer[2].modules())


def test_dropout_is_on_in_training_and_off_in_scoring(make: Make, context: MakeContext) -> None:
    distilled, queries = make_set(6, 2, seed=0)
    with_dropout = scores(make(dropout=0.3), distilled, queries, context(0, queries))
    without = scores(make(dropout=0.0), distilled, queries, context(0, queries))
    default = scores(make(), distilled, queries, context(0, queries))
    assert np.abs(with_dropout - without).max() > 1e-3
    assert np.abs(default - without).max() > 1e-3  # the models' configurations say 0.1


def test_refuses_empty_sets(split_student: Make) -> None:
    student = split_student()
    assert student.refuses(DistilledSet(np.array([], dtype=np.int64), texts={"first": []})) == "the set is empty"
    assert student.refuses(make_set(2, 2, seed=0)[0]) is None


def test_pickled_weights_are_not_read(tmp_path: Path, context: MakeContext) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    distilled, queries = make_set(2, 2, seed=0)
    student = EncoderStudent(EncoderParams(model=str(tmp_path)))
    with pytest.raises(UserError, match="no weights in safetensors format"):
        student.predict(distilled, queries, context(0, queries))


def test_a_tokenizer_without_padding(tiny_encoder: Path, tmp_path: Path, context: MakeContext) -> None:
    """An encoder may ask for the padding's id; a GPT-2, published without one, looks back only and needs none."""
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    tokenizer = load_tokenizer(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    distilled, queries = make_set(6, 2, seed=0)
    for layers in (None, 1):
        student = EncoderStudent(EncoderParams(model=str(folder), trainable_layers=layers, steps=4))
        with pytest.raises(UserError, match="no padding token: name the one") as error:
            student.predict(distilled, queries, context(0, queries))
        assert "\n" not in str(error.value)
    decoder = build_tiny_generator(tmp_path / "decoder")
    assert load_tokenizer(decoder).pad_token_id is None
    student = EncoderStudent(EncoderParams(model=str(decoder), steps=4))
    together = scores(student, distilled, queries, context(0, queries))
    ctx = context(0, queries)
    network = student._load(2, ctx)
    weights = student._fit(network, distilled, ("first",), ctx)
    alone = network.shared({"first": [queries.texts["first"][3]]}, ("first",), ctx)
    np.testing.assert_allclose(predict(network, weights, alone)[0], together[3], atol=1e-4)


def test_damaged_weights_are_one_line(tiny_encoder: Path, tmp_path: Path, context: MakeContext) -> None:
    for file in tiny_encoder.iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(content[: len(content) // 2] if file.suffix == ".safetensors" else content)
    distilled, queries = make_set(2, 2, seed=0)
    with pytest.raises(UserError, match="no usable sequence classifier") as error:
        EncoderStudent(EncoderParams(model=str(tmp_path))).predict(distilled, queries, context(0, queries))
    assert "\n" not in str(error.value)


def many(student: EncoderStudent, distilled: DistilledSet, queries: Queries, contexts: Sequence[JobContext]) -> Any:
    """Answers in groups until all are there, as the engine asks for them, and how many each gave."""
    found, sizes = [], []
    while len(found) < len(contexts):
        answers = student.predict_many(distilled, queries, contexts[len(found) :])
        sizes.append(len(answers))
        found += list(answers)
    return found, sizes


@pytest.mark.parametrize("n", [9, 40])
def test_runs_together_are_those_alone(n: int, make: Make, context: MakeContext) -> None:
    """With dropout, also of sets larger than a batch; networks without an axis of runs do one after another."""
    distilled, queries = make_set(n, 3, seed=0)
    student = make(steps=12, batch=16)
    contexts = [context(seed, queries) for seed in (1, 2, 3)]
    network = student._load(3, contexts[0])
    stacked = predict(
        network,
        student._fit(network, distilled, ("first",), *(contexts if network.at_once else contexts[:1])),
        network.shared(queries.texts, ("first",), contexts[0]),
    )
    alone = [scores(student, distilled, queries, ctx) for ctx in contexts]
    np.testing.assert_allclose(stacked, alone if network.at_once else alone[0], atol=1e-3)
    assert np.abs(alone[0] - alone[1]).max() > 1e-2
    found, sizes = many(student, distilled, queries, contexts)
    assert sizes == ([3] if network.at_once else [1, 1, 1])
    for labels, logits in zip(found, alone, strict=True):
        first, second = np.sort(logits, 1)[:, -1], np.sort(logits, 1)[:, -2]
        sure = first - second > 2e-3  # what is nearer to a tie may flip
        assert sure.mean() > 0.9
        np.testing.assert_array_equal(labels[sure], logits.argmax(1)[sure])
    np.testing.assert_array_equal(student.predict_many(distilled, queries, contexts[:1])[0], alone[0].argmax(1))


def test_an_easy_task_is_answered_equally_together(split_student: Make, context: MakeContext) -> None:
    distilled, queries = make_set(48, 3, seed=0)
    student = split_student(steps=80)
    contexts = [context(seed, queries) for seed in (0, 2)]
    found, _ = many(student, distilled, queries, contexts)
    for labels, ctx in zip(found, contexts, strict=True):
        assert (labels == gold(48, 3)).mean() > 0.6
        assert (labels == student.predict(distilled, queries, ctx)).mean() > 0.97


def test_runs_together_leave_no_trace(split_student: Make, context: MakeContext) -> None:
    (a, queries), (b, _) = make_set(6, 2, seed=0), make_set(6, 2, seed=1)
    student = split_student(steps=8)
    first = scores(student, a, queries, context(1, queries))
    student.predict_many(b, queries, [context(seed, queries) for seed in (2, 3)])
    np.testing.assert_array_equal(scores(student, a, queries, context(1, queries)), first)
    again, fresh = (
        each.predict_many(b, queries, [context(seed, queries) for seed in (2, 3)])
        for each in (student, split_student(steps=8))
    )
    np.testing.assert_array_equal(again, fresh)


def test_a_training_together_of_which_one_run_diverges_is_no_answer(
    split_student: Make, context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the engine does its runs alone, where the others answer."""
    distilled, queries = make_set(6, 2, seed=0)
    student = split_student(steps=4)
    contexts = [context(seed, queries) for seed in (1, 2)]
    broken, draw = contexts[1].derive("head"), Initial.__call__

    def start(own: Initial, generator: torch.Generator, scratch: bool = False) -> dict[str, torch.Tensor]:
        found = draw(own, generator, scratch)
        if generator.initial_seed() == broken:
            next(iter(found.values())).detach().fill_(float("nan"))
        return found

    monkeypatch.setattr(Initial, "__call__", start)
    with pytest.raises(UserError, match="the training diverged"):
        student.predict_many(distilled, queries, contexts)
    student.predict(distilled, queries, contexts[0])


def test_half_as_many_where_memory_is_short(
    split_student: Make, context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that runs out of memory on its way is started anew with fewer runs, with the same answers."""
    distilled, queries = make_set(6, 2, seed=0)
    student = split_student(steps=4)
    contexts = [context(seed, queries) for seed in range(5)]
    expected = [student.predict(distilled, queries, ctx) for ctx in contexts]
    tried = []

    def short(network: Network, weights: Mapping[str, torch.Tensor], *args: Any, **more: Any) -> None:
        runs = len(args[4]) if isinstance(args[4], list) else 1
        tried.append(runs)
        fit(network, weights, *args, **more)
        if runs > 2:
            raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(encoder, "fit", short)
    found, sizes = many(student, distilled, queries, contexts)
    assert tried == [5, 2, 3, 1, 2]
    assert sizes == [2, 1, 2]
    assert (np.array(found) == np.array(expected)).mean() > 0.97
