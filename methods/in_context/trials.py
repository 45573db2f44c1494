"""Random sets and how well a language model labels train rows with them, as a part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.api import Context, Part, TrainData
from bench.learners.in_context.reader import Reader, form_of
from methods.baselines.ranking import Ranking, draw_candidates, write_ranking
from methods.in_context.params import BestDemonstrationsParams
from methods.making import one_by_one


def make(parts: Sequence[Part], data: TrainData, ctx: Context) -> dict[int, Exception]:
    """Make the trials that are not there; the error of each that failed, by its position."""
    return one_by_one(_make, parts, data, ctx)


def _make(part: Part, data: TrainData, ctx: Context) -> None:
    kind, fields, code = ctx.address(part)
    own = dict(part.fields)
    dpc = int(own.pop("dpc"))
    params = BestDemonstrationsParams(**own)

    def build(folder: Path) -> None:
        candidates = draw_candidates(data, dpc, params.candidates, ctx)
        reader = Reader(params.model, ctx)
        write_ranking(folder, try_out(reader, candidates, data, params, ctx), data, dpc)

    ctx.artifact(kind, fields, build, code)


def try_out(
    reader: Reader, candidates: np.ndarray, data: TrainData, params: BestDemonstrationsParams, ctx: Context
) -> Ranking:
    """Candidates [count, n] as demonstrations, each in one order: by accuracy, then by loss, then as they were drawn.

    All label the same train rows, `score_rows` of those that no candidate holds, drawn once.
    """
    train, form = data.train, form_of(data.info, params.label_words)
    free = np.setdiff1d(np.arange(len(train)), candidates)
    scored = np.sort(
        ctx.rng("score rows").permutation(free if len(free) else np.arange(len(train)))[: params.score_rows]
    )
    found = np.empty((len(candidates), 2))

    def texts(rows: np.ndarray) -> dict[str, list[str]]:
        return {name: [train.texts[name][row] for row in rows] for name in form.fields}

    for number, rows in enumerate(candidates):
        shown = ctx.rng("order", number).permutation(rows)
        (scores,) = reader.ask(form, (texts(shown), train.labels[shown]), texts(scored))
        wanted = train.labels[scored]
        found[number] = (scores.argmax(1) == wanted).mean(), -scores[np.arange(len(wanted)), wanted].mean()
        ctx.progress(number + 1, len(candidates), "trying demonstrations")
    accuracy, loss = found.T
    best = np.lexsort((loss, -accuracy))
    return Ranking(candidates[best], accuracy[best], loss[best])
