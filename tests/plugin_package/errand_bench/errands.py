"""The task `errands`."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from bench.api import Context, Split, Task, TaskData, TaskInfo
from errand_bench.plugin import DATA

PLACES = ("kitchen", "garden", "workshop")


class Errands(Task):
    """Reads the CSV files that come with the package."""

    def load(self, ctx: Context) -> TaskData:
        """The three splits in the order of the files."""
        folder = ctx.asset(str(DATA))
        train, validation, test = (read(folder / f"{name}.csv") for name in ("train", "validation", "test"))
        return TaskData(TaskInfo("errands", ("instruction",), PLACES), train, validation, test)


def read(path: Path) -> Split:
    """The columns `instruction` and `place` of a CSV file."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = np.array([PLACES.index(row["place"]) for row in rows], dtype=np.int64)
    return Split({"instruction": [row["instruction"] for row in rows]}, labels)
