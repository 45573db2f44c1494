"""Parameters of `gen-distill`. The defaults are the paper's (Maekawa et al. 2024, sections 2 and 3, Table 5)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from bench.api import AssetRef
from methods.params import FeatureParams

SCRATCH = "scratch"
_OF_TRAINING = (  # what a generator that is not trained does not follow
    *("trainable_layers", "class_vectors", "scratch_layers", "scratch_width", "scratch_vocabulary"),
    *("lm_steps", "lm_batch", "lm_learning_rate", "lm_warmup", "weight_decay", "clip", "blanks", "probability"),
    *("teacher", "teacher_sets", "teacher_draw", "batch", "batch_draw", "batch_learner"),
    *("outer_loops", "inner_loop", "learner_steps", "real_batch", "synthetic_batch", "generation_interval"),
    *("lm_weight", "learning_rate", "warmup"),
    *("learner", "learner_layers", "learner_learning_rate", "learner_batch", "learner_dropout"),
)


class GenDistillParams(FeatureParams):
    """The three stages of `gen-distill`; `encoder` and its kin say what K-centers compares, in stages 2 and 3."""

    idle: ClassVar = {("start", "prompt"): _OF_TRAINING, ("start", "trained"): ("prompt_rows",)}

    generator: Annotated[str, AssetRef(SCRATCH)] = Field(
        "gpt2",
        min_length=1,
        description="Causal language model: a registered asset, hub:org/name, a folder, or 'scratch': a small GPT-2 "
        "with a vocabulary of its own, trained on the task alone.",
    )
    start: Literal["trained", "prompt"] = Field(
        "trained",
        description="trained: stage 1 trains the generator on the train rows. prompt: a pretrained generator goes on, "
        "as it is, from a list of train rows of the class; the parameters of training have no effect and are refused.",
    )
    prompt_rows: int = Field(6, ge=1, le=1000, description="start=prompt: train rows in the prompt of a class.")
    trainable_layers: int | None = Field(
        None, ge=1, description="Train only the generator's top layers and its new tokens; null trains everything."
    )
    class_vectors: bool = Field(
        False,
        description="Add a trained vector of the class to the last hidden states: class control for small models and "
        "short training. The paper has start tokens alone.",
    )
    scratch_layers: int = Field(4, ge=1, le=48, description="generator=scratch: layers.")
    scratch_width: int = Field(256, ge=16, le=4096, multiple_of=16, description="generator=scratch: hidden size.")
    scratch_vocabulary: int = Field(4000, ge=300, description="generator=scratch: most entries of its BPE vocabulary.")
    generator_seed: int = Field(
        0, ge=0, description="Seed of stages 1 and 2, or of the prompts' rows; all sets and dpc share one generator."
    )
    max_tokens: int | None = Field(
        None, ge=4, description="Most tokens of a text, start and end included; null: the longest train text."
    )

    lm_steps: int = Field(80_000, ge=1, description="Stage 1: steps of language-model training.")
    lm_batch: int = Field(64, ge=1, description="Stage 1: texts a step, all classes mixed.")
    lm_learning_rate: float = Field(1e-5, gt=0, description="Stage 1: peak step size of AdamW.")
    lm_warmup: float = Field(0.05, ge=0, le=1, description="Stage 1: part of the steps with linear warm-up.")

    finetune: bool = Field(True, description="Stage 2; false stops after stage 1 ('before fine-tuning').")
    teacher: Literal["representative", "random"] = Field(
        "representative", description="(a) real batches: K-centers sets of each class, or random rows."
    )
    teacher_sets: int = Field(10, ge=1, description="(a) number of representative sets.")
    teacher_draw: Literal["random", "cycle"] = Field("random", description="(a) which set a step takes.")
    batch: Literal["diverse", "plain"] = Field(
        "diverse", description="(b) synthetic batches: one sample of each k-means cluster, or as they were sampled."
    )
    batch_draw: Literal["random", "cycle"] = Field("random", description="(b) which member of a cluster a step takes.")
    batch_learner: Literal["reset", "trained"] = Field(
        "reset",
        description="(b) the learner whose [CLS] vectors k-means compares: as an outer loop begins (its pretrained "
        "encoder), or as the last outer loop left it; the paper does not say.",
    )
    outer_loops: int = Field(20_000, ge=1, description="S: how often the learner starts anew.")
    inner_loop: int = Field(10, ge=1, description="T: generator steps in an outer loop.")
    learner_steps: int = Field(20, ge=0, description="K: learner steps on real data after a generator step.")
    real_batch: int = Field(200, ge=1, description="M: real texts a class in a step; a smaller class gives all.")
    synthetic_batch: int = Field(64, ge=2, description="N: synthetic texts a class in a step.")
    generation_interval: int = Field(200, ge=1, description="I_int: steps between two samplings of synthetic texts.")
    lm_weight: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="lambda: stage 2 minimises (1 - lambda) L_GM + lambda L_LM, the latter on lm_batch train texts a "
        "step; the authors' code has it, at 0.",
    )
    learning_rate: float = Field(3e-7, gt=0, description="alpha: peak step size of AdamW for the generator.")
    warmup: float = Field(0.05, ge=0, le=1, description="Stage 2: part of the steps with linear warm-up.")
    probability: Literal["length", "padded"] = Field(
        "length", description="Normalise log p by the text's own tokens (eq. 2), or by the padded length of its batch."
    )
    learner: Annotated[str, AssetRef()] = Field(
        "bert-base", min_length=1, description="Encoder whose gradients are matched."
    )
    learner_layers: int | None = Field(None, ge=1, description="Layers of the learner that train; null: all.")
    learner_learning_rate: float = Field(1e-4, gt=0, description="eta: peak step size of AdamW for the learner.")
    learner_batch: int = Field(64, ge=1, description="Real texts in a learner step, all classes mixed.")
    learner_dropout: bool = Field(True, description="Dropout of the learner (Table 5), in its steps and gradients.")

    weight_decay: float = Field(0.01, ge=0, description="Decoupled decay of the generator; biases and norms left out.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the generator's gradient, both stages.")
    blanks: bool = Field(False, description="Blanks around the texts in the generator's input, as the reference has.")

    over_sample: int = Field(100, ge=1, description="Stage 3: texts sampled for each one that K-centers selects.")
    repeats: Literal["drop", "keep"] = Field(
        "drop", description="Stage 3: sampled texts that repeat an earlier one are no candidates of K-centers, or are."
    )
    top_p: float = Field(0.95, gt=0, le=1, description="Nucleus of sampling, stages 2 and 3.")

    @model_validator(mode="after")
    def _together(self) -> GenDistillParams:
        if self.start == "prompt" and self.generator == SCRATCH:
            raise ValueError("start=prompt needs a pretrained generator, not generator=scratch: choose gpt2 or smollm2")
        if self.start == "prompt" and self.finetune:
            raise ValueError("start=prompt is not fine-tuned: add finetune=false")
        if self.generation_interval % self.inner_loop:
            raise ValueError(
                f"generation_interval ({self.generation_interval}) must be a multiple of inner_loop ({self.inner_loop})"
            )
        if self.generator == SCRATCH and self.trainable_layers is not None:
            raise ValueError("trainable_layers would freeze random layers of generator=scratch: leave it out")
        return self


# Where the authors' published code differs from the paper; numbers of the reference notes in the comments.
REFERENCE_COMPAT = {
    "probability": "padded",  # D2
    "lm_warmup": 0.1,  # D3
    "outer_loops": 2_000,  # D4: 20,000 generator steps in all
    "learner_dropout": False,  # D7
    "batch_draw": "cycle",  # D8
    "teacher_draw": "cycle",  # D9
    "batch_learner": "trained",  # D10
    "repeats": "keep",
    "blanks": True,
}
