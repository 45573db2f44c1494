"""Batches under a budget of padded tokens. Which rows meet in a batch decides the order of float sums."""

from __future__ import annotations

import numpy as np


def longest_first(lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """Split rows into batches of like length, the longest first; rows x longest <= budget, but at least one row."""
    order = np.argsort(-lengths, kind="stable")
    out = []
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, int(lengths[order[start]])))
        out.append(order[start : start + size])
        start += size
    return out


def shortest_first(lengths: np.ndarray, budget: int, padded_to: int | None = None) -> list[np.ndarray]:
    """The same, the shortest first. padded_to: the length of every padded row; None: that of its batch's longest."""
    found: list[list[int]] = []
    for row in np.argsort(lengths, kind="stable"):
        if not found or (len(found[-1]) + 1) * (padded_to or int(lengths[row])) > budget:
            found.append([])
        found[-1].append(int(row))
    return [np.array(rows) for rows in found]
