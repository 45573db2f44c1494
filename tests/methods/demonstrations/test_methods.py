"""`vote-k` and `dpp` as the engine calls them. What they share with other selections is in tests/methods."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from bench.api import Split, UserError
from bench.params import validate
from bench.work.context import JobContext
from methods.demonstrations.determinant import greedy_map
from methods.demonstrations.voting import fast_vote_k, nearest_rows
from methods.selection import distance_to_nearest, nearest
from tests.methods.test_methods import SIZES, SPECS, Bench, engine, train_data  # noqa: F401  a fixture

VOTE_K, DPP = SPECS["vote-k"], SPECS["dpp"]


def unit(X: np.ndarray) -> np.ndarray:
    X = X.astype(np.float64)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


class Changed(JobContext):
    """A context whose features differ by a factor a row, or by noise."""

    def __init__(self, ctx: JobContext, factor: float = 1.0, noise: float = 0.0) -> None:
        self.__dict__.update(vars(ctx))
        self.factor, self.noise = factor, noise

    def features(self, *words: Any, **more: Any) -> np.ndarray:
        rng = np.random.default_rng(0)
        X = np.array(super().features(*words, **more))
        X = X * self.factor ** rng.integers(0, 3, (len(X), 1)) * (1 + self.noise * rng.standard_normal(X.shape))
        return X.astype(np.float32)


def test_they_apply_their_rule_to_the_directions_of_each_class(engine: Bench) -> None:  # noqa: F811
    data = train_data()
    ctx = engine.context(data, seed=3)
    for pooling in ("cls", "mean"):
        features = np.array(ctx.features("train", engine.encoder, pooling))
        for label, name in enumerate(SIZES):
            rows = data.class_rows(label)
            X = unit(features[rows])
            graph = nearest_rows(X, 5)
            votes = fast_vote_k(graph, 4)
            random = greedy_map(X, 4, int(ctx.rng("start", name).integers(len(rows))))
            central = greedy_map(X, 4, nearest(X, X.mean(0)))
            expected: list[tuple[str, dict[str, Any], np.ndarray]] = [
                ("vote-k", {"neighbours": 5}, votes),
                ("dpp", {}, random.indices),
                ("dpp", {"start": "mean"}, central.indices),
            ]
            for method, params, indices in expected:
                got = engine.distill(data, method, {"pooling": pooling, **params}, seed=3)
                assert got.rows is not None
                assert got.rows[got.labels == label].tolist() == rows[indices].tolist()
                mean = distance_to_nearest(X, indices).mean()
                assert got.diagnostics["mean_distance"][label] == pytest.approx(mean, abs=1e-5)
                if method == "vote-k":
                    voters = [row in votes or bool(set(votes) & set(graph[row])) for row in range(len(rows))]
                    assert got.diagnostics["covered"][label] == pytest.approx(np.mean(voters), abs=1e-6)
                elif params:
                    kernel = (1 + X[indices] @ X[indices].T) / 2
                    log_det = np.linalg.slogdet(kernel)[1]
                    assert got.diagnostics["mean_log_gain"][label] == pytest.approx(log_det / 4, abs=1e-4)


@pytest.mark.parametrize(("name", "params"), [("vote-k", {"neighbours": 4}), ("dpp", {}), ("dpp", {"start": "mean"})])
@pytest.mark.parametrize("change", [{"factor": 8.0}, {"factor": 3.0}, {"noise": 1e-7}])
def test_neither_lengths_nor_rounding_errors_of_features_count(
    engine: Bench,  # noqa: F811
    name: str,
    params: dict[str, Any],
    change: dict[str, float],
) -> None:
    data = train_data()
    words = list(dict.fromkeys(data.train.texts["text"]))  # repeated texts tie, and noise may tell them apart
    rows = [data.train.texts["text"].index(word) for word in words]
    data = replace(data, train=Split({"text": words}, data.train.labels[rows]))
    ctx = engine.context(data, seed=1)
    plain = engine.method(name, params).distill(data, 3, ctx).rows
    changed = engine.method(name, params).distill(data, 3, Changed(ctx, **change)).rows
    assert plain is not None
    assert changed is not None
    assert changed.tolist() == plain.tolist()


@pytest.mark.parametrize(
    ("neighbours", "said"),
    [
        (10, ""),
        (
            11,
            "has 12 train rows: with neighbours=11 each row votes for all others, .*vote-k\\[neighbours=10\\] or less",
        ),
        (150, "class 'low' of task 'toy' has 12 train rows: with neighbours=150 "),
    ],
)
def test_a_class_in_which_all_vote_for_all_is_refused(engine: Bench, neighbours: int, said: str) -> None:  # noqa: F811
    data = train_data()
    if not said:
        assert len(engine.distill(data, "vote-k", {"neighbours": neighbours})) == 12
        return
    with pytest.raises(UserError, match=said):
        engine.distill(data, "vote-k", {"neighbours": neighbours})


def test_a_class_of_two_rows_has_no_votes_to_count(engine: Bench) -> None:  # noqa: F811
    data = train_data()
    keep = np.concatenate([data.class_rows(0)[:2], data.class_rows(1), data.class_rows(2)])
    train = Split({"text": [data.train.texts["text"][row] for row in keep]}, data.train.labels[keep])
    with pytest.raises(UserError, match=r"has 2 train rows: .* take another method"):
        engine.distill(replace(data, train=train), "vote-k", {"neighbours": 1}, dpc=1)


def test_what_is_filled_is_counted(engine: Bench) -> None:  # noqa: F811
    data = train_data()
    texts = ["the film"] * len(data.train)
    for row, text in zip(data.class_rows(1)[:3], ("is great", "team won", "profit fell"), strict=True):
        texts[row] = text
    got = engine.distill(replace(data, train=replace(data.train, texts={"text": texts})), "dpp", dpc=5)
    assert got.diagnostics["filled"] == 4 + 1 + 4
    assert got.diagnostics["mean_log_gain"][0] == 0
    assert str(got.diagnostics["mean_log_gain"][0]) == "0.0"
    assert got.diagnostics["mean_log_gain"][1] < 0


def test_parameters() -> None:
    assert (
        VOTE_K.params().model_dump().items() >= {"neighbours": 150, "normalize": True, "encoder": "bert-base"}.items()
    )
    assert DPP.params(normalize=True, start="mean").model_dump()["normalize"] is True
    for spec in (VOTE_K, DPP):
        with pytest.raises(UserError, match="parameter 'normalize' is False, but must be True"):
            validate(spec, {"normalize": False})
    with pytest.raises(ValidationError):
        VOTE_K.params(neighbours=0)
    assert VOTE_K.one_set(VOTE_K.params())
    assert not DPP.one_set(DPP.params())
    assert DPP.one_set(DPP.params(start="mean"))
