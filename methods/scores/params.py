"""Parameters of the methods that score or match train rows by what short trainings of a learner say of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.api import AssetRef, Params


class CheckpointParams(Params):
    """The learner and its short trainings; methods with equal ones share their checkpoints."""

    learner: Annotated[str, AssetRef()] = Field(
        default="minilm", min_length=1, description="Encoder that is trained on the train rows to judge them."
    )
    learner_layers: int | None = Field(default=2, ge=1, description="Layers of the learner that train; null: all.")
    max_length: int = Field(default=128, ge=4, le=8192, description="The learner's texts are cut to this many tokens.")
    pool_rows: int | None = Field(
        default=1000,
        ge=1,
        description="Train rows of a class that the learner sees and the method chooses from: of a larger class a "
        "random sample (learner_seed); null: all, as in the papers.",
    )
    runs: int = Field(
        default=3, ge=1, le=100, description="R: trainings, each with a head, an order and dropout of its own."
    )
    checkpoints: int = Field(
        default=3, ge=1, le=100, description="K: checkpoints of a training, evenly spaced, the last at its end."
    )
    steps: int = Field(
        default=90, ge=1, description="AdamW steps of a training; the scores are meant to be early ones."
    )
    batch: int = Field(default=64, ge=1, description="Train rows a step, all classes mixed.")
    learning_rate: float = Field(default=2e-4, gt=0, description="Peak step size of AdamW.")
    learner_seed: int = Field(
        default=0, ge=0, description="Seed of the trainings; all sets, dpc and methods share their checkpoints."
    )

    @model_validator(mode="after")
    def _enough_steps(self) -> CheckpointParams:
        if self.checkpoints > self.steps:
            raise ValueError(f"checkpoints ({self.checkpoints}) must not be more than steps ({self.steps})")
        return self


class RankedParams(CheckpointParams):
    """Parameters of `el2n` and `grand`."""

    order: Literal["hard", "easy"] = Field(
        default="hard",
        description="Take the rows with the highest scores, as the paper does, or with the lowest; hard rows alone "
        "teach little at low dpc.",
    )


class CcsParams(CheckpointParams):
    """Parameters of `ccs`."""

    score: Literal["el2n", "grand"] = Field(default="el2n", description="Difficulty that the strata divide.")
    beta: float = Field(
        default=0.3, ge=0, lt=1, description="beta: part of each class that is dropped first, the hardest rows."
    )
    strata: int = Field(default=50, ge=1, description="k: strata of equal width between the lowest and highest score.")


class GradMatchParams(CheckpointParams):
    """Parameters of `grad-match`."""

    candidates: Literal["all", "agreed"] = Field(
        default="all",
        description="Rows that are matched and may be taken: all of the pool, or those that the trained learners label "
        "as the task does (by the mean of their probabilities).",
    )
    projection: int | None = Field(
        default=4096,
        ge=1,
        le=1 << 16,
        description="Project the gradients of heads with more entries, C (q + 1), to this many numbers; null: never.",
    )
