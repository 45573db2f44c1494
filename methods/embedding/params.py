"""Parameters of the embedding-level methods; importing them loads nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.api import AssetRef, Params, UserError


class UnrolledParams(Params):
    """What a set is, what learner the training unrolls, and how the set itself is trained."""

    encoder: Annotated[str, AssetRef()] = Field(
        "bert-base", min_length=1, description="The learner's encoder, and the students': a set fits no other."
    )
    trainable_layers: int | None = Field(
        None, ge=1, description="Layers of the learner that are trained, from the top; null: all (not the tables)."
    )
    max_length: int = Field(512, ge=8, description="Real texts are cut to this many tokens.")

    space: Literal["words", "states"] = Field(
        "words",
        description="What an example is made of: word embeddings, as in the papers, or hidden states above the "
        "learner's frozen layers, which take less time.",
    )
    positions: int = Field(512, ge=1, description="L: vectors of an example.")
    start: Literal["noise", "rows", "kcenters"] = Field(
        "noise", description="Vectors before the training: N(0, 1), or those of random or of K-centers train rows."
    )
    labels: Literal["hard", "soft", "unrestricted"] = Field(
        "unrestricted", description="Targets: one-hot and fixed, a learned distribution (softmax), or learned numbers."
    )
    label_start: float = Field(
        1.0, gt=0, description="Own class's entry of learned labels before the training; the others are 0."
    )
    attention_labels: Literal["none", "cls", "all"] = Field(
        "none", description="Learned attention that the learner is held to: of [CLS], or of all positions."
    )
    attention_weight: float = Field(1.0, gt=0, description="lambda: weight of the attention labels' divergence.")
    groups: int | None = Field(
        None, ge=1, description="G: parts of the set that take turns, one a step; null: dpc, an example a class each."
    )
    epochs: int = Field(1, ge=1, description="Rounds through the groups: the learner takes T = G * epochs steps.")
    step_size: float = Field(0.01, gt=0, le=100, description="Step size of each of the T steps before the training.")
    learn_embeddings: bool = Field(True, description="false: the vectors stay as they start, labels and steps learn.")
    learn_step_sizes: bool = Field(True, description="Step sizes are learned, as softplus of a number each.")

    init: Literal["random", "fixed"] = Field(
        "random", description="The learner's head: another one at each step of the training, or always the same."
    )
    scratch: bool = Field(False, description="All that is trained of the learner starts at random, not the head alone.")
    nets: int = Field(1, ge=1, description="Learners that a step of the training unrolls and averages over.")

    outer_steps: int = Field(1000, ge=1, description="Steps of the training: one unroll of each learner.")
    batch: int = Field(32, ge=1, description="Real rows that the unrolled learner is measured on.")
    learning_rate: float = Field(0.01, gt=0, description="Peak step size of Adam for all that is learned.")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's first decay; the second is 0.999.")
    schedule: Literal["linear", "cosine", "halving"] = Field(
        "linear", description="Step sizes after the warm-up: to 0 linearly or by half a cosine, or halved ten times."
    )
    warmup: float = Field(0.1, ge=0, le=1, description="Part of the steps with linear warm-up.")
    clip: float | None = Field(1.0, gt=0, description="Largest norm of the gradient of all that is learned.")
    evaluate_every: int = Field(100, ge=1, description="Steps between looks at validation rows; the best look is kept.")
    validation_rows: int = Field(400, ge=1, description="Most validation rows that a look reads.")
    validation_nets: int = Field(3, ge=1, description="Learners of a look: the same ones at each.")

    @model_validator(mode="after")
    def _something_to_learn(self) -> UnrolledParams:
        if not (self.learn_embeddings or self.learn_step_sizes or self.labels != "hard"):
            raise ValueError("nothing is learned: learn_embeddings, learn_step_sizes or labels has to allow it")
        if self.space == "states" and self.trainable_layers is None:
            raise ValueError(
                "space=states needs trainable_layers: without frozen layers there are no states above them"
            )
        return self


class TextParams(UnrolledParams):
    """The same training, and how its vectors become words."""

    labels: Literal["hard", "soft", "unrestricted"] = Field("hard", description="hard: one-hot and fixed; no other.")

    metric: Literal["l2", "cosine"] = Field("l2", description="Which row of the embedding table is nearest.")
    exclude: Literal["special", "pieces"] = Field(
        "special", description="Tokens that no vector becomes: special and unused ones, or word pieces (##) too."
    )

    @model_validator(mode="after")
    def _words(self) -> TextParams:
        if self.space != "words":
            raise ValueError("space=words only: hidden states have no nearest word")
        if self.labels != "hard":
            raise ValueError("labels=hard only: a text has the class that its vectors were trained with")
        return self


def group_count(params: UnrolledParams, dpc: int) -> int:
    """G: every group has an example of every class at least. Raises UserError where dpc is too small for that."""
    groups = params.groups or dpc
    if groups > dpc:
        raise UserError(f"groups={groups}: with dpc {dpc} there are not enough examples; ask for {dpc} at most")
    return groups
