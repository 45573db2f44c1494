"""The baselines at embedding level, with steps that a grid search has chosen; means also as the nearest texts."""

from __future__ import annotations

import abc
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from bench.api import Context, DistilledSet, Embeddings, Method, TrainData
from methods.baselines.grid import load_steps
from methods.baselines.learner import load_learner
from methods.baselines.level import Sequences, train_level
from methods.baselines.means import kmeans_members, nearest_untaken
from methods.baselines.params import EmbeddedParams, MeanParams
from methods.baselines.parts import CLASS_MEAN, KCENTERS_EMBEDDED, KMEANS_CENTROID, RANDOM_EMBEDDED, steps_part
from methods.common import Pool, class_pools, rounded
from methods.kcenters import KCenters
from methods.random_ import Random
from methods.selection import nearest


@dataclass(frozen=True)
class Examples:
    """N examples at the level `layer`: labels int64 [N]; rows int64 [N]: the train row nearest to each."""

    layer: int
    sequences: Sequences
    labels: np.ndarray
    rows: np.ndarray
    diagnostics: dict[str, Any] = field(default_factory=dict)

    def embeddings(self, params: EmbeddedParams, data: TrainData, ctx: Context) -> Embeddings:
        """What a student reads, with hard labels and no steps yet."""
        attention = load_learner(params, data.info.n_classes, ctx).attention  # layers and heads
        return Embeddings(
            inputs_embeds=self.sequences.values,
            attention_mask=self.sequences.mask.astype(np.int64),
            label_distribution=np.eye(data.info.n_classes, dtype=np.float32)[self.labels],
            encoder=params.encoder,
            encoder_identity=ctx.asset_identity(params.encoder),
            layer=self.layer,
            trained_layers=None if attention is None else attention[0],
            nearest=tuple(
                " | ".join(data.train.texts[name][int(row)] for name in data.info.fields) for row in self.rows
            ),
        )


class EmbeddedBaseline(Method):
    """Examples made of train rows, and the steps that learners take on them."""

    name: ClassVar[str]
    params: EmbeddedParams

    @abc.abstractmethod
    def examples(self, data: TrainData, dpc: int | None, ctx: Context) -> Examples:
        """`dpc` examples a class, seeded by `ctx.seed`. Raises UserError for a class with fewer rows."""

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """The examples with the steps of the part that all sets of this dpc share."""
        found = self.examples(data, dpc, ctx)
        chosen = load_steps(ctx.part(steps_part(self.name, self.params, dpc)))
        return DistilledSet(
            labels=found.labels,
            embeddings=replace(found.embeddings(self.params, data, ctx), step_sizes=chosen.step_sizes()),
            diagnostics=found.diagnostics | chosen.diagnostics(),
        )


class Selected(EmbeddedBaseline):
    """Train rows that a text-level method selects, at embedding level."""

    selection: ClassVar[type[Method]]

    def examples(self, data: TrainData, dpc: int | None, ctx: Context) -> Examples:
        """The rows of the text-level set with the same parameters and seed, in its order."""
        chosen = self.selection(self.params).distill(data, dpc, ctx)
        assert chosen.rows is not None
        level = train_level(self.params, load_learner(self.params, data.info.n_classes, ctx), data, ctx)
        sequences = Sequences.joined([level.rows(chosen.rows)])
        return Examples(level.layer, sequences, chosen.labels, chosen.rows, dict(chosen.diagnostics))


class RandomEmbedded(Selected):
    """The rule of `random`."""

    name, selection = RANDOM_EMBEDDED, Random


class KCentersEmbedded(Selected):
    """The rule of `kcenters`."""

    name, selection = KCENTERS_EMBEDDED, KCenters


class Means(EmbeddedBaseline):
    """Means of train rows of each class, position by position."""

    params: MeanParams

    @abc.abstractmethod
    def members(self, X: np.ndarray, pool: Pool, ctx: Context) -> tuple[list[np.ndarray], int]:
        """For each example of a class the rows that it is the mean of, indices of X [n, d]; how many are a fallback."""

    def examples(self, data: TrainData, dpc: int | None, ctx: Context) -> Examples:
        """The means in the order of `members`; as text, the nearest row of each is one that no other has."""
        pools = class_pools(data, dpc)
        level = train_level(self.params, load_learner(self.params, data.info.n_classes, ctx), data, ctx)
        means: list[Sequences] = []
        rows: list[np.ndarray] = []
        distances, filled = [], 0
        for done, pool in enumerate(pools):
            X = level.vectors(pool.rows)
            members, more = self.members(X, pool, ctx)
            own = [level.mean(pool.rows[each]) for each in members]
            points = np.concatenate([mean.vectors() for mean in own])
            if self.params.form == "text":
                places = nearest_untaken(points, X)
            else:
                places = np.array([nearest(X, point) for point in points.astype(np.float64)])
            distances.append(rounded(np.linalg.norm(X[places] - points, axis=1).mean()))
            means, rows, filled = means + own, [*rows, pool.rows[places]], filled + more
            ctx.progress(done + 1, len(pools), "means")
        labels = np.repeat(np.arange(len(pools), dtype=np.int64), pools[0].dpc)
        diagnostics = {"mean_distance": distances, "filled": filled}
        return Examples(level.layer, Sequences.joined(means), labels, np.concatenate(rows), diagnostics)

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """The means with their steps, or with form=text the nearest rows."""
        if self.params.form == "embeddings":
            return super().distill(data, dpc, ctx)
        found = self.examples(data, dpc, ctx)
        return DistilledSet.from_rows(data, found.rows, **found.diagnostics)


class ClassMean(Means):
    """'Average': the mean of all rows of a class, dpc times."""

    name = CLASS_MEAN

    def members(self, X: np.ndarray, pool: Pool, ctx: Context) -> tuple[list[np.ndarray], int]:
        """All rows, dpc times."""
        return [np.arange(len(X))] * pool.dpc, 0


class KMeansCentroid(Means):
    """'k-means': the mean of each of dpc clusters."""

    name = KMEANS_CENTROID

    def members(self, X: np.ndarray, pool: Pool, ctx: Context) -> tuple[list[np.ndarray], int]:
        """The members of each cluster; the seed of each class is derived from the job's."""
        return kmeans_members(X, pool.dpc, ctx.derive("kmeans", pool.name))


BASELINES: dict[str, type[EmbeddedBaseline]] = {
    method.name: method for method in (ClassMean, KMeansCentroid, RandomEmbedded, KCentersEmbedded)
}
