"""Raw against unit-length features for coresets, scored on validation rows: how `normalize` was chosen.

    python benchmarks/coreset_space.py [--tasks all] [--sets 10] [--data-dir DIR]

Mean-pooled MiniLM features; a logistic probe (C = 10, unit-length features) is trained on each set and scored on
the task's validation split. No test row is read. Mean ± std over the sets; herding has one set.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from sklearn.linear_model import LogisticRegression

from bench.api import TrainData
from bench.session import Session
from bench.settings import Settings
from methods.selection import herding_mean, kmeans_medoids


def main() -> None:
    """One line a task and dpc."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="all")
    parser.add_argument("--sets", type=int, default=10)
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()
    session = Session.open(Settings.make(data_dir=arguments.data_dir), tasks=arguments.tasks)
    suite = session.suite
    for choice in suite.tasks:
        data, ctx = session.try_out(choice)
        raw, validation = (np.array(ctx.features(split, "minilm", "mean")) for split in ("train", "validation"))
        for dpc in suite.dpc_for(choice):
            print(compare(data, raw, unit(validation), dpc, arguments.sets), flush=True)


def compare(data: TrainData, raw: np.ndarray, validation: np.ndarray, dpc: int, sets: int) -> str:
    """Validation accuracy of each rule in each space. raw [N, d]: train features; validation [n, d], unit length."""
    labels = data.train.labels
    classes = [data.class_rows(label) for label in range(data.info.n_classes)]
    rng = np.random.default_rng(0)

    def score(pick: Callable[[np.ndarray], np.ndarray]) -> float:
        rows = np.concatenate([pick(mine) for mine in classes])
        probe = LogisticRegression(C=10, max_iter=1000).fit(unit(raw[rows]), labels[rows])
        return 100 * float(probe.score(validation, data.validation.labels))

    def rules(X: np.ndarray) -> str:
        found = [score(lambda mine, i=i: mine[kmeans_medoids(X[mine], dpc, i).indices]) for i in range(sets)]  # type: ignore[misc]
        herding = score(lambda mine: mine[herding_mean(X[mine], dpc)])
        return f"kcenters {np.mean(found):.1f}±{np.std(found):.1f}, herding {herding:.1f}"

    drawn = [score(lambda mine: rng.choice(mine, dpc, replace=False)) for _ in range(sets)]
    start = f"{data.info.label} dpc {dpc}: random {np.mean(drawn):.1f}±{np.std(drawn):.1f}"
    return f"{start} | raw: {rules(raw)} | unit: {rules(unit(raw))}"


def unit(features: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    scaled: np.ndarray = features / np.linalg.norm(features, axis=1, keepdims=True)
    return scaled


if __name__ == "__main__":
    main()
