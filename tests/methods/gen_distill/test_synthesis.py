"""Pools of valid texts that do not depend on how they were drawn, and K-centers among different texts."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from bench.api import TrainData, UserError
from bench.testing.texts import SENTENCES
from bench.work.context import JobContext
from methods.gen_distill.generator import Generator, make_generator
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.sampling import sample
from methods.gen_distill.synthesis import STREAMS, Pool, draw_pools, select
from methods.selection import kmeans_medoids
from tests.methods.gen_distill.conftest import MakeContext, MakeParams
from tests.methods.gen_distill.test_sampling import prefer, same

MAX_TOKENS = 12


@pytest.fixture
def params(make_params: MakeParams) -> GenDistillParams:
    return make_params()


@pytest.fixture
def generator(pair_data: TrainData, make_context: MakeContext, params: GenDistillParams) -> Generator:
    """A random generator of pairs; about three in four draws lack a text."""
    found = make_generator(params, pair_data, make_context(pair_data))
    assert found.template.sep is not None
    prefer(found, {found.template.sep: 3.5, found.template.eos: 2.0})
    return found


def draw(generator: Generator, data: TrainData, params: GenDistillParams, wanted: dict[int, int], **more: Any) -> Any:
    return draw_pools(generator, data.info, wanted, params, **{"max_tokens": MAX_TOKENS, "seed": 3, **more})


def test_a_pool_is_the_first_valid_draws_of_its_class(
    generator: Generator, pair_data: TrainData, params: GenDistillParams
) -> None:
    for pool in draw(generator, pair_data, params, {1: 20, 0: 13}):
        streams = pool.label * STREAMS + np.arange(pool.drawn)
        classes = np.full(pool.drawn, pool.label)
        draws = sample(generator, classes, max_tokens=MAX_TOKENS, top_p=params.top_p, seed=3, streams=streams)
        parsed = [generator.template.parse(row[1:]) for row in draws]
        valid = [number for number, texts in enumerate(parsed) if texts is not None]
        assert len(valid) == {1: 20, 0: 13}[pool.label]
        assert pool.invalid == pool.drawn - len(valid) > 0
        assert valid[-1] == pool.drawn - 1  # what was drawn beyond the last one needed does not count
        assert same(pool.sequences, [draws[number] for number in valid])
        assert list(pool.texts) == ["first", "second"]
        assert list(zip(*pool.texts.values(), strict=True)) == [parsed[number] for number in valid]
        assert all(text == text.strip() != "" for column in pool.texts.values() for text in column)


def equal(a: Pool, b: Pool) -> bool:
    return same(a.sequences, b.sequences) and (a.texts, a.drawn, a.invalid) == (b.texts, b.drawn, b.invalid)


def test_classes_drawn_together_equal_classes_drawn_alone(
    generator: Generator, pair_data: TrainData, params: GenDistillParams
) -> None:
    both = draw(generator, pair_data, params, {0: 12, 1: 7})
    assert [pool.label for pool in both] == [0, 1]
    assert equal(both[0], draw(generator, pair_data, params, {0: 12})[0])
    assert equal(both[1], draw(generator, pair_data, params, {1: 7})[0])
    assert both[0].texts != draw(generator, pair_data, params, {0: 12}, seed=4)[0].texts
    assert both[0].texts["first"][:7] != both[1].texts["first"]


def test_a_smaller_pool_is_the_start_of_a_larger_one(
    generator: Generator, pair_data: TrainData, params: GenDistillParams
) -> None:
    (small,), (large,) = (draw(generator, pair_data, params, {1: n}) for n in (5, 15))
    assert same(small.sequences, large.sequences[:5])
    assert small.texts == {name: column[:5] for name, column in large.texts.items()}


def test_a_generator_of_invalid_texts_is_a_users_error(
    generator: Generator, pair_data: TrainData, params: GenDistillParams
) -> None:
    prefer(generator, {generator.template.sep: -100.0})  # type: ignore[dict-item]
    message = (
        "too few valid texts of class 'class 1': 0 of 200 draws of up to 12 tokens (200 times a text is missing); "
        "train it longer (lm_steps)"
    )
    with pytest.raises(UserError, match=re.escape(message)):
        draw(generator, pair_data, params, {1: 3})


def test_progress_counts_texts(generator: Generator, pair_data: TrainData, params: GenDistillParams) -> None:
    seen: list[tuple[int, int]] = []
    draw(generator, pair_data, params, {0: 8, 1: 8}, progress=lambda *done: seen.append(done))
    assert len(seen) > 1  # more than one round
    assert {total for _, total in seen} == {16}
    done = [number for number, _ in seen]
    assert done == sorted(done)
    assert done[-1] == 16


# -- K-centers among the texts of a pool


@pytest.fixture
def ctx(make_context: MakeContext, train_data: TrainData) -> JobContext:
    return make_context(train_data)


TEXTS = [text for topic in SENTENCES.values() for text in topic]  # 36 different ones


@pytest.mark.parametrize("normalize", [False, True])
def test_the_selection_is_kmeans_on_the_features(ctx: JobContext, make_params: MakeParams, normalize: bool) -> None:
    params = make_params(normalize=normalize, pooling="mean")
    X = ctx.embed({"sentence": TEXTS}, params.encoder, "mean", params.max_length)
    if normalize:
        X = X / np.linalg.norm(X, axis=1, keepdims=True)
    picked = select({"sentence": TEXTS}, 6, ctx, params, seed=1)
    assert picked.indices.tolist() == kmeans_medoids(X, 6, 1).indices.tolist()
    assert (picked.duplicates, picked.repeated) == (0, 0)


def test_equal_texts_count_once(ctx: JobContext, params: GenDistillParams) -> None:
    rows = np.random.default_rng(0).permutation(np.repeat(np.arange(12), 5))
    pool = [TEXTS[row] for row in rows]
    for k in (4, 12):
        picked = select({"sentence": pool}, k, ctx, params, seed=1)
        assert picked.indices.dtype == np.int64
        assert len({pool[row] for row in picked.indices}) == k
        assert all(pool.index(pool[row]) == row for row in picked.indices)  # first occurrences
        assert (picked.duplicates, picked.repeated) == (48, 0)


def test_repeats_can_stay_candidates(ctx: JobContext, params: GenDistillParams) -> None:
    rows = np.random.default_rng(0).permutation(np.repeat(np.arange(12), [1, 40, 1, 1, 1, 1, 9, 1, 1, 1, 1, 1]))
    pool = [TEXTS[row] for row in rows]
    kept = select({"sentence": pool}, 4, ctx, params, seed=1, keep_repeats=True)
    X = ctx.embed({"sentence": pool}, params.encoder, params.pooling, params.max_length)
    assert kept.indices.tolist() == kmeans_medoids(X, 4, 1).indices.tolist()
    assert (kept.duplicates, kept.repeated) == (47, 0)
    dropped = select({"sentence": pool}, 4, ctx, params, seed=1)
    assert {pool[row] for row in kept.indices} != {pool[row] for row in dropped.indices}
    few = select({"sentence": [TEXTS[0]] * 3 + [TEXTS[1]]}, 3, ctx, params, seed=1, keep_repeats=True)
    assert (len(set(few.indices.tolist())), few.duplicates, few.repeated) == (3, 2, 1)


def test_too_few_different_texts_are_repeated(ctx: JobContext, params: GenDistillParams) -> None:
    pool = [TEXTS[0], TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[1]]
    picked = select({"sentence": pool}, 4, ctx, params, seed=1)
    assert picked.indices.tolist() == [0, 2, 1, 3]
    assert (picked.duplicates, picked.repeated) == (3, 2)
    assert sorted(select({"sentence": pool}, 5, ctx, params, seed=1).indices.tolist()) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="k must be in 1"):
        select({"sentence": pool}, 6, ctx, params, seed=1)


def test_pairs_are_equal_as_a_whole(ctx: JobContext, params: GenDistillParams) -> None:
    pool = {"first": [TEXTS[0]] * 4, "second": [TEXTS[1], TEXTS[2], TEXTS[1], TEXTS[3]]}
    picked = select(pool, 3, ctx, params, seed=1)
    assert sorted(picked.indices.tolist()) == [0, 1, 3]
    assert (picked.duplicates, picked.repeated) == (1, 0)


def test_features_that_are_not_finite_are_a_users_error(
    ctx: JobContext, params: GenDistillParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctx, "embed", lambda texts, *_: np.full((len(texts["sentence"]), 4), np.nan, dtype=np.float32))
    with pytest.raises(UserError, match="NaN or infinite features"):
        select({"sentence": TEXTS}, 3, ctx, params, seed=1)
