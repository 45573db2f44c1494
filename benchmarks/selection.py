"""Speed of herding and k-center greedy against the plain loop over all rows and dimensions, in one run.

    python benchmarks/selection.py [--rows 20000] [--width 384] [--k 20]

The plain ways follow the formulas: ||s + x_j - i mu|| and min over selected ||x_j - x_s|| computed anew in each
step with numpy, row by row for the "loop", whole-array for the "array". The loop is timed on 1/20 of the rows and
scaled. All ways must select the same rows.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from methods.selection import herding_mean, k_center_greedy


def herding_loop(X: np.ndarray, k: int) -> list[int]:
    """Step by step, row by row."""
    mu, total = X.mean(0), np.zeros(X.shape[1])
    picked: list[int] = []
    for step in range(1, k + 1):
        best, where = np.inf, -1
        for row in range(len(X)):
            if row not in picked:
                cost = float(np.linalg.norm(total + X[row] - step * mu))
                if cost < best:
                    best, where = cost, row
        picked.append(where)
        total += X[where]
    return picked


def herding_array(X: np.ndarray, k: int) -> list[int]:
    """Step by step, all rows at once."""
    mu, total = X.mean(0), np.zeros(X.shape[1])
    picked: list[int] = []
    for step in range(1, k + 1):
        cost = np.linalg.norm(total + X - step * mu, axis=1)
        cost[picked] = np.inf
        picked.append(int(cost.argmin()))
        total += X[picked[-1]]
    return picked


def k_center_loop(X: np.ndarray, k: int) -> list[int]:
    """Step by step, row by row, distances to all selected rows anew."""
    picked = [0]
    while len(picked) < k:
        distance = [min(float(np.linalg.norm(row - X[other])) for other in picked) for row in X]
        picked.append(int(np.argmax(distance)))
    return picked


def k_center_array(X: np.ndarray, k: int) -> list[int]:
    """Step by step, all rows at once, the smallest distance kept."""
    picked = [0]
    distance = np.linalg.norm(X - X[0], axis=1)
    while len(picked) < k:
        picked.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(X - X[picked[-1]], axis=1))
    return picked


def timed(select: Callable[[], object]) -> tuple[float, list[int]]:
    """Median CPU seconds of three calls, and the rows."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        rows = select()
        seconds.append(time.process_time() - start)
    return float(np.median(seconds)), np.asarray(rows).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--k", type=int, default=20)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((arguments.rows, arguments.width)) + 0.5).astype(np.float32)
    exact, few = features.astype(np.float64), features[: max(arguments.k, arguments.rows // 20)].astype(np.float64)
    share = len(few) / len(features)
    print(f"{arguments.rows} x {arguments.width} float32, k = {arguments.k}")
    for name, ours, loop, array in (
        ("herding", herding_mean, herding_loop, herding_array),
        ("k-center greedy", lambda X, k: k_center_greedy(X, k, 0), k_center_loop, k_center_array),
    ):
        own, rows = timed(lambda: ours(features, arguments.k))  # noqa: B023
        whole, same = timed(lambda: array(exact, arguments.k))  # noqa: B023
        start = time.process_time()
        few_rows = loop(few, arguments.k)
        slow = (time.process_time() - start) / share
        if rows != same or few_rows != np.asarray(ours(few, arguments.k)).tolist():
            raise SystemExit(f"{name}: the ways select different rows")
        print(f"{name:16s} ours {own:.3f} s, array {whole:.3f} s (x{whole / own:.1f}), ", end="")
        print(f"loop {slow:.1f} s (x{slow / own:.0f})")


if __name__ == "__main__":
    main()
