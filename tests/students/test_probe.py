"""The probe is scikit-learn's logistic regression on the engine's features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bench.api import DistilledSet
from students.params import ProbeParams
from students.probe import ProbeStudent, hard_rows
from tests.learner_models import MakeContext, gold, make_set


def probe(folder: Path, **params: object) -> ProbeStudent:
    return ProbeStudent(ProbeParams(encoder=str(folder), **params))


@pytest.mark.parametrize(("pooling", "c", "fields"), [("mean", 1.0, 1), ("cls", 0.1, 1), ("mean", 100.0, 2)])
def test_equals_a_direct_call(tiny_encoder: Path, context: MakeContext, pooling: str, c: float, fields: int) -> None:
    distilled, queries = make_set(15, 3, seed=0, fields=fields)
    ctx = context(0, queries)
    found = probe(tiny_encoder, pooling=pooling, C=c).predict(distilled, queries, ctx)
    assert distilled.texts is not None
    train = ctx.embed(distilled.texts, str(tiny_encoder), pooling).astype(np.float64)
    test = ctx.features("test", str(tiny_encoder), pooling).astype(np.float64)
    train, test = (x / np.sqrt((x**2).sum(1))[:, None] for x in (train, test))
    model = LogisticRegression(C=c, max_iter=5000).fit(train, distilled.labels)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, model.predict(test))


def test_learns_topics_and_shuffled_labels_are_chance(tiny_encoder: Path, context: MakeContext) -> None:
    distilled, queries = make_set(60, 3, seed=0)
    student = probe(tiny_encoder, C=100.0)
    wanted = gold(60, 3)
    assert (student.predict(distilled, queries, context(0, queries)) == wanted).mean() > 0.55
    shuffled = [
        (
            student.predict(DistilledSet(rng.permutation(distilled.labels), distilled.texts), queries, ctx) == wanted
        ).mean()
        for rng, ctx in ((np.random.default_rng(seed), context(seed, queries)) for seed in range(8))
    ]
    assert abs(float(np.mean(shuffled)) - 1 / 3) < 0.12


def test_permuted_labels_permute_predictions(tiny_encoder: Path, context: MakeContext) -> None:
    distilled, queries = make_set(30, 3, seed=1)
    permutation = np.array([2, 0, 1])
    student = probe(tiny_encoder)
    plain = student.predict(distilled, queries, context(0, queries))
    renamed = DistilledSet(permutation[distilled.labels], distilled.texts)
    np.testing.assert_array_equal(student.predict(renamed, queries, context(0, queries)), permutation[plain])


def test_runs_of_one_set_are_equal(tiny_encoder: Path, context: MakeContext) -> None:
    distilled, queries = make_set(12, 2, seed=0)
    student = probe(tiny_encoder)
    first = student.predict(distilled, queries, context(1, queries))
    np.testing.assert_array_equal(student.predict(distilled, queries, context(2, queries)), first)
    assert len(set(first.tolist())) == 2


def test_a_set_of_one_class_predicts_that_class(tiny_encoder: Path, context: MakeContext) -> None:
    distilled, queries = make_set(6, 3, seed=0)
    one = DistilledSet(np.full(6, 2), distilled.texts)
    found = probe(tiny_encoder).predict(one, queries, context(0, queries))
    np.testing.assert_array_equal(found, np.full(18, 2))
    assert found.dtype == np.int64


def test_a_missing_class_is_never_predicted(tiny_encoder: Path, context: MakeContext) -> None:
    distilled, queries = make_set(12, 3, seed=0)
    two = DistilledSet(np.where(distilled.labels == 1, 2, distilled.labels), distilled.texts)
    student = probe(tiny_encoder, C=100.0)
    assert set(student.predict(two, queries, context(0, queries)).tolist()) == {0, 2}


def test_one_hot_soft_labels_equal_hard_labels(tiny_encoder: Path, context: MakeContext) -> None:
    hard, queries = make_set(15, 3, seed=0)
    soft = DistilledSet(hard.labels, hard.texts, soft_labels=np.eye(3, dtype=np.float32)[hard.labels])
    student = probe(tiny_encoder)
    expected = student.predict(hard, queries, context(0, queries))
    np.testing.assert_array_equal(student.predict(soft, queries, context(0, queries)), expected)
    turned = DistilledSet(hard.labels, hard.texts, soft_labels=np.roll(soft.soft_labels, 1, axis=1))
    np.testing.assert_array_equal(student.predict(turned, queries, context(0, queries)), (expected + 1) % 3)


def test_weighted_rows_give_soft_cross_entropy() -> None:
    soft = np.array([[0.2, 0.8], [1.0, 0.0]], dtype=np.float32)
    labels, weights = hard_rows(DistilledSet(np.array([1, 0]), texts={"a": ["x", "y"]}, soft_labels=soft))
    log_p = np.log(np.array([[0.3, 0.7], [0.6, 0.4]]))
    wanted = -(soft * log_p).sum()
    assert -(weights * np.repeat(log_p, 2, axis=0)[np.arange(4), labels]).sum() == pytest.approx(wanted)
