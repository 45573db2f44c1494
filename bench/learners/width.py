"""How many stacked runs a device's memory holds: an estimate, and what was learned where it was too high.

It changes no result beyond rounding, so it is no part of an identity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from bench.learners.network import Inputs, Network

WEIGHT_BYTES = 18  # weight, gradient and AdamW's two moments in float32, and a copy in bfloat16
KEPT_STATES = 40  # float32 numbers of a layer that the way back needs, for each number of a token's state
KEPT_SCORES = 6  # the same for each attention score
SPARE = 0.9  # part of what is free that is given to runs

T = TypeVar("T")


class Width:
    """For one process. `factor` corrects the estimates of all later trainings after one that did not fit."""

    def __init__(self) -> None:
        self.factor = 1.0

    def train(self, wanted: int, bytes_a_run: int, device: str, train: Callable[[int], T]) -> T:
        """`train(runs)` with as many runs as fit, at most `wanted`; half as many after each time they did not.

        Raises torch.OutOfMemoryError where not even one fits.
        """
        room = free_bytes(device)
        runs = wanted if room is None else max(1, min(wanted, int(room / (bytes_a_run * self.factor))))
        while True:
            try:
                return train(runs)
            except torch.OutOfMemoryError:
                if runs == 1:
                    raise
            runs //= 2  # outside the handler, whose error still holds what was allocated
            if room is not None:
                torch.cuda.empty_cache()
                self.factor = room / (bytes_a_run * runs)


def free_bytes(device: str) -> float | None:
    """Memory of a GPU that a training may take; None for a CPU, of which the system knows more."""
    if not device.startswith("cuda"):
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return SPARE * (free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def bytes_a_run(network: Network, inputs: Inputs, batch: int) -> int:
    """About what one of several stacked runs takes when it trains on prepared inputs, or labels others after that."""
    lengths = inputs.lengths()
    n, longest = min(batch, len(lengths)), int(lengths.max())
    layers = network.depth if network.attention is None else network.attention[0]
    heads = network.width // 64 + 1 if network.attention is None else network.attention[1]
    a_layer = n * longest * (KEPT_STATES * network.width + KEPT_SCORES * heads * longest)
    labelling = 3 * 4 * network.width * network.predict_tokens  # the wide part of a layer
    weights = sum(weight.numel() for weight in network.initial.trained.values())
    return WEIGHT_BYTES * weights + 4 * max(layers * a_layer, labelling)
