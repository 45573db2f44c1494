"""The trainings of the learner, as the methods read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.api import Context, TrainData, UserError
from methods.common import class_pools
from methods.scores.params import CheckpointParams
from methods.scores.parts import parts


class Checkpoint(NamedTuple):
    """Row i's gradient in the last linear map is the outer product of errors_i and inputs_i."""

    errors: np.ndarray  # float32 [n, C]: softmax - onehot of the n rows of the pool, in their order
    inputs: np.ndarray  # float32 [n, q]: what the last linear map reads, with a one for its bias

    def at(self, places: np.ndarray) -> Checkpoint:
        """Those rows of the pool, in memory."""
        return Checkpoint(self.errors[places], self.inputs[places])


@dataclass(frozen=True)
class Trainings:
    """R runs of K checkpoints each, in the order of their steps, and the train rows of the pool, int64 [n]."""

    rows: np.ndarray
    runs: list[list[Checkpoint]]

    def all(self) -> list[Checkpoint]:
        """The checkpoints of all runs."""
        return [checkpoint for run in self.runs for checkpoint in run]

    def finals(self) -> list[Checkpoint]:
        """The last checkpoint of each run."""
        return [run[-1] for run in self.runs]


def load_trainings(params: CheckpointParams, ctx: Context) -> Trainings:
    """What the parts of a method hold, memory-mapped."""
    folders = [ctx.part(part) for part in parts(params)]
    runs = []
    for folder in folders:
        arrays = (np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in Checkpoint._fields)
        runs.append([Checkpoint(errors, inputs) for errors, inputs in zip(*arrays, strict=True)])
    return Trainings(np.load(folders[0] / "rows.npy", allow_pickle=False), runs)


@dataclass(frozen=True)
class ClassPool:
    """The pool of one class: train rows, ascending, their places among all rows of the pool, and how many to take."""

    name: str
    rows: np.ndarray
    places: np.ndarray
    dpc: int


def pools_of(data: TrainData, dpc: int | None, rows: np.ndarray) -> list[ClassPool]:
    """One a class. Raises UserError when a class, or its pool, has fewer rows than `dpc`."""
    found = []
    for pool in class_pools(data, dpc):
        places = np.flatnonzero(data.train.labels[rows] == pool.label)
        if len(places) < pool.dpc:
            raise UserError(
                f"pool_rows ({len(places)}) is less than dpc {pool.dpc}; raise it or ask for a smaller --dpc"
            )
        found.append(ClassPool(pool.name, rows[places], places, pool.dpc))
    return found
