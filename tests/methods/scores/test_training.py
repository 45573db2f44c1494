"""What a part holds: readings of the pool's train rows at each checkpoint, without dropout, whatever else is made."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from bench.api import Split, TrainData, UserError
from bench.learners.load import load_network
from bench.learners.recipe import Recipe, batches, make_trainer
from bench.learners.seeds import derive
from bench.store.reports import load_report
from methods.scores.checkpoints import load_trainings
from methods.scores.params import CheckpointParams
from methods.scores.parts import TRAINING, parts
from methods.scores.training import make, pool_of, stops
from tests.methods.scores.conftest import SIZES, MakeContext, MakeParams


def test_every_parameter_of_the_trainings_is_in_their_parts() -> None:
    assert set(CheckpointParams.model_fields) == {*TRAINING, "runs"}


def test_stops_are_even_and_end_at_the_end() -> None:
    assert stops(90, 3) == [30, 60, 90]
    assert stops(7, 3) == [2, 4, 7]
    assert stops(3, 3) == [1, 2, 3]


def test_a_pool_takes_whole_classes_or_a_sample() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), [4, 30, 20]))
    assert pool_of(labels, None, 0).tolist() == list(range(54))
    pool = pool_of(labels, 10, 0)
    assert np.bincount(labels[pool]).tolist() == [4, 10, 10]
    assert (np.diff(pool) > 0).all()
    assert pool.tolist() == pool_of(labels, 10, 0).tolist() != pool_of(labels, 10, 1).tolist()


def test_readings_are_those_of_a_training_written_out(
    data: TrainData, make_context: MakeContext, make_params: MakeParams
) -> None:
    """The encoder's dropout is at work in training and not in the readings, which are compared with whole models."""
    p = make_params(pool_rows=6)
    ctx = make_context(data)
    trainings = load_trainings(p, ctx)
    labels = data.train.labels[trainings.rows]
    assert np.bincount(labels).tolist() == [min(6, size) for size in SIZES]
    texts = {"sentence": [data.train.texts["sentence"][row] for row in trainings.rows]}
    assert len(trainings.runs) == 2
    for run, checkpoints in enumerate(trainings.runs):
        network = load_network(Path(p.learner), 3, "cpu", trainable_layers=1, dropout=None, max_length=32, identity={})
        inputs = network.prepare(network.tokenize(texts, ("sentence",)))
        weights = network.initial(torch.Generator().manual_seed(derive(0, "run", run, "head")))
        trainer = make_trainer(weights, network.spared, Recipe(1e-3, steps=4, batch=8), 4)
        drop = network.dropout(derive(0, "run", run, "dropout"))
        order = batches(len(labels), 8, 4, np.random.default_rng(derive(0, "run", run, "order")))
        found = []
        for step, rows in enumerate(order):
            trainer.clear()
            logits = network.logits(weights, network.batch(inputs, rows), drop)
            functional.cross_entropy(logits, torch.from_numpy(labels[rows])).backward()
            trainer.step()
            if step in (1, 3):
                with torch.no_grad():
                    found.append(
                        network.forward(weights, network.batch(inputs, np.arange(len(labels))), network.dropout())
                    )
        assert len(checkpoints) == 2
        for own, output in zip(checkpoints, found, strict=True):
            errors = torch.softmax(output.logits, 1).numpy() - np.eye(3)[labels]
            np.testing.assert_allclose(own.errors, errors, atol=2e-6)
            np.testing.assert_allclose(own.inputs[:, :-1], output.head_input.numpy(), atol=2e-5)
            assert (own.inputs[:, -1] == 1).all()
    first, second = (run[-1].errors for run in trainings.runs)
    assert np.abs(first - second).max() > 1e-3


def test_only_train_rows_are_read_and_runs_do_not_depend_on_each_other(
    data: TrainData, make_context: MakeContext, make_params: MakeParams
) -> None:
    ctx = make_context(data)
    folder = ctx.part(parts(make_params())[1])
    trainings = load_trainings(make_params(runs=3), ctx)
    assert len(trainings.runs) == 3
    for own, values in zip(trainings.runs[1], np.load(folder / "errors.npy"), strict=True):
        assert (own.errors == values).all()
    other = dataclasses.replace(data, validation=Split({"sentence": ["minister"] * 3}, np.array([2, 1, 0])))
    for mine, theirs in zip(trainings.runs[0], load_trainings(make_params(), make_context(other)).runs[0], strict=True):
        assert (mine.errors == theirs.errors).all()


def test_the_report_shows_the_losses(data: TrainData, make_context: MakeContext, make_params: MakeParams) -> None:
    p = make_params(runs=1, steps=6, checkpoints=3)
    ctx = make_context(data)
    (part,) = parts(p)
    report = load_report(ctx.part(part), part.kind)
    assert report is not None
    assert report["curves"]["train loss"]["x"] == report["curves"]["train accuracy"]["x"] == [2, 4, 6]
    assert report["curves"]["batch loss"]["x"] == [1, 2, 3, 4, 5, 6]
    trainings = load_trainings(p, ctx)
    labels = data.train.labels[trainings.rows]
    for number, own in enumerate(trainings.all()):
        right = own.errors + np.eye(3)[labels]
        loss = -np.log(right[np.arange(len(labels)), labels]).mean()
        assert report["curves"]["train loss"]["y"][number] == pytest.approx(loss, rel=1e-4)
        assert report["curves"]["train accuracy"]["y"][number] == pytest.approx((right.argmax(1) == labels).mean())


def test_the_whole_learner_on_all_rows(data: TrainData, make_context: MakeContext, make_params: MakeParams) -> None:
    p = make_params(runs=1, learner_layers=None, pool_rows=None, checkpoints=1)
    ctx = make_context(data)
    (part,) = parts(p)
    report = load_report(ctx.part(part), part.kind)
    assert report is not None
    assert report["facts"]["learner_layers"] == report["facts"]["pool_rows"] == "all"
    assert load_trainings(p, ctx).all()[0].errors.shape == (sum(SIZES), 3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": 1e9, "steps": 30}, r"take a learning_rate below 1000000000\.0"),
        ({"learner_layers": 9}, "learner: learner_layers=9: the model has 4 layers"),
    ],
)
def test_a_learner_that_cannot_serve(
    changes: dict[str, float], said: str, data: TrainData, make_context: MakeContext, make_params: MakeParams
) -> None:
    ctx, (part, other) = make_context(data), parts(make_params(**changes))
    errors = make([part, other], data, ctx)
    assert sorted(errors) == [0, 1]
    assert isinstance(errors[0], UserError)
    with pytest.raises(UserError, match=said):
        raise errors[0]
    assert ctx.find(*ctx.address(part)) is None


def test_a_learner_of_numbers_that_are_none(
    data: TrainData, make_context: MakeContext, make_params: MakeParams, tiny_encoder: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "broken"
    shutil.copytree(tiny_encoder, folder)
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.LayerNorm.weight"][0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="the loss is nan at step 1"):
        load_trainings(make_params(learner=str(folder)), make_context(data))


def test_parts_are_plain_data(make_params: MakeParams) -> None:
    for part in parts(make_params()):
        assert json.loads(json.dumps(dict(part.fields))) == part.fields
