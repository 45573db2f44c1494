"""Scores of label words against the model's own log probabilities, one prompt at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.learners.causal.model import CausalModel
from bench.learners.causal.prefix import Prefix
from bench.learners.in_context import scoring
from bench.learners.in_context.scoring import first_tokens_differ, score
from tests.learner_lms import CACHED, make_lm

PREFIX = np.arange(3, 24)
QUERIES = [np.arange(30, 30 + length) for length in (5, 11, 1, 8, 8, 3)]
SHORT = [np.array([50]), np.array([7]), np.array([90])]
MIXED = [np.array([50]), np.array([7, 8, 9]), np.array([90, 4])]
SAME_START = [np.array([50, 3]), np.array([50, 4]), np.array([7])]


def alone(model: CausalModel, words: list[np.ndarray], whole: bool) -> np.ndarray:
    """The same by the model's own logits, full prompts of one query and word at a time, in float64 sums."""
    found = np.empty((len(QUERIES), len(words)))
    for row, query in enumerate(QUERIES):
        for label, word in enumerate(words):
            ids = np.concatenate([PREFIX, query, word if whole else word[:1]])
            with torch.no_grad():
                logits = model.model(torch.from_numpy(ids)[None], use_cache=False).logits[0].double().log_softmax(-1)
            start = len(PREFIX) + len(query)
            found[row, label] = sum(float(logits[place - 1, ids[place]]) for place in range(start, len(ids)))
    return found - np.logaddexp.reduce(found, axis=1, keepdims=True)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("words", [SHORT, MIXED, SAME_START], ids=["short", "mixed", "same-start"])
@pytest.mark.parametrize("architecture", CACHED)
def test_whole_words_are_scored_as_the_model_does_alone(
    architecture: str, words: list[np.ndarray], shared: bool
) -> None:
    model = make_lm(architecture)
    found = score(model, Prefix(model, PREFIX, shared), QUERIES, words, whole=True)
    np.testing.assert_allclose(found, alone(model, words, whole=True), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", CACHED)
def test_first_tokens_are_scored_as_the_model_does_alone(architecture: str) -> None:
    model = make_lm(architecture)
    found = score(model, Prefix(model, PREFIX), QUERIES, MIXED, whole=False)
    np.testing.assert_allclose(found, alone(model, MIXED, whole=False), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.exp(found).sum(1), 1.0)
    assert abs(found - alone(model, MIXED, whole=True)).max() > 0.1  # the two are not the same thing
    exact = score(model, Prefix(model, PREFIX), QUERIES, SHORT, whole=True)
    np.testing.assert_allclose(score(model, Prefix(model, PREFIX), QUERIES, SHORT, whole=False), exact, atol=1e-5)


@pytest.mark.parametrize("words", [SHORT, MIXED], ids=["short", "mixed"])
def test_a_batch_of_queries_is_one_at_a_time(monkeypatch: pytest.MonkeyPatch, words: list[np.ndarray]) -> None:
    model = make_lm("llama")
    prefix = Prefix(model, PREFIX)
    whole = len(words[1]) > 1
    together = score(model, prefix, QUERIES, words, whole=whole)
    single = np.concatenate([score(model, prefix, [query], words, whole=whole) for query in QUERIES])
    np.testing.assert_allclose(together, single, rtol=1e-4, atol=1e-5)
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(scoring, "TOKENS", {"cpu": 1})
    small = score(model, prefix, QUERIES, words, whole=whole, progress=lambda done, total: seen.append((done, total)))
    np.testing.assert_allclose(small, together, rtol=1e-4, atol=1e-5)
    assert seen == [(number, len(QUERIES)) for number in range(1, len(QUERIES) + 1)]


def test_words_that_begin_alike_need_all_their_tokens() -> None:
    assert first_tokens_differ(MIXED)
    assert not first_tokens_differ(SAME_START)
    model = make_lm("gpt2")
    with pytest.raises(ValueError, match="score them whole"):
        score(model, Prefix(model, PREFIX), QUERIES, SAME_START, whole=False)
