"""The checkpoints of all runs, as the methods read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bench.api import Context
from methods.scores.params import CheckpointParams
from methods.scores.parts import parts


class Checkpoint(NamedTuple):
    """Row i's gradient in the last linear map is the outer product of errors_i and inputs_i."""

    errors: np.ndarray  # float32 [n, C]: softmax - onehot of the n train rows, in their order
    inputs: np.ndarray  # float32 [n, q]: what the last linear map reads, with a one for its bias

    def rows(self, rows: np.ndarray) -> Checkpoint:
        """Those rows, in memory."""
        return Checkpoint(self.errors[rows], self.inputs[rows])


def load_runs(params: CheckpointParams, ctx: Context) -> list[list[Checkpoint]]:
    """The K checkpoints of each of the R runs, in the order of their steps; memory-mapped."""
    runs = []
    for part in parts(params):
        folder = ctx.part(part)
        arrays = (np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in Checkpoint._fields)
        runs.append([Checkpoint(errors, inputs) for errors, inputs in zip(*arrays, strict=True)])
    return runs


def all_of(runs: Sequence[Sequence[Checkpoint]]) -> list[Checkpoint]:
    """The checkpoints of all runs."""
    return [checkpoint for run in runs for checkpoint in run]


def finals(runs: Sequence[Sequence[Checkpoint]]) -> list[Checkpoint]:
    """The last checkpoint of each run."""
    return [run[-1] for run in runs]
