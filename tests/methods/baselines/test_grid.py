"""The grid search: each point against training in one go, and a best point that is planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from bench.api import Embeddings, TrainData, UserError
from bench.learners.bert import BertNetwork
from bench.learners.embedded import Embedded
from bench.learners.learned import learned_sgd
from bench.learners.network import Inputs
from bench.learners.recipe import predict
from methods.baselines.grid import Chosen, Point, best, load_steps, search

RATES, EPOCHS = (0.03, 0.3), (1, 3, 6)


@pytest.fixture
def embeddings(network: BertNetwork) -> Embeddings:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((6, 4, network.width)).astype(np.float32)
    return Embeddings(values, np.ones((6, 4), np.int64), np.eye(3, dtype=np.float32)[[0, 1, 2] * 2], "tiny", layer=2)


@pytest.fixture
def validation(network: BertNetwork, data: TrainData) -> Inputs:
    return network.prepare(network.tokenize(data.validation.texts, data.info.fields))


def inputs(embeddings: Embeddings) -> Inputs:
    return Embedded(embeddings.inputs_embeds, embeddings.attention_mask).packed()


def at_once(
    network: BertNetwork, embeddings: Embeddings, validation: Inputs, rate: float, epochs: int, head: int
) -> np.ndarray:
    """Logits [V, C] of a learner that takes all steps in one call."""
    steps = Embeddings(**{**vars(embeddings), "step_sizes": np.full(epochs, rate, np.float32)})
    weights = network.initial(torch.Generator().manual_seed(head))
    return predict(network, learned_sgd(network, weights, inputs(embeddings), steps), validation)


def test_points_are_what_learners_reach_from_fresh_heads(
    network: BertNetwork, embeddings: Embeddings, validation: Inputs, data: TrainData
) -> None:
    labels, heads = data.validation.labels, (4, 9)
    points = search(
        network, inputs(embeddings), embeddings, validation, labels, learning_rates=RATES, epochs=EPOCHS, heads=heads
    )
    assert [(point.learning_rate, point.epochs) for point in points] == [(r, e) for r in RATES for e in EPOCHS]
    for point in points:
        found = [at_once(network, embeddings, validation, point.learning_rate, point.epochs, head) for head in heads]
        losses = [functional.cross_entropy(torch.tensor(each), torch.tensor(labels)) for each in found]
        assert point.accuracy == pytest.approx(np.mean([(each.argmax(1) == labels).mean() for each in found]), abs=1e-6)
        assert point.loss == pytest.approx(float(np.mean(losses)), abs=1e-5)
    assert len({point.loss for point in points}) == len(points)


@pytest.mark.parametrize(("rate", "epochs"), [(0.03, 1), (0.3, 3), (0.3, 6)])
def test_the_point_whose_answers_are_the_labels_is_chosen(
    rate: float, epochs: int, network: BertNetwork, embeddings: Embeddings, validation: Inputs
) -> None:
    wanted = at_once(network, embeddings, validation, rate, epochs, 4)
    others = [at_once(network, embeddings, validation, r, e, 4).argmax(1) for r in RATES for e in EPOCHS]
    points = search(
        network,
        inputs(embeddings),
        embeddings,
        validation,
        wanted.argmax(1),
        learning_rates=RATES,
        epochs=EPOCHS,
        heads=(4,),
    )
    assert sum((each == wanted.argmax(1)).all() for each in others) == 1  # no other point gives these answers
    assert best(points)[:3] == (rate, epochs, 1.0)


def test_ties_go_to_the_lower_loss_and_then_to_the_first() -> None:
    points = [Point(0.1, 1, 0.7, 1.0), Point(0.1, 3, 0.9, 0.8), Point(0.3, 1, 0.9, 0.5), Point(0.3, 3, 0.9, 0.5)]
    assert best(points) == points[2]
    assert best([*points, Point(0.5, 1, 1.0, None)]) == points[2]


def test_a_grid_in_which_all_diverges_is_refused(
    network: BertNetwork, embeddings: Embeddings, validation: Inputs, data: TrainData
) -> None:
    def tried(*rates: float) -> list[Point]:
        labels = data.validation.labels
        return search(
            network, inputs(embeddings), embeddings, validation, labels, learning_rates=rates, epochs=(3,), heads=(0,)
        )

    points = tried(1e30, 0.01)
    assert [point.loss is None for point in points] == [False, True]
    assert best(points).learning_rate == 0.01
    with pytest.raises(UserError, match=r"learning_rates: training diverged with each of 1e\+20, 1e\+30"):
        best(tried(1e30, 1e20))


def test_the_edge_of_a_grid_is_named_and_a_choice_is_kept(tmp_path: object) -> None:
    from pathlib import Path

    grid = tuple(Point(rate, epochs, 0.5, None) for rate in (0.1, 0.2, 0.3) for epochs in (1, 2, 3))
    edges = {
        (0.1, 2): ["learning_rates"],
        (0.3, 1): ["learning_rates", "epochs"],
        (0.2, 3): ["epochs"],
        (0.2, 2): [],
    }
    for (rate, epochs), edge in edges.items():
        chosen = Chosen(Point(rate, epochs, 0.5, 1.0), grid, 7)
        assert chosen.at_edge() == chosen.diagnostics()["at_edge_of_grid"] == edge
        chosen.save(Path(str(tmp_path)))
        assert load_steps(Path(str(tmp_path))) == chosen
    assert Chosen(Point(0.1, 1, 0.5, 1.0), (Point(0.1, 1, 0.5, 1.0),), 7).at_edge() == []
    np.testing.assert_array_equal(chosen.step_sizes(), np.full(2, 0.2, np.float32))
