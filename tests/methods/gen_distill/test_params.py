"""Which parameters go together."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.parts import PROMPT, SAMPLES

START: dict[str, Any] = {"start": "prompt", "finetune": False, "generator": "smollm2"}
WORDS = {  # and numbers whose half does not do
    "teacher": "random",
    "batch": "plain",
    "probability": "padded",
    "batch_learner": "trained",
    "learner": "minilm",
    "teacher_draw": "cycle",
    "batch_draw": "cycle",
    "inner_loop": 20,
    "clip": 2.0,
}


def changed(name: str) -> Any:
    """Another value of a parameter than its default, near it."""
    value = getattr(GenDistillParams(), name)
    if name in WORDS or value is None:
        return WORDS.get(name, 2)
    if isinstance(value, bool):
        return not value
    return value // 2 if isinstance(value, int) else value / 2 or 0.5


def test_a_prompt_follows_all_parameters_but_those_of_training() -> None:
    followed = {*PROMPT, *SAMPLES, "normalize", "over_sample", "repeats"}
    idle = set(GenDistillParams.idle["start", "prompt"])
    assert not followed & idle
    assert followed | idle == set(GenDistillParams.model_fields)


@pytest.mark.parametrize("name", GenDistillParams.idle["start", "prompt"])
def test_numbers_without_effect_are_refused(name: str) -> None:
    GenDistillParams(**START)
    GenDistillParams(**{name: changed(name)})
    with pytest.raises(ValidationError, match=f"{name} has no effect with start=prompt: leave it out"):
        GenDistillParams(**START, **{name: changed(name)})


def test_what_a_prompt_needs() -> None:
    with pytest.raises(ValidationError, match="prompt_rows has no effect with start=trained"):
        GenDistillParams(prompt_rows=3)
    with pytest.raises(ValidationError, match="start=prompt is not fine-tuned: add finetune=false"):
        GenDistillParams(start="prompt", generator="smollm2")
    with pytest.raises(ValidationError, match="start=prompt needs a pretrained generator, not generator=scratch"):
        GenDistillParams(start="prompt", finetune=False, generator="scratch")
