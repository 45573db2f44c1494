"""In-context students: prompts by hand, orders, shots, calibration, what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.api import DistilledSet, Embeddings, NotApplicable, Queries, UserError
from bench.errors import PluginError
from bench.learners.in_context.reader import order
from bench.testing.generator import build_tiny_generator
from bench.work.context import JobContext
from students.in_context import InContextStudent
from students.params import InContextParams
from tests.learner_models import MakeContext, make_set

Make = Callable[..., InContextStudent]
WORDS = {"test": ("sport", "money")}


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_generator(tmp_path_factory.mktemp("lm"), seed=3, architecture=request.param, positions=512)


@pytest.fixture
def make(folder: Path) -> Make:
    def student(**params: Any) -> InContextStudent:
        return InContextStudent(InContextParams(**{"model": str(folder), "label_words": WORDS, **params}))

    return student


def scores_by_hand(
    folder: Path, distilled: DistilledSet, rows: Any, texts: Mapping[str, Any], words: Any
) -> np.ndarray:
    """Logits of the first token of each word, each prompt written, tokenised and run as a whole: [N, C]."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    names = list(texts)
    blocks = []
    for row in rows:
        fields = "\n".join(f"{name}: {distilled.texts[name][row]}" for name in names)  # type: ignore[index]
        blocks.append(f"{fields}\nlabel: {words[distilled.labels[row]]}")
    first = [tokenizer(f"label: {word}")["input_ids"][len(tokenizer("label:")["input_ids"])] for word in words]
    found = []
    for query in zip(*texts.values(), strict=True):
        asked = "\n".join(f"{name}: {text}" for name, text in zip(names, query, strict=True)) + "\nlabel:"
        ids = tokenizer("\n\n".join([*blocks, asked]), return_tensors="pt")
        with torch.no_grad():
            found.append(model(ids["input_ids"]).logits[0, -1, first].numpy())
    return np.array(found)


@pytest.mark.parametrize("fields", [1, 2])
def test_predictions_are_those_of_prompts_written_by_hand(
    make: Make, folder: Path, context: MakeContext, fields: int
) -> None:
    distilled, queries = make_set(4 if fields == 1 else 2, 2, seed=5, fields=fields)
    ctx = context(7, queries)
    rows = order(distilled.labels, None, ctx.rng("demonstrations"))
    assert sorted(rows) == list(range(len(distilled)))
    by_hand = scores_by_hand(folder, distilled, rows, queries.texts, WORDS["test"])
    assert (make().predict(distilled, queries, ctx) == by_hand.argmax(1)).all()


def test_no_demonstration_is_a_bare_query(make: Make, folder: Path, context: MakeContext) -> None:
    distilled, queries = make_set(4, 2, seed=5)
    empty = DistilledSet(labels=distilled.labels[:0], texts={"first": []})
    student = make()
    assert student.refuses(empty) is None
    by_hand = scores_by_hand(folder, empty, [], queries.texts, WORDS["test"])
    assert (student.predict(empty, queries, context(0, queries)) == by_hand.argmax(1)).all()


def test_one_instance_leaves_no_trace(make: Make, context: MakeContext) -> None:
    (one, queries), (two, _) = make_set(4, 2, seed=1), make_set(4, 2, seed=2)
    student = make()
    first = student.predict(one, queries, context(0, queries))
    student.predict(two, queries, context(1, queries))
    assert (student.predict(one, queries, context(0, queries)) == first).all()
    assert (make().predict(one, queries, context(0, queries)) == first).all()


def lent(context: MakeContext, queries: Queries, texts: Mapping[str, list[str]] | None) -> JobContext:
    ctx = context(3, queries)
    ctx._unlabelled = texts
    return ctx


def test_batch_calibration_asks_train_rows_and_never_the_queries(
    make: Make, folder: Path, context: MakeContext
) -> None:
    distilled, queries = make_set(4, 2, seed=5)
    pool = {"first": [f"{word} the film" for word in ("great", "dull", "party", "shares", "goal")]}
    student = make(calibration="batch", prior_rows=3)
    ctx = lent(context, queries, pool)
    rows = order(distilled.labels, None, ctx.rng("demonstrations"))
    drawn = ctx.train_texts(3)
    assert set(drawn["first"]) < set(pool["first"])
    raw, prior = (scores_by_hand(folder, distilled, rows, texts, WORDS["test"]) for texts in (queries.texts, drawn))
    p = np.exp(prior) / np.exp(prior).sum(1, keepdims=True)
    wanted = (raw - np.log(p.mean(0))).argmax(1)
    found = student.predict(distilled, queries, ctx)
    assert (found == wanted).all()
    fewer = Queries(queries.info, {"first": list(queries.texts["first"][:4])})
    assert (student.predict(distilled, fewer, lent(context, fewer, pool)) == wanted[:4]).all()


def test_contextual_calibration_asks_rows_without_content(make: Make, folder: Path, context: MakeContext) -> None:
    distilled, queries = make_set(4, 2, seed=5)
    ctx = context(3, queries)
    rows = order(distilled.labels, None, ctx.rng("demonstrations"))
    texts = {"first": ["N/A", "[MASK]", ""]}
    raw, prior = (scores_by_hand(folder, distilled, rows, each, WORDS["test"]) for each in (queries.texts, texts))
    p = np.exp(prior) / np.exp(prior).sum(1, keepdims=True)
    found = make(calibration="contextual").predict(distilled, queries, ctx)
    assert (found == (raw - np.log(p.mean(0))).argmax(1)).all()


def test_train_texts_are_for_those_whose_spec_asks(make: Make, context: MakeContext) -> None:
    distilled, queries = make_set(4, 2, seed=5)
    with pytest.raises(PluginError, match="only a student whose spec says train_texts gets them"):
        make(calibration="batch").predict(distilled, queries, context(0, queries))


def test_a_prompt_that_does_not_fit_is_not_applicable_with_its_lengths(make: Make, context: MakeContext) -> None:
    distilled, queries = make_set(60, 2, seed=5)
    with pytest.raises(
        NotApplicable, match=r"the prompt has \d+ tokens \(60 demonstrations \d+, the longest query \d+"
    ) as caught:
        make().predict(distilled, queries, context(0, queries))
    assert "reads 512; fewer demonstrations fit: shots=K" in str(caught.value)
    make(shots=1).predict(distilled, queries, context(0, queries))
    long = Queries(queries.info, {"first": ["word " * 600]})
    with pytest.raises(NotApplicable) as caught:
        make(shots=1).predict(distilled, long, context(0, long))
    assert "shots" not in str(caught.value)


def test_sets_of_embeddings_alone_are_refused(make: Make) -> None:
    values = np.zeros((2, 3, 4), np.float32)
    made = Embeddings(values, np.ones((2, 3), np.int64), np.eye(2, dtype=np.float32), "minilm")
    reason = make().refuses(DistilledSet(labels=np.array([0, 1]), embeddings=made))
    assert reason == "the set has no text level: it is vectors for the encoder 'minilm'"


def test_label_words_that_collide_are_refused(make: Make, context: MakeContext) -> None:
    distilled, queries = make_set(4, 2, seed=5)
    collide = make(label_words={"test": ("team", "team")})
    with pytest.raises(UserError, match="'team' and 'team' are the same tokens"):
        collide.predict(distilled, queries, context(0, queries))


def test_words_that_begin_alike_are_scored_whole(make: Make, context: MakeContext) -> None:
    distilled, queries = make_set(4, 2, seed=5)  # "class 0" and "class 1"
    auto, whole = (make(label_words={}, scoring=scoring) for scoring in ("auto", "whole"))
    answers = [student.predict(distilled, queries, context(0, queries)) for student in (auto, whole)]
    assert (answers[0] == answers[1]).all()


def test_no_number_without_effect() -> None:
    with pytest.raises(ValueError, match="prior_rows has no effect"):
        InContextParams(prior_rows=8)


def test_a_set_with_fewer_examples_of_a_class_than_shots_is_refused(make: Make) -> None:
    """The label would say what no prompt had."""
    distilled, _ = make_set(4, 2, seed=5)
    fewest = int(np.bincount(distilled.labels).min())
    assert make(shots=fewest).refuses(distilled) is None
    reason = make(shots=fewest + 1).refuses(distilled)
    assert reason == f"a class of the set has {fewest} examples, fewer than shots={fewest + 1}: leave shots out"
    nothing = DistilledSet(labels=np.empty(0, np.int64), texts={"first": []})
    assert make(shots=3).refuses(nothing) is None, "zero-shot"


def test_without_demonstrations_one_answer_is_that_of_all_runs(make: Make, context: MakeContext) -> None:
    distilled, queries = make_set(4, 2, seed=5)
    nothing = DistilledSet(labels=np.empty(0, np.int64), texts={"first": []})
    contexts = [context(seed, queries) for seed in (1, 2, 3)]
    for calibration in ("none", "contextual"):
        student = make(calibration=calibration)
        found = student.predict_many(nothing, queries, contexts)
        alone = [make(calibration=calibration).predict(nothing, queries, each) for each in contexts]
        np.testing.assert_array_equal(found, alone)
        assert len(student.predict_many(distilled, queries, contexts)) == 1, "each run has an order of its own"
    pool = {"first": [f"{word} the film" for word in ("great", "dull", "party", "shares", "goal")]}
    batch = [lent(context, queries, pool) for _ in contexts]
    assert len(make(calibration="batch", prior_rows=2).predict_many(nothing, queries, batch)) == 1
