"""Stage 2 as artifacts: generators that share a learner's trajectory, fine-tuned in lock step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack

from bench.api import Context, TrainData
from methods.gen_distill.addresses import Address, address, lm_address, max_tokens_of
from methods.gen_distill.finetune import FineTuning, fine_tune
from methods.gen_distill.generator import load_generator
from methods.gen_distill.learner import Learner
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.stage1 import finish, train_sequences
from methods.gen_distill.teacher import Teacher


def tune(variants: Sequence[GenDistillParams], data: TrainData, ctx: Context) -> list[Exception | None]:
    """Stage 2 of generators that share a trajectory, in lock step; the error of each, or None."""
    addresses = [address(params, data, ctx) for params in variants]
    runs: list[FineTuning] = []
    failures: list[Exception | None] = [None] * len(variants)
    numbers: list[int] = []
    with ExitStack() as stack:
        order = sorted(range(len(variants)), key=lambda number: json.dumps(addresses[number], sort_keys=True))
        folders = {number: stack.enter_context(ctx.workspace(*addresses[number])) for number in order}
        learner = Learner(data, ctx, variants[0])
        for number, params in enumerate(variants):
            if ctx.find(*addresses[number]) is not None:  # made by the run that held the workspace before
                continue
            source = ctx.find(*lm_address(params, data, ctx))
            assert source is not None
            try:
                generator = load_generator(source, ctx.device)
                teacher = Teacher(data, ctx, params)
                runs.append(
                    FineTuning(
                        generator,
                        teacher,
                        params,
                        data.info,
                        train_sequences(generator, params, data)[0],
                        max_tokens=max_tokens_of(source),
                        workspace=folders[number],
                    )
                )
                numbers.append(number)
            except Exception as error:
                failures[number] = error
        if runs:
            fine_tune(runs, learner, ctx.progress)
        for number, run in zip(numbers, runs, strict=True):
            failures[number] = run.error
            if run.error is None:
                _keep(run, addresses[number], data, ctx)
    return failures


def _keep(run: FineTuning, where: Address, data: TrainData, ctx: Context) -> None:
    kind, fields, code = where
    ctx.artifact(
        kind, fields, lambda folder: finish(folder, run.generator, run.report(), run.max_tokens, data, kind), code
    )
