"""The real all-MiniLM-L6-v2, out of its pinned wheel: slow, needs the wheel in the cache or a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import DistilledSet, Queries, TaskInfo
from bench.data.assets import Assets
from bench.learners.load import load_network
from bench.learners.recipe import Recipe, fit, predict
from bench.learners.whole import WholeNetwork
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.work.context import JobContext
from students.encoder import EncoderStudent, targets
from students.params import EncoderParams, ProbeParams
from students.plugin import bench_assets
from students.probe import ProbeStudent

pytestmark = pytest.mark.slow

TRAIN = {
    "The striker scored twice in the second half of the final.": 0,
    "Their goalkeeper was injured before the cup tie.": 0,
    "The champion won her third title on clay this year.": 0,
    "Profits rose by a tenth as the bank cut its costs.": 1,
    "Shares in the oil company fell after the takeover bid.": 1,
    "The central bank kept interest rates where they were.": 1,
}
TEST = {
    "The coach praised his players after the match.": 0,
    "He broke the world record in the 100 metres.": 0,
    "A late goal decided the league.": 0,
    "The currency lost value against the dollar.": 1,
    "Inflation slowed and the economy grew.": 1,
    "Investors sold their stakes in the airline.": 1,
}
INFO = TaskInfo("test", ("text",), ("sport", "business"))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> JobContext:
    """On the user's asset cache, so that the wheel is fetched once; artifacts go to a temporary folder."""
    assets = Assets({asset.name: asset for asset in bench_assets()}, Settings.make())
    artifacts = Artifacts(tmp_path_factory.mktemp("artifacts"))
    queries = Queries(INFO, {"text": list(TEST)})
    return JobContext(assets, artifacts, seed=1, data=queries, task_identity={"task": "test"})


DISTILLED = DistilledSet(np.array(list(TRAIN.values())), {"text": list(TRAIN)})
QUERIES = Queries(INFO, {"text": list(TEST)})


def test_both_students_tell_sport_from_business(context: JobContext) -> None:
    gold = np.array(list(TEST.values()))
    for student in (EncoderStudent(EncoderParams(model="minilm", trainable_layers=2)), ProbeStudent(ProbeParams())):
        first = student.predict(DISTILLED, QUERIES, context)
        assert (first == gold).mean() >= 5 / 6
        np.testing.assert_array_equal(student.predict(DISTILLED, QUERIES, context), first)


def test_explicit_layers_equal_the_whole_model(context: JobContext) -> None:
    torch.set_num_threads(1)
    folder: Path = context.asset("minilm")
    found = []
    for whole in (False, True):
        network = (
            WholeNetwork(folder, 2, "cpu", trainable_layers=2, dropout=0.0, max_length=512)
            if whole
            else load_network(folder, 2, "cpu", trainable_layers=2, dropout=0.0, max_length=512, identity={"test": 1})
        )
        weights = network.initial(torch.Generator().manual_seed(0))
        inputs, test = (
            network.prepare(network.tokenize(texts, ("text",))) for texts in ({"text": list(TRAIN)}, QUERIES.texts)
        )
        before = predict(network, weights, inputs)
        fit(network, weights, inputs, targets(DISTILLED), Recipe(steps=20), network.dropout(), np.random.default_rng(0))
        found.append((before, predict(network, weights, test)))
    (mine, trained), (theirs, expected) = found
    np.testing.assert_allclose(mine, theirs, atol=1e-5)
    np.testing.assert_allclose(trained, expected, atol=1e-3)
