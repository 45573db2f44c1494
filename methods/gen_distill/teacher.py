"""Real mini-batches: K-centers sets that are made once, or random rows (section 2.2 (a) of the paper)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from bench.api import Context, Part, TrainData, UserError
from bench.learners.seeds import derive
from methods.common import Pool, class_features
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.parts import params_of, sets_part
from methods.making import one_by_one
from methods.selection import kmeans_medoids


class Teacher:
    """Says which M rows of a class a step's gradient on real data is taken from.

    `key`: teachers with equal keys give equal rows at every step of the same data.
    """

    def __init__(self, data: TrainData, ctx: Context, params: GenDistillParams) -> None:
        """Select the representative sets, or read them from the cache.

        Raises UserError when a class has no rows, or when the encoder cannot be used.
        """
        self.params = params
        self.classes = [data.class_rows(label) for label in range(data.info.n_classes)]
        for name, rows in zip(data.info.label_names, self.classes, strict=True):
            if len(rows) == 0:
                raise UserError(f"class '{name}' of task '{data.info.label}' has no train rows")
        p = params
        self.key: Hashable = (p.teacher, p.generator_seed, p.real_batch)
        self.sets: list[np.ndarray] = []  # of each class, int64 [sets, M]
        if p.teacher == "representative":
            self.key = (*self.key, p.teacher_draw, p.teacher_sets, p.encoder, p.pooling, p.normalize, p.max_length)
            self.sets = representative_sets(data, ctx, params)

    def rows(self, step: int, label: int) -> np.ndarray:
        """The M rows of a class at a step, int64 [M]; all of them where there are fewer.

        A representative set has the same number in all classes, drawn at random or in turn ('cycle').
        """
        p = self.params
        if p.teacher == "random":
            rows = self.classes[label]
            rng = np.random.default_rng(derive(p.generator_seed, "teacher", step, label))
            return rng.choice(rows, min(p.real_batch, len(rows)), replace=False)
        rng = np.random.default_rng(derive(p.generator_seed, "teacher", step))
        number = step % p.teacher_sets if p.teacher_draw == "cycle" else int(rng.integers(p.teacher_sets))
        sets = self.sets[label]
        return sets[number % len(sets)]


def representative_sets(data: TrainData, ctx: Context, params: GenDistillParams) -> list[np.ndarray]:
    """`teacher_sets` K-centers sets of M rows for each class, int64 [sets, M], each from a seed of its own.

    A class of at most M rows has one set, all of them.
    """
    folder = ctx.part(sets_part(params))
    return [np.load(folder / f"{label}.npy", allow_pickle=False) for label in range(data.info.n_classes)]


def make(parts: Sequence[Part], data: TrainData, ctx: Context) -> dict[int, Exception]:
    """Select representative sets; the error of each part that failed, by its position."""
    return one_by_one(_make, parts, data, ctx)


def _make(part: Part, data: TrainData, ctx: Context) -> None:
    kind, fields, code = ctx.address(part)
    ctx.artifact(kind, fields, partial(_save, data=data, ctx=ctx, params=params_of(part)), code)


def _save(folder: Path, data: TrainData, ctx: Context, params: GenDistillParams) -> None:
    features = ctx.features("train", params.encoder, params.pooling, params.max_length)
    n_classes, n_sets = data.info.n_classes, params.teacher_sets
    for label, name in enumerate(data.info.label_names):
        rows = data.class_rows(label)
        found = [rows]
        if len(rows) > params.real_batch:
            X = class_features(features, Pool(label, name, rows, params.real_batch), params.normalize)
            found = []
            for number in range(n_sets):
                seed = derive(params.generator_seed, "representative set", label, number)
                found.append(rows[kmeans_medoids(X, params.real_batch, seed).indices])
                ctx.progress(label * n_sets + number + 1, n_classes * n_sets, "representative sets")
        np.save(folder / f"{label}.npy", np.stack(found), allow_pickle=False)
