"""The built-in methods as the engine calls them: real contexts, a tiny encoder, single texts and pairs."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.cluster  # noqa: F401  # its first import draws from the global `random`, once a process

from bench import plugins
from bench.api import DistilledSet, Method, Split, TaskInfo, TrainData, UserError
from bench.data.assets import Assets
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.work.context import JobContext
from methods.common import Pool, class_features
from methods.plugin import bench_methods
from methods.selection import distance_to_nearest, herding_mean, herding_welling, k_center_greedy, kmeans_medoids

SPECS = {spec.name: spec for spec in bench_methods()}
WORDS = ["the", "film", "is", "great", "dull", "team", "won", "profit", "fell", "xyz", "band", "not", "very"]
SIZES = {"low": 12, "mid": 30, "high": 21}  # rows of each class
VARIANTS = [
    ("random", {}),
    ("kcenters", {}),
    ("kcenters", {"pooling": "mean"}),
    ("kcenters", {"pooling": "mean", "normalize": True}),
    ("kcenter-greedy", {}),
    ("kcenter-greedy", {"start": "mean"}),
    ("herding", {}),
    ("herding", {"variant": "welling"}),
    ("vote-k", {"neighbours": 4}),
    ("dpp", {}),
    ("dpp", {"start": "mean"}),
]


def train_data(fields: tuple[str, ...] = ("text",), seed: int = 0) -> TrainData:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(SIZES)), list(SIZES.values())))
    texts = {
        field: [" ".join(rng.choice(WORDS, size=rng.integers(2, 9))) for _ in range(len(labels))] for field in fields
    }
    info = TaskInfo("toy", fields, tuple(SIZES))
    validation = Split({field: ["the film"] * 3 for field in fields}, np.arange(3))
    return TrainData(info, Split(texts, labels), validation)


class Bench:
    """Runs a method the way a distil job does."""

    def __init__(self, encoder: Path, cache: Path) -> None:
        self.encoder = str(encoder)
        self.assets = Assets({}, Settings.make(cache=cache))
        self.artifacts = Artifacts(cache)

    def context(self, data: TrainData, seed: int = 0) -> JobContext:
        identity = {"labels": data.train.labels.tolist(), "texts": dict(data.train.texts)}
        return JobContext(self.assets, self.artifacts, seed=seed, data=data, task_identity=identity)

    def method(self, name: str, params: dict[str, Any]) -> Method:
        spec = SPECS[name]
        encoder = {"encoder": self.encoder} if "encoder" in spec.params.model_fields else {}
        return plugins.load(self.assets.settings).build(spec, spec.params(**encoder, **params))

    def distill(
        self, data: TrainData, name: str, params: dict[str, Any] | None = None, dpc: int | None = 4, seed: int = 0
    ) -> DistilledSet:
        return self.method(name, params or {}).distill(data, dpc, self.context(data, seed))


@pytest.fixture
def engine(tiny_encoder: Path, tmp_path: Path) -> Bench:
    return Bench(tiny_encoder, tmp_path)


@pytest.mark.parametrize(("name", "params"), VARIANTS)
@pytest.mark.parametrize("fields", [("text",), ("premise", "hypothesis")])
def test_a_set_of_real_rows(engine: Bench, name: str, params: dict[str, Any], fields: tuple[str, ...]) -> None:
    data = train_data(fields)
    got = engine.distill(data, name, params)
    assert got.rows is not None
    assert got.texts is not None
    assert len(set(got.rows.tolist())) == len(got) == 12
    assert got.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert data.train.labels[got.rows].tolist() == got.labels.tolist()
    assert list(got.texts) == list(fields)
    for field in fields:
        assert got.texts[field] == [data.train.texts[field][row] for row in got.rows]
    json.dumps(got.diagnostics, allow_nan=False)


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_seeds(engine: Bench, name: str, params: dict[str, Any]) -> None:
    data = train_data()
    rows = [tuple(engine.distill(data, name, params, seed=seed).rows) for seed in (5, 6, 7, 5)]
    assert rows[0] == rows[3]
    if SPECS[name].one_set(SPECS[name].params(**params)):
        assert len(set(rows)) == 1
    else:
        assert len(set(rows)) > 1


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_a_class_is_drawn_alike_whatever_the_other_classes(engine: Bench, name: str, params: dict[str, Any]) -> None:
    """Renumbering the classes, or doing without one, changes nothing for the rest."""
    data = train_data()
    flipped = replace(
        data,
        info=replace(data.info, label_names=data.info.label_names[::-1]),
        train=replace(data.train, labels=2 - data.train.labels),
    )
    keep = np.flatnonzero(data.train.labels > 0)
    fewer = TrainData(
        replace(data.info, label_names=data.info.label_names[1:]),
        Split({"text": [data.train.texts["text"][row] for row in keep]}, data.train.labels[keep] - 1),
        data.validation,
    )

    def texts_by_class(source: TrainData) -> dict[str, list[str]]:
        got = engine.distill(source, name, params)
        assert got.texts is not None
        return {
            label: [got.texts["text"][row] for row in np.flatnonzero(got.labels == index)]
            for index, label in enumerate(source.info.label_names)
        }

    straight = texts_by_class(data)
    assert texts_by_class(flipped) == straight
    assert texts_by_class(fewer) == {label: straight[label] for label in ("mid", "high")}


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_global_generators_are_left_alone(engine: Bench, name: str, params: dict[str, Any]) -> None:
    import torch

    def state() -> tuple[object, bytes, bytes]:
        return random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()

    data, before = train_data(), state()
    first = engine.distill(data, name, params).rows
    assert state() == before
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    assert engine.distill(data, name, params).rows.tolist() == first.tolist()


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_whole_classes(engine: Bench, name: str, params: dict[str, Any]) -> None:
    data = train_data()
    got = engine.distill(data, name, params, dpc=12)
    assert sorted(got.rows[got.labels == 0].tolist()) == data.class_rows(0).tolist()


@pytest.mark.parametrize(("name", "params"), VARIANTS)
@pytest.mark.parametrize(("dpc", "rows"), [(13, 12), (31, 12)])
def test_a_class_too_small(engine: Bench, name: str, params: dict[str, Any], dpc: int, rows: int) -> None:
    with pytest.raises(UserError, match=rf"class 'low' of task 'toy' has {rows} train rows, fewer than dpc {dpc}"):
        engine.distill(train_data(), name, params, dpc=dpc)


@pytest.mark.parametrize("dpc", [0, -1, None])
def test_an_impossible_dpc(engine: Bench, dpc: int | None) -> None:
    with pytest.raises(UserError, match="dpc must be 1 or more"):
        engine.distill(train_data(), "random", dpc=dpc)


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_identical_texts(engine: Bench, name: str, params: dict[str, Any]) -> None:
    data = train_data()
    data = replace(data, train=replace(data.train, texts={"text": ["the same film"] * len(data.train)}))
    got = engine.distill(data, name, params)
    assert len(set(got.rows.tolist())) == 12
    if name in {"kcenters", "dpp"}:
        assert got.diagnostics["filled"] == 9  # one distinct point a class, four asked for


def test_methods_apply_their_rule_to_the_features_of_each_class(engine: Bench) -> None:
    data = train_data()
    ctx = engine.context(data, seed=3)
    for pooling in ("cls", "mean"):
        features = np.array(ctx.features("train", engine.encoder, pooling))
        for label, name in enumerate(SIZES):
            rows = data.class_rows(label)
            X = features[rows]
            start = int(ctx.rng("start", name).integers(len(rows)))
            expected = {
                ("kcenters", ()): kmeans_medoids(X, 4, ctx.derive("kmeans", name)).indices,
                ("kcenter-greedy", ()): k_center_greedy(X, 4, start),
                ("herding", ()): herding_mean(X, 4),
                ("herding", (("variant", "welling"),)): herding_welling(X, 4, repeats=False),
            }
            for (method, params), indices in expected.items():
                got = engine.distill(data, method, {"pooling": pooling, **dict(params)}, seed=3)
                assert got.rows[got.labels == label].tolist() == rows[indices].tolist()
                mean = distance_to_nearest(X, indices).mean()
                assert got.diagnostics["mean_distance"][label] == pytest.approx(mean, abs=1e-5)


def test_normalize_compares_directions() -> None:
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((20, 3)) * rng.uniform(0.1, 9, (20, 1))).astype(np.float32)
    features[4] = 0
    kept = features.copy()
    pool = Pool(0, "low", np.arange(2, 18), 4)
    raw, unit = (class_features(features, pool, normalize) for normalize in (False, True))
    np.testing.assert_array_equal(raw, features[2:18])
    lengths = np.linalg.norm(raw, axis=1)
    np.testing.assert_allclose(unit * lengths[:, None], raw, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), [0 if row == 4 else 1 for row in pool.rows], rtol=1e-5)
    assert herding_mean(raw, 4).tolist() != herding_mean(unit, 4).tolist()
    np.testing.assert_array_equal(features, kept)  # they belong to the cache


def test_diagnostics_say_how_well_the_class_is_covered(engine: Bench) -> None:
    data = train_data()
    spread = engine.distill(data, "kcenter-greedy", dpc=10).diagnostics
    few = engine.distill(data, "kcenter-greedy", dpc=2).diagnostics
    assert all(many < less for many, less in zip(spread["radius"], few["radius"], strict=True))
    assert all(0 < mean <= top for mean, top in zip(few["mean_distance"], few["radius"], strict=True))
    assert engine.distill(data, "herding", dpc=12).diagnostics["mean_error"][0] == pytest.approx(0, abs=1e-6)


def test_features_are_computed_once_for_all_methods(engine: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.data import features

    calls: list[int] = []
    real = features.encode
    monkeypatch.setattr(features, "encode", lambda *args, **options: calls.append(1) or real(*args, **options))
    for name, params in VARIANTS:
        engine.distill(train_data(), name, params)
    assert len(calls) == 1


def test_random_draws_uniformly_without_replacement(engine: Bench) -> None:
    data = train_data()
    counts = np.zeros(len(data.train))
    for seed in range(400):
        counts[engine.distill(data, "random", dpc=3, seed=seed).rows] += 1
    for label, size in enumerate(SIZES.values()):
        share = counts[data.class_rows(label)] / 400
        assert share.sum() == pytest.approx(3)
        assert np.abs(share - 3 / size).max() < 5 * np.sqrt(3 / size / 400)


def test_shuffled_labels_are_the_rows_of_random_with_other_labels(engine: Bench) -> None:
    data, kept = train_data(), []
    for seed in range(60):
        got, plain = (engine.distill(data, name, dpc=4, seed=seed) for name in ("shuffled-labels", "random"))
        assert sorted(got.texts["text"]) == sorted(plain.texts["text"])
        assert got.labels.tolist() == plain.labels.tolist() == np.repeat(np.arange(3), 4).tolist()
        assert got.rows is None
        kept.append(got.diagnostics["kept"])
    assert np.mean(kept) == pytest.approx(4, abs=0.8)  # of 12 rows a third keeps its label by chance
    rows = dict(zip(data.train.texts["text"], data.train.labels, strict=True))
    got = engine.distill(data, "shuffled-labels", dpc=4, seed=1)
    assert [rows[text] for text in got.texts["text"]] != got.labels.tolist()


def test_zero_shot_is_the_empty_set(engine: Bench) -> None:
    got = engine.distill(train_data(("first", "second")), "zero-shot", dpc=None)
    assert (len(got), got.texts) == (0, {"first": [], "second": []})


def test_full_takes_everything_and_needs_no_dpc(engine: Bench) -> None:
    data = train_data()
    got = engine.distill(data, "full", dpc=None)
    assert sorted(got.rows.tolist()) == list(range(len(data.train)))
    assert np.all(np.diff(got.labels) >= 0)
    assert not SPECS["full"].uses_dpc


def test_features_that_are_not_finite_are_refused(engine: Bench, tiny_encoder: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel

    folder = tmp_path / "broken"
    shutil.copytree(tiny_encoder, folder)
    model = AutoModel.from_pretrained(folder)
    with torch.no_grad():
        model.embeddings.LayerNorm.weight[0] = float("nan")
    model.save_pretrained(folder)
    engine.encoder = str(folder)
    with pytest.raises(UserError, match="NaN or infinite features for class 'low'"):
        engine.distill(train_data(), "kcenters")
