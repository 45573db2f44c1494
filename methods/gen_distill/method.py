"""The method: generators that are trained once, and the distilled set that stage 3 makes of their samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData, UserError
from methods.gen_distill.addresses import TRAJECTORY, address, lm_address, max_tokens_of
from methods.gen_distill.diagnostics import report_samples
from methods.gen_distill.generator import load_generator
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.stage1 import make_lm
from methods.gen_distill.stage2 import tune
from methods.gen_distill.synthesis import draw_pools, select


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


def train_generators(variants: Sequence[GenDistillParams], data: TrainData, ctx: Context) -> dict[int, Exception]:
    """Make the artifacts of all variants that have none; the error of each that failed, by its position."""
    errors: dict[int, Exception] = {}
    todo = [number for number, params in enumerate(variants) if ctx.find(*address(params, data, ctx)) is None]
    for numbers in _alike(todo, lambda number: lm_address(variants[number], data, ctx)):
        try:
            make_lm(variants[numbers[0]], data, ctx)
        except Exception as error:
            errors |= dict.fromkeys(numbers, error)
    tuned = [number for number in todo if variants[number].finetune and number not in errors]
    for numbers in _alike(tuned, lambda number: {name: getattr(variants[number], name) for name in TRAJECTORY}):
        same = _alike(numbers, lambda number: address(variants[number], data, ctx))
        try:
            found = tune([variants[group[0]] for group in same], data, ctx)
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


def _alike(numbers: Sequence[int], key: Any) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for number in numbers:
        groups.setdefault(json.dumps(key(number), sort_keys=True), []).append(number)
    return list(groups.values())
