"""Which real rows a step takes: representative sets made once, or random ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bench.api import Split, TrainData, UserError
from bench.learners.seeds import derive
from methods.gen_distill import teacher as module
from methods.gen_distill.teacher import Teacher, representative_sets
from methods.selection import kmeans_medoids
from tests.methods.gen_distill.conftest import MakeContext, MakeParams, make_data


@pytest.fixture
def uneven() -> TrainData:
    """Classes of 12, 12 and 4 train rows."""
    data = make_data(3, 12, ("sentence",))
    kept = np.concatenate([data.class_rows(0), data.class_rows(1), data.class_rows(2)[:4]])
    train = Split({"sentence": [data.train.texts["sentence"][row] for row in kept]}, data.train.labels[kept])
    return dataclasses.replace(data, train=train)


@pytest.mark.parametrize("normalize", [False, True])
def test_representative_sets_are_k_centers(
    normalize: bool, uneven: TrainData, make_context: MakeContext, make_params: MakeParams
) -> None:
    params, ctx = make_params(teacher_sets=3, real_batch=5, normalize=normalize), make_context(uneven)
    sets = representative_sets(uneven, ctx, params)
    features = np.array(ctx.features("train", params.encoder, "cls", 64), dtype=np.float32)
    if normalize:
        features /= np.linalg.norm(features, axis=1, keepdims=True)
    for label in (0, 1):
        rows = uneven.class_rows(label)
        assert sets[label].shape == (3, 5)
        for number, found in enumerate(sets[label]):
            seed = derive(params.generator_seed, "representative set", label, number)
            assert found.tolist() == rows[kmeans_medoids(features[rows], 5, seed).indices].tolist()
            assert len(set(found.tolist())) == 5
        assert len({tuple(sorted(found)) for found in sets[label].tolist()}) > 1  # the seeds differ
    assert sets[2].tolist() == [uneven.class_rows(2).tolist()]


def test_they_are_made_once_for_what_they_depend_on(
    uneven: TrainData, make_context: MakeContext, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, made = make_context(uneven), []
    monkeypatch.setattr(module, "kmeans_medoids", lambda *args: made.append(args) or kmeans_medoids(*args))
    Teacher(uneven, ctx, make_params())
    assert len(made) == 4
    Teacher(uneven, make_context(uneven), make_params(teacher_draw="cycle", learner_layers=1, outer_loops=9))
    assert len(made) == 4
    changes = [{"real_batch": 5}, {"teacher_sets": 3}, {"generator_seed": 1}, {"pooling": "mean"}, {"normalize": True}]
    for change in [*changes, {"max_length": 8}]:
        before = len(made)
        Teacher(uneven, ctx, make_params(**change))
        assert len(made) > before, change
    swapped = dataclasses.replace(uneven, train=Split(uneven.train.texts, (uneven.train.labels + 1) % 3))
    before = len(made)
    Teacher(swapped, make_context(swapped), make_params())
    assert len(made) > before


def test_progress(uneven: TrainData, make_context: MakeContext, make_params: MakeParams) -> None:
    ctx, seen = make_context(uneven), []
    ctx._on_progress = lambda *args: seen.append(args)
    Teacher(uneven, ctx, make_params())
    own = [(done, total) for done, total, what in seen if what == "representative sets"]
    assert own == [(1, 6), (2, 6), (3, 6), (4, 6)]


def test_cycle_and_random_draws(uneven: TrainData, make_context: MakeContext, make_params: MakeParams) -> None:
    """All classes take the set of one number; in turn, or at random with equal frequency."""
    ctx, changes = make_context(uneven), {"teacher_sets": 3, "real_batch": 5}
    sets = representative_sets(uneven, ctx, make_params(**changes))
    cycle = Teacher(uneven, ctx, make_params(**changes, teacher_draw="cycle"))
    for step in range(7):
        for label in (0, 1):
            np.testing.assert_array_equal(cycle.rows(step, label), sets[label][step % 3])
        assert cycle.rows(step, 2).tolist() == uneven.class_rows(2).tolist()
    drawn = Teacher(uneven, ctx, make_params(**changes))
    numbers = []
    for step in range(300):
        fits = [{n for n in range(3) if np.array_equal(drawn.rows(step, label), sets[label][n])} for label in (0, 1)]
        (number,) = fits[0] & fits[1]
        numbers.append(number)
    assert np.bincount(numbers, minlength=3) == pytest.approx([100, 100, 100], abs=33)  # 4 standard deviations
    assert (np.diff(numbers) == 0).mean() == pytest.approx(1 / 3, abs=0.11)


@pytest.mark.parametrize("teacher", ["representative", "random"])
def test_rows_follow_seed_and_step(
    teacher: str, uneven: TrainData, make_context: MakeContext, make_params: MakeParams
) -> None:
    ctx = make_context(uneven, seed=1)
    first = Teacher(uneven, ctx, make_params(teacher=teacher))
    again = Teacher(uneven, make_context(uneven, seed=2), make_params(teacher=teacher))
    other = Teacher(uneven, ctx, make_params(teacher=teacher, generator_seed=1))
    assert first.key == again.key != other.key
    for step in (7, 0, 3):
        for label, rows in enumerate([first.rows(step, each) for each in range(3)]):
            assert rows.dtype == np.int64
            assert (uneven.train.labels[rows] == label).all()
            np.testing.assert_array_equal(again.rows(step, label), rows)
    assert any((first.rows(step, 0) != other.rows(step, 0)).any() for step in range(8))
    assert len({tuple(first.rows(step, 0)) for step in range(8)}) > 1


def test_random_rows(uneven: TrainData, make_context: MakeContext, make_params: MakeParams) -> None:
    """M different rows of the class, each as likely as any other; small classes give all."""
    teacher = Teacher(uneven, make_context(uneven), make_params(teacher="random", real_batch=6))
    counts = np.zeros(len(uneven.train), dtype=np.int64)
    for step in range(400):
        rows = teacher.rows(step, 1)
        assert len(set(rows.tolist())) == 6
        counts[rows] += 1
        assert sorted(teacher.rows(step, 2).tolist()) == uneven.class_rows(2).tolist()
    assert counts[uneven.class_rows(1)] == pytest.approx([200] * 12, abs=40)  # 4 standard deviations
    assert counts.sum() == 2400


def test_a_random_teacher_needs_no_encoder(
    uneven: TrainData, make_context: MakeContext, make_params: MakeParams
) -> None:
    Teacher(uneven, make_context(uneven), make_params(teacher="random", encoder="/nowhere"))


def test_keys_tell_teachers_apart(uneven: TrainData, make_context: MakeContext, make_params: MakeParams) -> None:
    ctx, keys = make_context(uneven), []
    changes: list[dict[str, object]] = [{}, {"teacher": "random"}, {"teacher_draw": "cycle"}, {"teacher_sets": 3}]
    for change in [*changes, {"real_batch": 5}, {"normalize": True}, {"pooling": "mean"}]:
        keys.append(Teacher(uneven, ctx, make_params(**change)).key)
    assert len(set(keys)) == len(keys)
    assert Teacher(uneven, ctx, make_params(batch="plain", probability="padded")).key == keys[0]


def test_a_class_without_rows(uneven: TrainData, make_context: MakeContext, make_params: MakeParams) -> None:
    kept = uneven.train.labels != 1
    texts = [text for text, keep in zip(uneven.train.texts["sentence"], kept, strict=True) if keep]
    empty = dataclasses.replace(uneven, train=Split({"sentence": texts}, uneven.train.labels[kept]))
    with pytest.raises(UserError, match="class 'class 1' of task 'tiny' has no train rows"):
        Teacher(empty, make_context(empty), make_params())
