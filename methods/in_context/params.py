"""Parameters of the methods that ask a language model. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from bench.api import AssetRef, Params, TaskKeys


class ReaderParams(Params):
    """The language model, and the words that it is asked for."""

    model: Annotated[str, AssetRef()] = Field(
        "gemma3-270m",
        min_length=1,
        description="Causal language model: a registered asset, hub:org/name, or a folder.",
    )
    label_words: Annotated[Mapping[str, tuple[str, ...]], TaskKeys()] = Field(
        default_factory=dict,
        description="By task, the word that stands for each class, in their order; else the task's label names.",
    )
    pool_seed: int = Field(0, ge=0, description="Seed of the rows that are looked at; all sets of a dpc share them.")


class LmGradMatchParams(ReaderParams):
    """Parameters of `lm-grad-match`."""

    pool_rows: int | None = Field(
        200, ge=1, description="Train rows of a class that the model reads and the method chooses from; null: all."
    )


class BestDemonstrationsParams(ReaderParams):
    """Parameters of `best-demonstrations`."""

    candidates: int = Field(20, ge=1, description="Random sets that are tried, each in one order.")
    keep: float = Field(0.2, gt=0, le=1, description="Part of the candidates that is kept, the best by accuracy.")
    score_rows: int = Field(100, ge=1, description="Train rows that all candidates are tried on.")
