"""Calibration against the papers' formulas on probabilities."""

from __future__ import annotations

import numpy as np

from bench.learners.in_context.calibration import CONTENT_FREE, calibrated, content_free


def log_probabilities(n: int, seed: int) -> np.ndarray:
    p = np.random.default_rng(seed).dirichlet(np.ones(3), n)
    return np.asarray(np.log(p))


def test_contextual_calibration_is_zhaos_affine_map() -> None:
    scores, prior = log_probabilities(20, 0), log_probabilities(3, 1)
    p_cf = np.exp(prior).mean(0)
    q = np.exp(scores) @ np.linalg.inv(np.diag(p_cf))  # W p + b with W = diag(p_cf)^-1, b = 0
    q /= q.sum(1, keepdims=True)
    found = np.exp(calibrated(scores, prior))
    np.testing.assert_allclose(found / found.sum(1, keepdims=True), q, rtol=1e-12)


def test_a_prompt_that_always_prefers_one_word_is_put_right() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 400)
    logits = np.stack([np.where(truth == 0, 1.0, 0.0) + 5.0, np.where(truth == 1, 1.0, 0.0)], 1)
    scores = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    assert (scores.argmax(1) == 0).all()
    assert (calibrated(scores, scores[:64]).argmax(1) == truth).all()


def test_equal_preferences_change_nothing() -> None:
    scores = log_probabilities(10, 3)
    prior = np.full((4, 3), np.log(1 / 3))
    assert (calibrated(scores, prior).argmax(1) == scores.argmax(1)).all()


def test_content_free_rows() -> None:
    assert content_free(("a", "b")) == {"a": list(CONTENT_FREE), "b": list(CONTENT_FREE)}
