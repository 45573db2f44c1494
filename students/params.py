"""Parameters of the built-in students; importing them loads nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bench.api import AssetRef, Params, TaskKeys

_OF_ADAMW = ("learning_rate", "weight_decay", "warmup", "steps", "min_epochs", "batch", "clip", "dropout")


class EncoderParams(Params):
    """Parameters of a fine-tuned encoder; the defaults are the paper's recipe."""

    idle: ClassVar = {("recipe", "learned-sgd"): _OF_ADAMW}

    model: Annotated[str, AssetRef()] = Field(
        "bert-base", description="Encoder: a registered asset, `hub:org/name[@revision]` or a folder."
    )
    trainable_layers: int | None = Field(
        None, ge=1, description="Train only the top layers and the head; None trains everything."
    )
    recipe: Literal["standard", "learned-sgd"] = Field(
        "standard",
        description="standard: AdamW with the numbers below, on a set's texts or, without them, on its embeddings. "
        "learned-sgd: exactly the gradient steps that were learned with the embeddings, without dropout; the "
        "numbers of AdamW's training are left out then.",
    )
    learning_rate: float = Field(1e-4, gt=0, description="Peak step size of AdamW (betas 0.9 and 0.999).")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled decay; biases and norms are left out.")
    warmup: float = Field(0.5, ge=0, le=1, description="Part of the steps with linear warm-up; cosine to 0 after it.")
    steps: int = Field(200, ge=1, description="Optimiser steps; the weights after the last one are scored.")
    min_epochs: int = Field(
        3, ge=0, description="Raises `steps` until the set was seen this often; only sets above 4,000 rows notice."
    )
    batch: int = Field(64, ge=1, description="Rows a step: min(batch, N), shuffled each epoch, the last part dropped.")
    clip: float = Field(1.0, gt=0, description="Largest gradient norm.")
    dropout: float | None = Field(
        None, ge=0, lt=1, description="Dropout of hidden states, attention and head; None takes the model's own."
    )
    max_length: int = Field(512, ge=8, description="Tokens after which a text or a pair is truncated.")


class ProbeParams(Params):
    """Parameters of the logistic regression on frozen features."""

    encoder: Annotated[str, AssetRef()] = Field(
        "minilm", description="Encoder: a registered asset, `hub:org/name[@revision]` or a folder."
    )
    pooling: Literal["cls", "mean"] = Field("mean", description="Position 0 of the last layer, or the masked mean.")
    C: float = Field(1.0, gt=0, description="Inverse strength of the L2 penalty of scikit-learn.")
    max_length: int = Field(512, ge=8, description="Tokens after which a text or a pair is truncated.")


class InContextParams(Params):
    """Parameters of an in-context student."""

    idle: ClassVar = {("calibration", each): ("prior_rows",) for each in ("none", "contextual")}

    model: Annotated[str, AssetRef()] = Field(
        "smollm2", description="Causal language model: a registered asset, `hub:org/name[@revision]` or a folder."
    )
    shots: int | None = Field(
        None, ge=1, description="Demonstrations of each class, drawn from the set by the run's seed; null: all."
    )
    label_words: Annotated[Mapping[str, tuple[str, ...]], TaskKeys()] = Field(
        default_factory=dict,
        description="By task, the word that stands for each class, in their order; else the task's label names.",
    )
    scoring: Literal["auto", "whole"] = Field(
        "auto",
        description="auto: the probability of a label word's first token where the first tokens differ, else of all "
        "its tokens; whole: always of all.",
    )
    calibration: Literal["none", "contextual", "batch"] = Field(
        "none",
        description="Divide by the label words' mean probability after the same demonstrations: for rows without "
        "content (contextual), or for unlabelled train rows (batch).",
    )
    prior_rows: int = Field(64, ge=1, description="calibration=batch: train rows, drawn by the run's seed.")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Precision of the model's weights.")
