"""The k-means of diverse batches against scikit-learn's, one thread: CPU seconds and inertia, mean over three seeds.

    python benchmarks/clusters.py

Features are those of `bbc` train rows (MiniLM, [CLS]), with noise where more rows are needed than there are. Sizes: a
class of the pocket suite at one sampling (320 rows, k=32), and of the paper's (12,800 rows, k=64; 768 wide by joining
two rows). Both use greedy k-means++, at most 300 iterations and a tolerance of 1e-4 of the variance.
"""

from __future__ import annotations

import os
import time
import warnings

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from gen_distill import load
from sklearn.cluster import KMeans

from methods.gen_distill.batches import cluster

SEEDS = 3


def inertia(X: np.ndarray, labels: np.ndarray) -> float:
    """Sum of squared distances to the means of the clusters."""
    X = X.astype(np.float64)
    return float(sum(((X[labels == label] - X[labels == label].mean(0)) ** 2).sum() for label in np.unique(labels)))


def main() -> None:
    """A line a size and way."""
    warnings.simplefilter("ignore")
    _, ctx = load()
    features = np.array(ctx.features("train", "minilm", "cls"))
    rng = np.random.default_rng(0)
    for n, width, k in ((320, 384, 32), (12_800, 384, 64), (12_800, 768, 64)):
        X = np.hstack([features[rng.integers(len(features), size=n)] for _ in range(width // features.shape[1])])
        if n > len(features):
            X = X + rng.normal(0, 0.05 * features.std(), X.shape).astype(np.float32)
        ways = {
            "bench": lambda X, seed, k=k: cluster(X, k, seed),
            "scikit-learn": lambda X, seed, k=k: KMeans(k, n_init=1, random_state=seed).fit_predict(X),
        }
        for name, way in ways.items():
            way(X[: 2 * k], 0)
            started = time.process_time()
            labels = [way(X, seed) for seed in range(SEEDS)]
            spent = (time.process_time() - started) / SEEDS
            found = [inertia(X, some) for some in labels]
            print(f"{n:6d} x {width}, k={k}: {name:12s} {spent:6.3f} s, inertia {np.mean(found):.5g}", flush=True)


if __name__ == "__main__":
    main()
