"""Parameters of the baselines. Nothing heavy is imported."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bench.api import AssetRef, Params
from methods.params import FeatureParams

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]

RATES = (0.01, 0.03, 0.1, 0.3)
EPOCHS = (10, 30, 60, 100, 200)


class LearnerParams(Params):
    """The learners that a baseline asks; the student `minilm` by default."""

    encoder: Annotated[str, AssetRef()] = Field(
        "minilm", min_length=1, description="Encoder of the learners: a registered asset, hub:org/name, or a folder."
    )
    trainable_layers: int | None = Field(
        2, ge=1, description="Layers of a learner that train, from the top, with a new head; null: all (no table)."
    )
    max_length: int = Field(512, ge=8, le=8192, description="Texts are cut to this many tokens.")


class EmbeddedParams(LearnerParams):
    """Sets at embedding level, and the grid that their steps are chosen from."""

    space: Literal["states", "words"] = Field(
        "states",
        description="'states': hidden states that the lowest trained layer reads; 'words': word embeddings (layer 0).",
    )
    positions: int = Field(16, ge=1, le=8192, description="L: the first positions of a text that are kept.")
    learning_rates: tuple[Positive, ...] = Field(
        RATES, min_length=1, description="Step sizes of plain gradient descent to choose from."
    )
    epochs: tuple[Count, ...] = Field(
        EPOCHS, min_length=1, description="Numbers of steps on the whole set to choose from."
    )
    heads: int = Field(2, ge=1, description="Learners, each with a new head, that the grid is tried on.")
    grid_seed: int = Field(0, ge=0, description="Seed of the set and the learners that the grid is tried on.")
    validation_rows: int | None = Field(
        400, ge=1, description="Validation rows that the grid is tried on, drawn once; null: all."
    )


class MeanParams(EmbeddedParams):
    """Parameters of `class-mean` and `kmeans-centroid`."""

    form: Literal["embeddings", "text"] = Field(
        "embeddings", description="The means themselves, or for each the nearest train row of its class as text."
    )


class EmbeddedCentersParams(EmbeddedParams, FeatureParams):
    """Parameters of `kcenters-embedded`: those of `kcenters` choose the rows, with the learners' encoder."""


class BestOfRandomParams(LearnerParams):
    """Parameters of `best-of-random`."""

    candidates: int = Field(50, ge=1, description="Random sets that are scored.")
    keep: float = Field(0.2, gt=0, le=1, description="Part of the candidates that is kept, the best by score.")
    nets: int = Field(2, ge=1, description="Learners, each with a new head, that are trained on each candidate.")
    steps: int = Field(10, ge=1, description="Steps of AdamW that a learner takes on a candidate.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak step size, with the schedule of the students.")
    score_rows: int = Field(256, ge=1, description="Train rows that all learners are scored on.")
    pool_seed: int = Field(0, ge=0, description="Seed of candidates and learners; all sets of a dpc share them.")
