"""Which artifact each stage leaves, addressed by the train rows and the parameters and code of the stages up to it.

Sets, dpc and the options of stage 3 share the generators; a change of what comes after a stage does not train it anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.api import Context, TrainData
from methods.gen_distill.digest import data_digest
from methods.gen_distill.params import SCRATCH, GenDistillParams

LM, TUNED = "gen-distill-lm", "gen-distill"  # kinds of artifacts
STAGE_NAMES = {LM: "before fine-tuning", TUNED: "fine-tuned"}
CODE = {LM: "methods.gen_distill.stage1", TUNED: "methods.gen_distill.stage2"}  # the modules that make them
SAMPLES_CODE = "methods.gen_distill.diagnostics"

GENERATOR = (
    *("generator", "trainable_layers", "class_vectors"),
    *("scratch_layers", "scratch_width", "scratch_vocabulary"),
)
STAGE_1 = (
    *GENERATOR,
    *("generator_seed", "max_tokens", "probability", "blanks", "weight_decay", "clip"),
    *("lm_steps", "lm_batch", "lm_learning_rate", "lm_warmup"),
)
TRAJECTORY = (  # what the learner's trajectory depends on, beside the data
    *("learner", "learner_layers", "learner_learning_rate", "learner_batch", "learner_dropout", "learner_steps"),
    *("outer_loops", "inner_loop", "generator_seed", "max_length"),
)
STAGE_2 = (
    *TRAJECTORY,
    *("teacher", "teacher_sets", "teacher_draw", "encoder", "pooling", "normalize", "real_batch"),
    *("batch", "batch_draw", "batch_learner", "synthetic_batch", "generation_interval"),
    *("lm_weight", "learning_rate", "warmup", "top_p"),
)
STAGE_3 = ("finetune", "over_sample", "repeats")  # `finetune` decides which artifact is read
SAMPLES = ("encoder", "pooling", "max_length", "top_p")  # what the report on samples depends on beside the generator
ASSETS = ("generator", "learner", "encoder")  # parameters that name assets

Address = tuple[str, dict[str, Any], str]  # kind, fields, code


def address(params: GenDistillParams, data: TrainData, ctx: Context) -> Address:
    """Address of the artifact that stage 3 samples from."""
    if not params.finetune:
        return lm_address(params, data, ctx)
    names = dict.fromkeys((*STAGE_1, *STAGE_2))
    return TUNED, _fields(params, tuple(names), data, ctx), CODE[TUNED]


def lm_address(params: GenDistillParams, data: TrainData, ctx: Context) -> Address:
    """Address of stage 1's artifact."""
    return LM, _fields(params, STAGE_1, data, ctx), CODE[LM]


def samples_address(generator: Address, params: GenDistillParams, data: TrainData, ctx: Context) -> Address:
    """Address of the report on the samples of the generator at that address."""
    kind, fields, code = generator
    return f"{kind}-samples", fields | _fields(params, SAMPLES, data, ctx) | {"generator": code}, SAMPLES_CODE


def _fields(params: GenDistillParams, names: Sequence[str], data: TrainData, ctx: Context) -> dict[str, Any]:
    fields: dict[str, Any] = {"data": data_digest(data)}
    for name in names:
        value = getattr(params, name)
        fields[name] = ctx.asset_identity(value) if name in ASSETS and value != SCRATCH else value
    return fields


def max_tokens_of(folder: Path) -> int:
    """Most tokens of a text of a finished generator, start and end included."""
    return int(json.loads((folder / "stage.json").read_text(encoding="utf-8"))["max_tokens"])
