"""The grid search of Wang et al. 2018: size and number of steps of plain gradient descent, by validation rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from bench.api import Embeddings, UserError
from bench.learners.learned import learned_sgd
from bench.learners.network import Inputs, Network
from bench.learners.recipe import predict
from methods.common import rounded

FILE = "steps.json"
Progress = Callable[[int, int], None]


class Point(NamedTuple):
    """A point of the grid: accuracy and mean cross-entropy on the validation rows, over all heads. None: diverged."""

    learning_rate: float
    epochs: int
    accuracy: float
    loss: float | None


@dataclass(frozen=True)
class Chosen:
    """The best point of a grid, and all that were tried; `validation_rows`: how many they were tried on."""

    point: Point
    grid: tuple[Point, ...]
    validation_rows: int

    def step_sizes(self) -> np.ndarray:
        """Equal step sizes, float32 [epochs]."""
        return constant_steps(self.point.learning_rate, self.point.epochs)

    def diagnostics(self) -> dict[str, Any]:
        """What is kept with a set; each row of `grid` is step size, steps, accuracy, loss (null: diverged)."""
        return {
            "chosen_on": "validation",
            "validation_rows": self.validation_rows,
            "learning_rate": self.point.learning_rate,
            "epochs": self.point.epochs,
            "at_edge_of_grid": self.at_edge(),
            "grid": [list(point) for point in self.grid],
        }

    def at_edge(self) -> list[str]:
        """Those parameters whose largest or smallest value was chosen, so that a wider grid may hold a better point."""
        rates, epochs = {p.learning_rate for p in self.grid}, {p.epochs for p in self.grid}
        found = {
            "learning_rates": len(rates) > 1 and self.point.learning_rate in (min(rates), max(rates)),
            "epochs": len(epochs) > 1 and self.point.epochs in (min(epochs), max(epochs)),
        }
        return [name for name, edge in found.items() if edge]

    def save(self, folder: Path) -> None:
        """Write it into a folder, for `load_steps`."""
        (folder / FILE).write_text(json.dumps(asdict(self), allow_nan=False), encoding="utf-8")


def load_steps(folder: Path) -> Chosen:
    """What `Chosen.save` wrote."""
    content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return Chosen(Point(*content["point"]), tuple(Point(*p) for p in content["grid"]), content["validation_rows"])


def search(
    network: Network,
    inputs: Inputs,
    embeddings: Embeddings,
    validation: Inputs,
    labels: np.ndarray,
    *,
    learning_rates: Sequence[float],
    epochs: Sequence[int],
    heads: Sequence[int],
    progress: Progress = lambda done, total: None,
) -> list[Point]:
    """All points, by step size and then by number of steps. Learners start alike at each of them.

    inputs: the set as the network reads it; validation: prepared, with labels int64 [V]; heads: the learners' seeds.
    """
    prepared, points = network.prepare(inputs), []
    rates, epochs = sorted(set(learning_rates)), sorted(set(epochs))
    for done, rate in enumerate(rates):
        scores = np.zeros((len(heads), len(epochs), 2))
        for learner, seed in enumerate(heads):
            weights: dict[str, Any] = network.initial(torch.Generator().manual_seed(seed))
            before = 0
            for place, steps in enumerate(epochs):
                more = replace(embeddings, step_sizes=constant_steps(rate, steps - before))
                weights, before = learned_sgd(network, weights, prepared, more), steps
                scores[learner, place] = _score(predict(network, weights, validation), labels)
        for steps, (accuracy, loss) in zip(epochs, scores.mean(0).tolist(), strict=True):
            points.append(Point(rate, steps, rounded(accuracy), rounded(loss) if np.isfinite(loss) else None))
        progress(done + 1, len(rates))
    return points


def best(points: Sequence[Point]) -> Point:
    """The highest accuracy, then the lowest loss, then the first. Raises UserError when all learners diverged."""
    finite = [(-point.accuracy, point.loss, number) for number, point in enumerate(points) if point.loss is not None]
    if not finite:
        rates = ", ".join(str(rate) for rate in sorted({point.learning_rate for point in points}))
        raise UserError(f"learning_rates: training diverged with each of {rates}; ask for smaller ones")
    return points[min(finite)[2]]


def constant_steps(rate: float, steps: int) -> np.ndarray:
    """Equal step sizes, float32 [steps]."""
    return np.full(steps, rate, np.float32)


def _score(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Accuracy, and the mean cross-entropy; infinite where a logit is not finite."""
    if not np.isfinite(logits).all():
        return 0.0, np.inf
    loss = functional.cross_entropy(torch.from_numpy(logits).double(), torch.tensor(labels))
    return float((logits.argmax(1) == labels).mean()), float(loss)
