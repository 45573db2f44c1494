"""Stage 1 as a part: the language model trained on the train rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Context, Part, TrainData
from bench.learners.seeds import derive
from methods.gen_distill.generator import Generator, make_generator
from methods.gen_distill.lm import train_lm
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.parts import params_of
from methods.gen_distill.reports import write_part
from methods.making import one_by_one


def make(parts: Sequence[Part], data: TrainData, ctx: Context) -> dict[int, Exception]:
    """Train the language models that are not there; the error of each that failed, by its position."""
    return one_by_one(_make, parts, data, ctx)


def _make(part: Part, data: TrainData, ctx: Context) -> None:
    where = kind, fields, code = ctx.address(part)
    params = params_of(part)
    with ctx.workspace(*where) as workspace:
        if ctx.find(*where) is not None:  # made by the run that held the workspace before
            return
        generator = make_generator(params, data, ctx)
        sequences, cut = train_sequences(generator, params, data)
        report = train_lm(
            generator,
            sequences,
            params,
            seed=derive(params.generator_seed, "stage 1"),
            workspace=workspace,
            progress=lambda done, total: ctx.progress(done, total, "language model"),
        )
        report["facts"]["texts cut to max_tokens"] = cut
        longest = max(map(len, sequences))
        title = f"gen-distill generator of {data.info.label}, before fine-tuning"
        ctx.artifact(kind, fields, lambda folder: finish(folder, generator, report | {"title": title}, longest), code)


def train_sequences(generator: Generator, params: GenDistillParams, data: TrainData) -> tuple[list[np.ndarray], int]:
    """The train rows as the generator reads them, and how many were cut."""
    limit = min(params.max_tokens or generator.context, generator.context)
    sequences = generator.template.encode(data.train.texts, data.info.fields, data.train.labels)
    return generator.template.shortened(sequences, limit)


def finish(folder: Path, generator: Generator, report: dict[str, Any], max_tokens: int) -> None:
    """Write a finished generator with the report of its training."""
    generator.save(folder)
    write_part(folder, report, max_tokens)
