"""Nearest words and texts."""

from __future__ import annotations

import numpy as np
import pytest

from bench.api import TrainData
from bench.work.context import JobContext
from methods.embedding.learner import Learner, vectors_of
from methods.embedding.nearest import allowed_tokens, nearest_rows, nearest_shown, nearest_words
from tests.methods.embedding.conftest import MakeParams

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((50, 6)).astype(np.float32)
EVERY = np.ones(50, bool)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_rows_of_the_table_project_to_themselves(metric: str) -> None:
    assert nearest_rows(TABLE, TABLE, EVERY, metric).tolist() == list(range(50))


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_it_equals_brute_force_among_the_allowed(metric: str) -> None:
    allowed = RNG.random(50) < 0.5
    vectors = 5 * RNG.standard_normal((40, 6)).astype(np.float32)
    expected = []
    for vector in vectors:
        distances = [
            np.linalg.norm(vector - row) if metric == "l2" else -vector @ row / np.linalg.norm(row) for row in TABLE
        ]
        expected.append(min(np.flatnonzero(allowed), key=lambda index: distances[index]))
    assert nearest_rows(vectors, TABLE, allowed, metric).tolist() == expected


def test_the_two_metrics_are_two() -> None:
    vectors = 10 * RNG.standard_normal((40, 6)).astype(np.float32)
    scaled = TABLE * RNG.uniform(0.1, 3, (50, 1)).astype(np.float32)
    assert (nearest_rows(vectors, scaled, EVERY, "l2") != nearest_rows(vectors, scaled, EVERY, "cosine")).any()


def test_texts_given_as_their_word_embeddings_come_back(data: TrainData, ctx: JobContext, params: MakeParams) -> None:
    learner = Learner(data, ctx, params(space="words"))
    tokens = learner.network.tokenize({"first": data.train.texts["first"][:8]}, ("first",))
    tokenizer = learner.network.texts.tokenizer
    special = set(tokenizer.all_special_ids)
    for row, vectors in enumerate(vectors_of(learner, {"first": data.train.texts["first"][:8]})):
        ids = tokens.columns["input_ids"][row]
        (found,) = nearest_words(learner, vectors[None], "l2", "special")
        assert not special & set(found)
        assert [one for one, true in zip(found, ids, strict=True) if true not in special] == [
            true for true in ids if true not in special
        ]


class Vocabulary:
    """What is asked of a tokenizer."""

    all_special_ids = (0, 1)

    def get_vocab(self) -> dict[str, int]:
        return {"[PAD]": 0, "[CLS]": 1, "[unused5]": 2, "##ing": 3, "word": 4}


def test_special_and_unused_tokens_are_no_words_and_pieces_if_asked() -> None:
    assert np.flatnonzero(allowed_tokens(Vocabulary(), 6, "special")).tolist() == [3, 4]
    assert np.flatnonzero(allowed_tokens(Vocabulary(), 6, "pieces")).tolist() == [4]


def test_hidden_states_of_a_train_row_show_that_row(data: TrainData, ctx: JobContext, params: MakeParams) -> None:
    learner = Learner(data, ctx, params())
    packed = learner.network.shared(data.train.texts, data.info.fields, ctx)
    states = np.split(packed.states, np.cumsum(packed.sizes)[:-1])
    length = int(packed.sizes[0])
    same = [row for row in range(len(states)) if packed.sizes[row] == length][:3]
    shown = nearest_shown(learner, data, np.stack([states[row] for row in same]))
    assert list(shown) == [data.train.texts["first"][row] for row in same]
