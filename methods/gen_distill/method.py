"""The method: which artifact each stage leaves, and the distilled set that stage 3 makes of them.

Stage 1 and stage 2 leave one artifact each, addressed by the train rows and by the parameters of the stages up to
it: sets, dpc and the options of stage 3 share them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData, UserError
from methods.gen_distill.diagnostics import diagnose
from methods.gen_distill.digest import data_digest
from methods.gen_distill.finetune import FineTuning, fine_tune
from methods.gen_distill.generator import Generator, load_generator, make_generator
from methods.gen_distill.learner import Learner
from methods.gen_distill.lm import train_lm
from methods.gen_distill.params import SCRATCH, GenDistillParams
from methods.gen_distill.seeds import derive
from methods.gen_distill.synthesis import draw_pools, select
from methods.gen_distill.teacher import Teacher

LM, TUNED = "gen-distill-lm", "gen-distill"  # kinds of artifacts
STAGE_NAMES = {LM: "before fine-tuning", TUNED: "fine-tuned"}

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
    *(
        "batch",
        "batch_draw",
        "batch_learner",
        "synthetic_batch",
        "generation_interval",
        "lm_weight",
        "learning_rate",
        "warmup",
        "top_p",
    ),
)
STAGE_3 = ("finetune", "over_sample", "repeats")  # `finetune` decides which artifact is read
SAMPLES = ("encoder", "pooling", "max_length", "top_p")  # what the report on samples depends on beside the generator
ASSETS = ("generator", "learner", "encoder")  # parameters that name assets

Address = tuple[str, dict[str, Any]]


class GenDistill(Method):
    """Trains a language model on the task, fine-tunes it by gradient matching, and samples the set from it."""

    params: GenDistillParams

    @classmethod
    def prepare(cls, variants: Sequence[Any], data: TrainData, ctx: Context) -> Mapping[int, Exception]:
        """Train the generators of all variants, in stage 2 along one learner trajectory."""
        return train_generators(variants, data, ctx)

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Stage 3: over_sample * dpc texts a class, of which K-centers selects dpc."""
        if dpc is None or dpc < 1:
            raise UserError(f"dpc must be 1 or more, not {dpc}")
        folder = ctx.find(*address(self.params, data, ctx))
        if folder is None:
            errors = train_generators([self.params], data, ctx)
            if errors:
                raise errors[0]
            folder = ctx.find(*address(self.params, data, ctx))
            assert folder is not None
        report_samples(self.params, data, ctx)
        generator = load_generator(folder, ctx.device)
        wanted = dict.fromkeys(range(data.info.n_classes), self.params.over_sample * dpc)
        pools = draw_pools(
            generator,
            data.info,
            wanted,
            self.params,
            max_tokens=max_tokens_of(folder),
            seed=ctx.derive("synthesis"),
            progress=lambda done, total: ctx.progress(done, total, "sampling"),
        )
        texts: dict[str, list[str]] = {name: [] for name in data.info.fields}
        repeated = tokens = 0
        for pool in pools:
            seed = ctx.derive("k-centers", pool.label)
            picked = select(pool.texts, dpc, ctx, self.params, seed, keep_repeats=self.params.repeats == "keep")
            for name in data.info.fields:
                texts[name] += [pool.texts[name][row] for row in picked.indices]
            repeated += picked.repeated
            tokens += sum(len(pool.sequences[row]) - 2 for row in picked.indices)  # without start and end
        labels = np.repeat(np.arange(data.info.n_classes, dtype=np.int64), dpc)
        drawn, invalid = sum(pool.drawn for pool in pools), sum(pool.invalid for pool in pools)
        return DistilledSet(
            labels=labels,
            texts=texts,
            diagnostics={"drawn": drawn, "invalid": invalid, "repeated": repeated, "tokens": tokens},
        )


def address(params: GenDistillParams, data: TrainData, ctx: Context) -> Address:
    """Kind and fields of the artifact that stage 3 samples from."""
    if not params.finetune:
        return lm_address(params, data, ctx)
    names = dict.fromkeys((*STAGE_1, *STAGE_2))
    return TUNED, _fields(params, tuple(names), data, ctx)


def lm_address(params: GenDistillParams, data: TrainData, ctx: Context) -> Address:
    """Kind and fields of stage 1's artifact."""
    return LM, _fields(params, STAGE_1, data, ctx)


def samples_address(generator: Address, params: GenDistillParams, data: TrainData, ctx: Context) -> Address:
    """Kind and fields of the report on the samples of the generator at that address."""
    kind, fields = generator
    return f"{kind}-samples", fields | _fields(params, SAMPLES, data, ctx)


def _fields(params: GenDistillParams, names: Sequence[str], data: TrainData, ctx: Context) -> dict[str, Any]:
    fields: dict[str, Any] = {"data": data_digest(data)}
    for name in names:
        value = getattr(params, name)
        fields[name] = ctx.asset_identity(value) if name in ASSETS and value != SCRATCH else value
    return fields


def max_tokens_of(folder: Path) -> int:
    """Most tokens of a text of a finished generator, start and end included."""
    return int(json.loads((folder / "stage.json").read_text(encoding="utf-8"))["max_tokens"])


def train_generators(variants: Sequence[GenDistillParams], data: TrainData, ctx: Context) -> dict[int, Exception]:
    """Make the artifacts of all variants that have none; the error of each that failed, by its position."""
    errors: dict[int, Exception] = {}
    todo = [number for number, params in enumerate(variants) if ctx.find(*address(params, data, ctx)) is None]
    for numbers in _alike(todo, lambda number: lm_address(variants[number], data, ctx)):
        try:
            _train_lm(variants[numbers[0]], data, ctx)
        except Exception as error:
            errors |= dict.fromkeys(numbers, error)
    tuned = [number for number in todo if variants[number].finetune and number not in errors]
    for numbers in _alike(tuned, lambda number: {name: getattr(variants[number], name) for name in TRAJECTORY}):
        same = _alike(numbers, lambda number: address(variants[number], data, ctx))
        try:
            found = _tune([variants[group[0]] for group in same], data, ctx)
        except Exception as error:  # the learner, which all of them share
            errors |= dict.fromkeys(numbers, error)
            continue
        for group, failure in zip(same, found, strict=True):
            if failure is not None:
                errors |= dict.fromkeys(group, failure)
    for number, params in enumerate(variants):
        if number not in errors:
            try:
                report_samples(params, data, ctx)
            except Exception as error:
                errors[number] = error
    return errors


def report_samples(params: GenDistillParams, data: TrainData, ctx: Context) -> None:
    """Make the reports on samples of a variant's generators, before and after stage 2, unless they are there."""
    for generator in dict((lm_address(params, data, ctx), address(params, data, ctx))).items():
        folder = ctx.find(*generator)
        if folder is not None:
            title = f"samples of the gen-distill generator of {data.info.label}, {STAGE_NAMES[generator[0]]}"
            build = partial(_write_samples, folder, title, params, data, ctx)
            ctx.artifact(*samples_address(generator, params, data, ctx), build)


def _alike(numbers: Sequence[int], key: Any) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for number in numbers:
        groups.setdefault(json.dumps(key(number), sort_keys=True), []).append(number)
    return list(groups.values())


def _train_lm(params: GenDistillParams, data: TrainData, ctx: Context) -> None:
    """Stage 1, unless it is done."""
    kind, fields = lm_address(params, data, ctx)
    if ctx.find(kind, fields) is not None:
        return
    with ctx.workspace(kind, fields) as workspace:
        if ctx.find(kind, fields) is not None:  # made by the run that held the workspace before
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
        ctx.artifact(kind, fields, lambda folder: _finish(folder, generator, report, longest, data, kind))


def train_sequences(generator: Generator, params: GenDistillParams, data: TrainData) -> tuple[list[np.ndarray], int]:
    """The train rows as the generator reads them, and how many were cut."""
    limit = min(params.max_tokens or generator.context, generator.context)
    sequences = generator.template.encode(data.train.texts, data.info.fields, data.train.labels)
    return generator.template.shortened(sequences, limit)


def _tune(variants: Sequence[GenDistillParams], data: TrainData, ctx: Context) -> list[Exception | None]:
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
    ctx.artifact(*where, lambda folder: _finish(folder, run.generator, run.report(), run.max_tokens, data, where[0]))


def _finish(
    folder: Path, generator: Generator, report: dict[str, Any], max_tokens: int, data: TrainData, kind: str
) -> None:
    """Write a finished generator with the report of its training."""
    generator.save(folder)
    _write(folder / "stage.json", {"max_tokens": max_tokens})
    title = f"gen-distill generator of {data.info.label}, {STAGE_NAMES[kind]}"
    _write(folder / "report.json", report | {"title": title})


def _write_samples(
    trained: Path, title: str, params: GenDistillParams, data: TrainData, ctx: Context, folder: Path
) -> None:
    """Write the report on samples of the generator in `trained`."""
    started = time.perf_counter()
    found = diagnose(load_generator(trained, ctx.device), data, params, max_tokens_of(trained), ctx)
    facts = found["facts"] | {"diagnostics, seconds": round(time.perf_counter() - started, 1)}
    _write(folder / "report.json", found | {"title": title, "facts": facts})


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False), encoding="utf-8")
