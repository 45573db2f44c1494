"""The fine-tuned student on embeddings: by the recipe, by the learned steps, and what it says it cannot use."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor
from torch.nn import functional

from bench.api import DistilledSet, Embeddings, NotApplicable, Queries, UserError
from bench.learners.embedded import inputs_of
from bench.learners.recipe import predict
from bench.work.context import JobContext
from bench.work.lending import lend_set
from students.encoder import EncoderStudent
from students.params import EncoderParams, ProbeParams
from students.probe import ProbeStudent
from tests.embedded_sets import embedded
from tests.learner_models import MakeContext, make_set

C, N = 3, 6
STEPS = np.array([0.3, 0.1, 0.2], np.float32)


def student_of(folder: Path, layers: int | None = 2, **params: Any) -> EncoderStudent:
    if params.get("recipe") != "learned-sgd":
        params = {"steps": 8, "learning_rate": 3e-3, **params}
    return EncoderStudent(EncoderParams(model=str(folder), trainable_layers=layers, **params))


def scores(student: EncoderStudent, distilled: DistilledSet, queries: Queries, ctx: JobContext) -> np.ndarray:
    """Logits of the queries, which differ wherever anything differs; and `predict` gives their labels."""
    distilled, fields = lend_set(distilled), queries.info.fields
    assert student.refuses(distilled) is None
    labels = student.predict(distilled, queries, ctx)
    network = student._load(queries.info.n_classes, ctx)
    found = predict(network, student._fit(network, distilled, fields, ctx), network.shared(queries.texts, fields, ctx))
    np.testing.assert_array_equal(found.argmax(1), labels)
    return found


def changed(distilled: DistilledSet, **others: Any) -> DistilledSet:
    assert distilled.embeddings is not None
    return dataclasses.replace(distilled, embeddings=dataclasses.replace(distilled.embeddings, **others))


def soft(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(C), N).astype(np.float32)


@pytest.mark.parametrize("layer", [0, 2])
def test_the_recipe_on_embeddings_is_the_recipe_on_their_texts(
    layer: int, tiny_encoder: Path, context: MakeContext
) -> None:
    """Dropout and all: the frozen part is the same function of a text and of its embeddings."""
    texts, queries = make_set(N, C, seed=0)
    student, ctx = student_of(tiny_encoder), context(1, queries)
    labels = soft()
    expected = scores(student, dataclasses.replace(texts, soft_labels=labels), queries, ctx)
    vectors = embedded(tiny_encoder, texts, C, layer, label_distribution=labels)
    np.testing.assert_allclose(scores(student, vectors, queries, ctx), expected, atol=2e-3)
    hard = scores(student, embedded(tiny_encoder, texts, C, layer), queries, ctx)
    assert np.abs(hard - expected).max() > 0.05


def test_unrestricted_labels_are_weights(tiny_encoder: Path, context: MakeContext) -> None:
    """2 y against y: as twice the loss, which one plain step shows."""
    texts, queries = make_set(N, C, seed=0)
    ctx, student = context(1, queries), student_of(tiny_encoder, recipe="learned-sgd")
    once = embedded(tiny_encoder, texts, C, label_distribution=soft(), step_sizes=np.array([0.2], np.float32))
    twice = changed(once, label_distribution=2 * soft(), step_sizes=np.array([0.1], np.float32), unrestricted=True)
    np.testing.assert_allclose(scores(student, twice, queries, ctx), scores(student, once, queries, ctx), atol=1e-4)


def whole_model(folder: Path) -> Any:
    return transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=C, attn_implementation="eager"
    ).eval()


def plain_loss(model: Any, weights: dict[str, Tensor], e: Embeddings, rows: np.ndarray, depth: int) -> Tensor:
    """The loss of some examples by transformers alone, from layer 0 or from the states above the frozen layers."""
    values, mask = torch.tensor(e.inputs_embeds[rows]), torch.tensor(e.attention_mask[rows])
    given = {"inputs_embeds": values, "attention_mask": mask, "output_attentions": True}
    kept = model.bert.embeddings.forward, model.bert.encoder.layer
    if e.layer:  # names of weights stay those of the whole model
        model.bert.embeddings.forward = lambda **_: values
        for layer in kept[1][: e.layer]:
            layer.forward = lambda states, *_, **__: states
    found = torch.func.functional_call(model, weights, kwargs=given)
    if e.layer:
        del model.bert.embeddings.forward
        for layer in kept[1][: e.layer]:
            del layer.forward
    log_p = torch.log_softmax(found.logits, 1)
    loss = -(torch.tensor(e.label_distribution[rows]) * log_p).sum(1).mean()
    if e.attention_labels is None:
        return loss
    wanted = torch.tensor(e.attention_labels[rows])
    attention = torch.stack(found.attentions[-depth:], 1)[..., : wanted.shape[3], :]
    return loss + e.attention_weight * functional.kl_div(attention.log(), wanted, reduction="none").sum(-1).mean()


@pytest.mark.parametrize(
    ("layers", "layer", "rows", "grouped"),
    [(2, 0, 0, True), (2, 2, 0, False), (2, 2, 1, True), (2, 0, -1, False), (None, 0, 0, True)],
)
def test_learned_sgd_takes_exactly_the_steps_of_the_set(
    layers: int | None, layer: int, rows: int, grouped: bool, tiny_encoder: Path, context: MakeContext
) -> None:
    """From the head of the set's seed; against a loop of one's own on transformers' model."""
    texts, queries = make_set(N, C, seed=0)
    vectors = embedded(tiny_encoder, texts, C, layer, label_distribution=soft(), step_sizes=STEPS, head_seed=5)
    assert vectors.embeddings is not None
    if rows:
        longest = 8
        one_length = np.ones((N, longest), np.int64)
        rng, count = np.random.default_rng(1), rows % (longest + 1)
        vectors = changed(
            vectors,
            inputs_embeds=vectors.embeddings.inputs_embeds[:, :longest],
            attention_mask=one_length,
            attention_labels=rng.dirichlet(np.ones(longest), (N, 2, 4, count)).astype(np.float32),
            attention_weight=0.7,
        )
    if grouped:
        vectors = changed(vectors, groups=np.array([0, 1, 0, 1, 1, 0]))
    student, ctx = student_of(tiny_encoder, layers, recipe="learned-sgd"), context(1, queries)
    found = scores(student, vectors, queries, ctx)

    network, e = student._load(C, ctx), vectors.embeddings
    assert e is not None
    start = network.initial(torch.Generator().manual_seed(5))
    model, current = whole_model(tiny_encoder), dict(start)
    of_step = [np.array([0, 2, 5]), np.array([1, 3, 4])] if grouped else [np.arange(N)]
    for t, rate in enumerate(STEPS.tolist()):
        loss = plain_loss(model, current, e, of_step[t % len(of_step)], layers or 4)
        steps = torch.autograd.grad(loss, list(current.values()), allow_unused=True, materialize_grads=True)
        current = {
            name: (w - rate * step).detach().requires_grad_()
            for (name, w), step in zip(current.items(), steps, strict=True)
        }
    tokens = network.tokenize(queries.texts, ("first",)).batch(np.arange(len(queries)))
    with torch.no_grad():
        expected = torch.func.functional_call(model, current, kwargs=tokens).logits.numpy()
        before = torch.func.functional_call(model, start, kwargs=tokens).logits.numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.abs(expected - before).max() > 0.05


def test_attention_labels_count_in_the_standard_recipe_too(tiny_encoder: Path, context: MakeContext) -> None:
    texts, queries = make_set(N, C, seed=0)
    vectors = embedded(tiny_encoder, texts, C, 2)
    assert vectors.embeddings is not None
    values = vectors.embeddings.inputs_embeds[:, :5]
    vectors = changed(vectors, inputs_embeds=values, attention_mask=np.ones(values.shape[:2], np.int64))
    first, e = np.zeros((N, 2, 4, 1, 5), np.float32), vectors.embeddings
    assert e is not None
    first[..., 0] = 1.0
    student, ctx = student_of(tiny_encoder, steps=16, learning_rate=1e-2), context(1, queries)
    network = student._load(C, ctx)
    found = {}
    for weight in (0.0, 3.0):
        taught = changed(vectors, attention_labels=first, attention_weight=weight)
        weights = student._fit(network, taught, ("first",), ctx)
        batch = network.batch(inputs_of(e), np.arange(N))
        attention = network.attended(weights, batch, 1, network.dropout())[1].exp()  # type: ignore[attr-defined]
        found[weight] = float(attention[..., 0].detach().mean())
    assert found[3.0] > found[0.0] + 0.2


@pytest.mark.parametrize("recipe", ["standard", "learned-sgd"])
def test_runs_leave_no_trace(recipe: str, tiny_encoder: Path, context: MakeContext) -> None:
    """Embeddings, texts, other embeddings, and the first again: equal bit for bit, and to those of a new instance."""
    texts, queries = make_set(N, C, seed=0)
    other, _ = make_set(N, C, seed=1)
    a, b = (embedded(tiny_encoder, one, C, 2, step_sizes=STEPS) for one in (texts, other))
    b = changed(b, scratch=True, head_seed=3)
    student = student_of(tiny_encoder, recipe=recipe)
    first = scores(student, a, queries, context(1, queries))
    between = [scores(student, b, queries, context(2, queries))]
    if recipe == "standard":
        between.append(scores(student, texts, queries, context(2, queries)))
    np.testing.assert_array_equal(scores(student, a, queries, context(1, queries)), first)
    fresh = student_of(tiny_encoder, recipe=recipe)
    np.testing.assert_array_equal(scores(fresh, a, queries, context(1, queries)), first)
    assert all(np.abs(one - first).max() > 1e-2 for one in between)


def test_the_seed_of_the_head_and_the_start_are_the_sets(tiny_encoder: Path, context: MakeContext) -> None:
    texts, queries = make_set(N, C, seed=0)
    plain = embedded(tiny_encoder, texts, C, step_sizes=STEPS)
    learned = student_of(tiny_encoder, recipe="learned-sgd")

    def of(seed: int, student: EncoderStudent = learned, **others: Any) -> np.ndarray:
        return scores(student, changed(plain, **others), queries, context(seed, queries))

    assert np.abs(of(1) - of(2)).max() > 1e-2
    np.testing.assert_array_equal(of(1, head_seed=4), of(2, head_seed=4))  # and nothing else is random
    assert np.abs(of(1, head_seed=4) - of(1, head_seed=5)).max() > 1e-2
    np.testing.assert_array_equal(of(1, head_seed=0), of(2, head_seed=0))
    assert np.abs(of(1, head_seed=4, scratch=True) - of(1, head_seed=4)).max() > 1e-2
    standard = student_of(tiny_encoder, dropout=0.0)
    np.testing.assert_array_equal(of(1, standard, head_seed=4), of(2, standard, head_seed=4))
    starts = [of(1, standard, head_seed=4, scratch=scratch) for scratch in (True, False)]
    assert np.abs(starts[0] - starts[1]).max() > 1e-2


def test_a_set_of_both_levels(tiny_encoder: Path, context: MakeContext) -> None:
    """The recipe reads the texts, the learned steps their embeddings; what is not read changes nothing."""
    (texts, queries), (other, _) = make_set(N, C, seed=0), make_set(N, C, seed=1)
    vectors = embedded(tiny_encoder, other, C, step_sizes=STEPS, head_seed=3)
    both = dataclasses.replace(texts, embeddings=vectors.embeddings)
    standard, learned = student_of(tiny_encoder), student_of(tiny_encoder, recipe="learned-sgd")
    ctx = context(1, queries)
    for student, read, alone in ((standard, "texts", texts), (learned, "embeddings", vectors)):
        assert student.reads(both) == read
        np.testing.assert_array_equal(scores(student, both, queries, ctx), scores(student, alone, queries, ctx))
    assert standard.reads(vectors) == learned.reads(vectors) == "embeddings"


def test_a_training_that_diverges_is_no_answer(tiny_encoder: Path, context: MakeContext) -> None:
    texts, queries = make_set(N, C, seed=0)
    wild = embedded(tiny_encoder, texts, C, step_sizes=np.array([1e30, 1e30], np.float32))
    with pytest.raises(UserError, match=r"the training diverged \(recipe=learned-sgd\)"):
        student_of(tiny_encoder, recipe="learned-sgd").predict(wild, queries, context(0, queries))


LABELS = np.ones((N, 2, 4, 1, 6), np.float32) / 6
FULL = {"inputs_embeds": np.zeros((N, 6, 32), np.float32), "attention_mask": np.ones((N, 6), np.int64)}
LONG = {"inputs_embeds": np.zeros((N, 130, 32), np.float32), "attention_mask": np.ones((N, 130), np.int64)}
MISFITS: list[tuple[int | None, dict[str, Any], str]] = [
    (2, {"encoder": "minilm"}, "the embeddings are of the encoder 'minilm', not of '{model}'"),
    (2, {"encoder_identity": {"files": {}}}, "the embeddings were made with another '{model}' than this one"),
    (2, {"inputs_embeds": np.zeros((N, 6, 16), np.float32)}, "width 16, the input of layer 0 has 32"),
    (2, {"layer": 3}, "the input of layer 3, this student reads that of layer 0 or 2: trainable_layers=1 fits"),
    (2, {"layer": 4}, "the input of layer 4, this student reads that of layer 0 or 2"),
    (None, {"layer": 2}, "the input of layer 2, this student reads that of layer 0: trainable_layers=2 fits"),
    (2, LONG, "the embeddings have 130 positions, the encoder has 128"),
    (2, {"label_distribution": np.ones((N, 2), np.float32) / 2}, "labels of 2 classes, the task has 3"),
    (None, {"attention_labels": LABELS}, "attention labels need explicit layers: trainable_layers=2 fits"),
    (None, {"attention_labels": LABELS.repeat(5, 1)}, "attention labels need explicit layers, and the encoder has 4"),
    (2, {"attention_labels": LABELS, "attention_mask": np.tril(FULL["attention_mask"])}, "texts of one length"),
    (2, {"attention_labels": LABELS[:, :1]}, "are 1 x 4 x 1 x 6 (layers, heads, queries, keys)"),
    (2, {"attention_labels": LABELS[..., :5]}, "this student's attention is 2 x 4 x 1 or 6 x 6"),
]


@pytest.mark.parametrize(("layers", "others", "said"), MISFITS, ids=[said[:40] for _, _, said in MISFITS])
def test_what_it_cannot_use(
    layers: int | None, others: dict[str, Any], said: str, tiny_encoder: Path, context: MakeContext
) -> None:
    """Each with its reason; the same set without the change is used."""
    texts, queries = make_set(N, C, seed=0)
    ctx, student = context(0, queries), student_of(tiny_encoder, layers, steps=1)
    identity = {"encoder_identity": ctx.asset_identity(str(tiny_encoder))}
    fine = changed(embedded(tiny_encoder, texts, C), **(FULL | identity))
    student.predict(lend_set(fine), queries, ctx)
    wrong = changed(fine, **({} if "encoder" not in others else {"encoder_identity": None}))
    with pytest.raises(NotApplicable) as caught:
        student.predict(lend_set(changed(wrong, **others)), queries, ctx)
    assert said.format(model=tiny_encoder) in str(caught.value)


@pytest.mark.parametrize(("layers", "own"), [(1, "1"), (3, "3"), (None, "everything")])
def test_learned_steps_are_of_as_many_layers_as_they_were_learned_with(
    layers: int | None, own: str, tiny_encoder: Path, context: MakeContext
) -> None:
    texts, queries = make_set(N, C, seed=0)
    vectors = embedded(tiny_encoder, texts, C, 0, step_sizes=STEPS, trained_layers=2)
    said = f"learned with 2 trained layers, this student trains {own}: trainable_layers=2 fits"
    with pytest.raises(NotApplicable, match=said):
        student_of(tiny_encoder, layers, recipe="learned-sgd").predict(vectors, queries, context(0, queries))
    deeper = changed(vectors, trained_layers=9)
    with pytest.raises(NotApplicable, match=f"with 9 trained layers, this student trains {own}, and the encoder has"):
        student_of(tiny_encoder, layers, recipe="learned-sgd").predict(deeper, queries, context(0, queries))
    student_of(tiny_encoder, 2, recipe="learned-sgd").predict(vectors, queries, context(0, queries))
    student_of(tiny_encoder, layers, steps=1).predict(vectors, queries, context(0, queries))


def test_layers_that_fit_are_not_promised_of_other_architectures(tiny_xlnet: Path, context: MakeContext) -> None:
    texts, queries = make_set(N, C, seed=0)
    vectors = embedded(tiny_xlnet, texts, C, 2)
    with pytest.raises(NotApplicable, match=r"this student reads that of layer 0$"):
        student_of(tiny_xlnet, 1).predict(vectors, queries, context(0, queries))


def test_the_content_of_an_encoder_counts_not_its_name(tiny_encoder: Path, context: MakeContext) -> None:
    texts, queries = make_set(N, C, seed=0)
    ctx = context(0, queries)
    moved = changed(
        embedded(tiny_encoder, texts, C),
        encoder="somewhere/else",
        encoder_identity=ctx.asset_identity(str(tiny_encoder)),
    )
    student_of(tiny_encoder, steps=1).predict(lend_set(moved), queries, ctx)


def test_refusals_that_the_set_alone_tells(tiny_encoder: Path) -> None:
    texts, _ = make_set(N, C, seed=0)
    vectors, learned = embedded(tiny_encoder, texts, C), student_of(tiny_encoder, recipe="learned-sgd")
    assert learned.refuses(texts) == "the set has no embedding level: recipe=standard reads its texts"
    assert learned.refuses(vectors) == "the set has no learned step sizes"
    assert learned.refuses(changed(vectors, step_sizes=STEPS)) is None
    assert student_of(tiny_encoder).refuses(vectors) is None
    assert student_of(tiny_encoder).refuses(texts) is None


def test_a_student_that_reads_texts_alone_says_for_which_encoder_vectors_are(tiny_encoder: Path) -> None:
    texts, _ = make_set(N, C, seed=0)
    said = f"the set has no text level: it is vectors for the encoder '{tiny_encoder}'"
    assert ProbeStudent(ProbeParams()).refuses(embedded(tiny_encoder, texts, C)) == said
    assert ProbeStudent(ProbeParams()).refuses(texts) is None
