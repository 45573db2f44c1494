"""What sets share: the parts of gen-distill, each with the parameters that it follows. Nothing heavy is imported.

Sets, dpc and the options of stage 3 share the generators; a change of what comes after a stage does not train it anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bench.api import Part
from methods.gen_distill.params import SCRATCH, GenDistillParams

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
REPRESENTATIVE = (
    *("encoder", "pooling", "normalize", "max_length"),
    *("real_batch", "teacher_sets", "generator_seed"),
)
STAGE_2 = (
    *TRAJECTORY,
    *("teacher", "teacher_sets", "teacher_draw", "encoder", "pooling", "normalize", "real_batch"),
    *("batch", "batch_draw", "batch_learner", "synthetic_batch", "generation_interval"),
    *("lm_weight", "learning_rate", "warmup", "top_p"),
)
PROMPT = ("start", "finetune", "generator", "prompt_rows", "generator_seed", "max_tokens")
SAMPLES = ("encoder", "pooling", "max_length", "top_p")  # what the report on samples follows beside the generator


def parts(params: GenDistillParams, dpc: int | None = None, seed: int = 0) -> Sequence[Part]:
    """The generators of all stages, and a report on samples of each: the same for all sets."""
    stages = [prompt_part(params) if params.start == "prompt" else lm_part(params)]
    stages += [tuned_part(params)] if params.finetune else []
    return [*stages, *(samples_part(stage, params) for stage in stages)]


def generator_part(params: GenDistillParams) -> Part:
    """The generator that stage 3 samples from."""
    if params.start == "prompt":
        return prompt_part(params)
    return tuned_part(params) if params.finetune else lm_part(params)


def lm_part(params: GenDistillParams) -> Part:
    """Stage 1: the language model."""
    return Part(
        kind="gen-distill-lm",
        fields=_fields(params, STAGE_1),
        make="methods.gen_distill.stage1:make",
        assets=() if params.generator == SCRATCH else ("generator",),
    )


def prompt_part(params: GenDistillParams) -> Part:
    """In stage 1's place: the train rows in the prompts of a generator that is not trained."""
    return Part(
        kind="gen-distill-prompt",
        fields=_fields(params, PROMPT),
        make="methods.gen_distill.prompted:make",
        assets=("generator",),
    )


def tuned_part(params: GenDistillParams) -> Part:
    """Stage 2: the fine-tuned generator. Those along one trajectory of the learner are trained together."""
    return Part(
        kind="gen-distill",
        fields=_fields(params, STAGE_2),
        make="methods.gen_distill.stage2:make",
        assets=("learner", "encoder"),
        needs=(lm_part(params), *([sets_part(params)] if params.teacher == "representative" else [])),
        together=json.dumps(_fields(params, TRAJECTORY), sort_keys=True),
    )


def sets_part(params: GenDistillParams) -> Part:
    """The representative sets of stage 2's teacher."""
    return Part(
        kind="representative-sets",
        fields=_fields(params, REPRESENTATIVE),
        make="methods.gen_distill.teacher:make",
        assets=("encoder",),
    )


def samples_part(generator: Part, params: GenDistillParams) -> Part:
    """The report on samples of a generator."""
    return Part(
        kind=f"{generator.kind}-samples",
        fields=_fields(params, SAMPLES),
        make="methods.gen_distill.diagnostics:make",
        assets=("encoder",),
        needs=(generator,),
    )


def params_of(part: Part) -> GenDistillParams:
    """The parameters that a part follows; all others have their defaults, so only what makes it may read them."""
    return GenDistillParams(**_all_fields(part))


def _all_fields(part: Part) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for need in part.needs:
        fields |= _all_fields(need)
    return fields | dict(part.fields)


def _fields(params: GenDistillParams, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(params, name) for name in dict.fromkeys(names)}
