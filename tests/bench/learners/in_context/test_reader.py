"""Which demonstrations stand in a prompt, the words for a task's classes, and prompts that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.api import NotApplicable, TaskInfo, UserError
from bench.learners.in_context.reader import Reader, check_fit, form_of, order
from bench.testing.generator import build_tiny_generator
from tests.learner_models import MakeContext, context

__all__ = ["context"]
WORDS = {"test": ("sport", "money")}
INFO = TaskInfo("test", ("first",), ("class_0", "class_1"))


def test_the_order_follows_the_seed_and_shots_take_as_many_of_each_class() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 2])
    first, again, other = (order(labels, 2, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()
    for rows in (first, other):
        assert np.bincount(labels[rows]).tolist() == [2, 2, 1]
        assert len(set(rows.tolist())) == 5
    everywhere = {tuple(order(labels, 1, np.random.default_rng(seed)).tolist()) for seed in range(200)}
    assert len({row for rows in everywhere for row in rows}) == len(labels)  # every row is shown sometimes
    assert len({rows.index(7) for rows in everywhere}) == 3  # a class stands in every place


def test_label_words_by_label_by_name_or_from_label_names() -> None:
    assert form_of(INFO, {}).words == ("class 0", "class 1")
    assert form_of(INFO, {"other": ("a", "b")}).words == ("class 0", "class 1")
    assert form_of(INFO, WORDS).words == WORDS["test"]
    rows = TaskInfo("test[rows=9]", ("first",), INFO.label_names)
    assert form_of(rows, WORDS).words == WORDS["test"]
    assert form_of(rows, {**WORDS, "test[rows=9]": ("a", "b")}).words == ("a", "b")
    table = TaskInfo("table:my.csv", ("first",), INFO.label_names)
    assert form_of(table, {"table": ("a", "b")}).words == ("a", "b")
    for given, said in (
        ({"test": ("a",)}, "label_words of 'test': 1 words for the 2 classes class_0, class_1"),
        ({"test": ("a", " ")}, "the word of class 'class_1' is empty"),
    ):
        with pytest.raises(UserError, match=said):
            form_of(INFO, given)


@pytest.mark.parametrize(("prefix", "query", "fits"), [(90, 9, True), (90, 10, False), (0, 99, True), (0, 100, False)])
def test_the_longest_prompt_with_all_but_the_last_token_of_a_word_has_to_fit(
    prefix: int, query: int, fits: bool
) -> None:
    words, shown = [np.arange(1), np.arange(2)], ({}, np.zeros(3 if prefix else 0, np.int64))
    queries = [np.arange(2), np.arange(query)]
    if fits:
        check_fit("lm", 100, prefix, queries, words, shown)
        return
    with pytest.raises(NotApplicable) as caught:
        check_fit("lm", 100, prefix, queries, words, shown)
    mend = "; fewer demonstrations fit: shots=K" if prefix else ""
    n = len(shown[1])
    assert str(caught.value) == (
        f"the prompt has 101 tokens ({n} demonstrations {prefix}, the longest query {query}), "
        f"model 'lm' reads 100{mend}"
    )


def test_scores_that_are_not_finite_are_refused(tmp_path: Path, context: MakeContext) -> None:
    reader = Reader(str(build_tiny_generator(tmp_path / "lm")), context())
    reader.model.model.get_input_embeddings().weight.data[5] = float("nan")  # tied to the head
    with pytest.raises(UserError, match="gives scores that are not finite: take dtype=float32"):
        reader.ask(form_of(INFO, WORDS), ({"first": []}, np.empty(0, np.int64)), {"first": ["a % b"]}, whole=True)


def test_several_collections_after_one_prompt(tmp_path: Path, context: MakeContext) -> None:
    reader = Reader(str(build_tiny_generator(tmp_path / "lm", positions=512)), context())
    shown = ({"first": ["the team won", "shares fell"]}, np.array([0, 1]))
    one, two = {"first": ["a goal", "the bank"]}, {"first": ["profit", "coach", "a match"]}
    seen: list[tuple[int, int]] = []
    both = reader.ask(form_of(INFO, WORDS), shown, one, two, progress=lambda *now: seen.append(now))
    for texts, found in zip((one, two), both, strict=True):
        (alone,) = reader.ask(form_of(INFO, WORDS), shown, texts)
        np.testing.assert_allclose(found, alone, atol=1e-6)
    assert [len(found) for found in both] == [2, 3]
    assert seen[-1] == (5, 5)
