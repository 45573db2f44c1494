"""The method: generators that are made once, and the distilled set that stage 3 makes of their samples."""

from __future__ import annotations

import numpy as np

from bench.api import Context, DistilledSet, Method, TrainData, UserError
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.parts import generator_part, parts
from methods.gen_distill.reports import max_tokens_of
from methods.gen_distill.sources import load_source
from methods.gen_distill.synthesis import draw_pools, select


class GenDistill(Method):
    """Trains a language model on the task, fine-tunes it by gradient matching, and samples the set from it.

    With start=prompt it samples from a pretrained model that goes on from train rows of the class.
    """

    params: GenDistillParams

    def distill(self, data: TrainData, dpc: int | None, ctx: Context) -> DistilledSet:
        """Stage 3: over_sample * dpc texts a class, of which K-centers selects dpc."""
        if dpc is None or dpc < 1:
            raise UserError(f"dpc must be 1 or more, not {dpc}")
        folder = ctx.part(generator_part(self.params))
        for part in parts(self.params):
            ctx.part(part)  # the set's page shows the reports of all of them
        generator = load_source(folder, self.params, data, ctx)
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
