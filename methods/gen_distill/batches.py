"""Synthetic mini-batches: one sample of each cluster, so that no batch is lopsided (section 2.2 (b) of the paper).

The k-means is the usual one: greedy k-means++ (Arthur and Vassilvitskii 2007; 2 + ln k candidates for each centre,
as in scikit-learn), then Lloyd's iterations. It is written here because the clusters are made anew every I_int
steps and scikit-learn has no GPU; on a CPU both take the same time. The same seed gives the same batches on the
same device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

ITERATIONS = 300
TOLERANCE = 1e-4  # of the features' variance: stop when the centres move by less


def diverse_batches(
    features: np.ndarray, n_clusters: int, n_batches: int, draw: str, seed: int, device: str = "cpu"
) -> np.ndarray:
    """Batches of n_clusters samples, one of each k-means cluster: rows of `features`, int64 [n_batches, n_clusters].

    features: float [n, d], n >= 1. draw="random": uniformly, and none twice until all of its cluster have been
    drawn; "cycle": batch j takes member j mod size, in the order of the rows. Where k-means leaves clusters empty,
    as with fewer distinct samples than clusters, the largest ones are cut in two; n < n_clusters repeats samples.
    """
    n = len(features)
    if n < n_clusters:
        members = [np.array([cluster % n]) for cluster in range(n_clusters)]
    else:
        members = _members(cluster(features, n_clusters, seed, device), n_clusters)
    if draw == "cycle":
        steps = np.arange(n_batches)
        columns = [own[steps % len(own)] for own in members]
    else:
        rng = np.random.default_rng([seed, 1])
        columns = [_shuffled(own, n_batches, rng) for own in members]
    return np.stack(columns, axis=1)


def plain_batches(n: int, size: int, n_batches: int) -> np.ndarray:
    """Batches of consecutive samples 0..n-1, from the start again after the last: int64 [n_batches, size]."""
    return np.arange(n_batches * size).reshape(n_batches, size) % n


def _members(labels: np.ndarray, k: int) -> list[np.ndarray]:
    """The rows of each of k clusters, none of them empty: cut in two the largest for each that is."""
    ends = np.cumsum(np.bincount(labels, minlength=k))
    members = np.split(np.argsort(labels, kind="stable"), ends[:-1])
    for empty in [number for number, own in enumerate(members) if len(own) == 0]:
        largest = max(range(k), key=lambda number: len(members[number]))
        members[largest], members[empty] = np.array_split(members[largest], 2)
    return members


def _shuffled(own: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` members of a cluster: all of them in random order, then again in another."""
    rounds = np.tile(own, (math.ceil(count / len(own)), 1))
    return rng.permuted(rounds, axis=1).ravel()[:count]


def cluster(features: np.ndarray, k: int, seed: int, device: str = "cpu") -> np.ndarray:
    """k-means labels of the rows, int64 [n] in [0, k): features float [n, d], n >= k. Clusters may be empty."""
    with _one_thread():
        X = torch.tensor(features, dtype=torch.float32, device=device)
        X -= X.mean(0)  # distances from products lose fewer digits
        centres = X[_seeds(X, k, np.random.default_rng([seed, 0]))]
        still = TOLERANCE * float(X.var(0, correction=0).mean())
        for _ in range(ITERATIONS):
            labels = _nearest(X, centres)
            moved = _means(X, labels, centres)
            shift, centres = float((moved - centres).square().sum()), moved
            if shift <= still:
                break
        found: np.ndarray = _nearest(X, centres).cpu().numpy()
    return found


def _seeds(X: Tensor, k: int, rng: np.random.Generator) -> Tensor:
    """Rows of the first centres, int64 [at most k]: fewer when all rows lie on those found."""
    candidates = 2 + int(math.log(k))
    squared = X.square().sum(1)
    chosen = [int(rng.integers(len(X)))]
    nearest = _distances(X, squared, torch.tensor(chosen, device=X.device))[:, 0]
    while len(chosen) < k:
        weights = np.cumsum(nearest.cpu().numpy(), dtype=np.float64)  # CUDA's running sum has no fixed order
        if weights[-1] == 0:
            break
        drawn = np.searchsorted(weights, rng.random(candidates) * weights[-1], side="right")
        rows = torch.from_numpy(drawn.clip(max=len(X) - 1)).to(X.device)
        closer = torch.minimum(nearest[:, None], _distances(X, squared, rows))
        best = int(closer.sum(0).argmin())
        nearest = closer[:, best]
        chosen.append(int(drawn[best]))
    return torch.tensor(chosen, device=X.device)


def _distances(X: Tensor, squared: Tensor, rows: Tensor) -> Tensor:
    """Squared distances of all rows to some, [n, len(rows)]."""
    found = torch.addmm(squared[:, None] + squared[rows], X, X[rows].T, alpha=-2.0).clamp_min_(0.0)
    found[rows, torch.arange(len(rows), device=X.device)] = 0.0
    return found


def _nearest(X: Tensor, centres: Tensor) -> Tensor:
    """The nearest centre of each row, int64 [n]."""
    return torch.addmm(centres.square().sum(1), X, centres.T, alpha=-2.0).argmin(1)


def _means(X: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
    """Means of the clusters; an empty one keeps its centre."""
    k = len(centres)
    sizes = torch.bincount(labels, minlength=k)[:, None]
    if X.device.type == "cpu":
        sums = torch.zeros_like(centres).index_add_(0, labels, X)
    else:  # atomic additions have no fixed order
        sums = functional.one_hot(labels, k).to(X).T @ X
    return torch.where(sizes > 0, sums / sizes.clamp_min(1), centres)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in an order that does not depend on the machine's cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
