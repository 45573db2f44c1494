"""Stage 2 as parts: generators that share a learner's trajectory, fine-tuned in lock step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.api import Context, Part, TrainData
from methods.gen_distill.finetune import FineTuning, fine_tune
from methods.gen_distill.generator import load_generator
from methods.gen_distill.learner import Learner
from methods.gen_distill.parts import params_of
from methods.gen_distill.reports import max_tokens_of
from methods.gen_distill.stage1 import finish, train_sequences
from methods.gen_distill.teacher import Teacher


def make(parts: Sequence[Part], data: TrainData, ctx: Context) -> dict[int, Exception]:
    """Fine-tune generators that share a trajectory; the error of each that failed, by its position."""
    errors: dict[int, Exception] = {}
    addresses = [ctx.address(part) for part in parts]
    # Workspaces are entered in the same order by every process, so that none waits for another in a circle.
    order = sorted(range(len(parts)), key=lambda number: json.dumps(addresses[number], sort_keys=True))
    with ExitStack() as stack:
        folders = {number: stack.enter_context(ctx.workspace(*addresses[number])) for number in order}
        todo = [n for n in range(len(parts)) if ctx.find(*addresses[n]) is None]  # others made the rest meanwhile
        if not todo:
            return errors
        try:
            learner = Learner(data, ctx, params_of(parts[todo[0]]))
        except Exception as error:  # all of them share it
            return dict.fromkeys(todo, error)
        runs: dict[int, FineTuning] = {}
        for number in todo:
            try:
                runs[number] = _begin(parts[number], folders[number], data, ctx)
            except Exception as error:
                errors[number] = error
        if runs:
            fine_tune(list(runs.values()), learner, ctx.progress)
        for number, run in runs.items():
            if run.error is None:
                _keep(run, parts[number], data, ctx)
            else:
                errors[number] = run.error
    return errors


def _begin(part: Part, workspace: Path, data: TrainData, ctx: Context) -> FineTuning:
    params, source = params_of(part), ctx.part(part.needs[0])
    generator = load_generator(source, ctx.device)
    return FineTuning(
        generator,
        Teacher(data, ctx, params),
        params,
        data.info,
        train_sequences(generator, params, data)[0],
        max_tokens=max_tokens_of(source),
        workspace=workspace,
    )


def _keep(run: FineTuning, part: Part, data: TrainData, ctx: Context) -> None:
    kind, fields, code = ctx.address(part)
    report = run.report() | {"title": f"gen-distill generator of {data.info.label}, fine-tuned"}
    ctx.artifact(kind, fields, lambda folder: finish(folder, run.generator, report, run.max_tokens), code)
