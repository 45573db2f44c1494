"""What a generator's texts look like: variety, copies, length, and whether they belong to their class.

A method never sees the test split, so copies are counted against the train and the validation split only; the engine
counts those of test texts in the distilled sets.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Context, Part, TrainData
from bench.data.overlap import Columns, copies, near_duplicates, normalised
from bench.learners.seeds import derive
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.parts import params_of
from methods.gen_distill.reports import REPORT, max_tokens_of, write_json
from methods.gen_distill.sampling import Source
from methods.gen_distill.sources import load_source
from methods.gen_distill.synthesis import draw_pools
from methods.making import one_by_one

SAMPLES = 250  # texts of all classes together that `diagnose` samples: shares are within 6 points in 19 of 20 reports
FEWEST = 20  # texts of a class that it samples at least
FIT_ROWS = 20_000  # train rows that the probe of label agreement learns from at most
SHOWN = 5  # texts of a class that a report shows


def make(parts: Sequence[Part], data: TrainData, ctx: Context) -> dict[int, Exception]:
    """Report on samples of generators; the error of each part that failed, by its position."""
    return one_by_one(_make, parts, data, ctx)


def _make(part: Part, data: TrainData, ctx: Context) -> None:
    kind, fields, code = ctx.address(part)
    generator = ctx.part(part.needs[0])
    ctx.artifact(kind, fields, partial(_write, part=part, trained=generator, data=data, ctx=ctx), code)


def _write(folder: Path, part: Part, trained: Path, data: TrainData, ctx: Context) -> None:
    started = time.perf_counter()
    params = params_of(part)
    found = diagnose(load_source(trained, params, data, ctx), data, params, max_tokens_of(trained), ctx)
    facts = found["facts"] | {"diagnostics, seconds": round(time.perf_counter() - started, 1)}
    stage = "from a prompt" if params.start == "prompt" else "before fine-tuning"
    stage = "fine-tuned" if part.needs[0].needs else stage
    title = f"samples of the gen-distill generator of {data.info.label}, {stage}"
    write_json(folder / REPORT, found | {"title": title, "facts": facts})


def diagnose(
    generator: Source, data: TrainData, params: GenDistillParams, max_tokens: int, ctx: Context
) -> dict[str, Any]:
    """Facts on fresh samples of a generator, and some of them to read: {"facts": ..., "texts": ...}.

    Their seed derives from `generator_seed`, so they are no sample that a distilled set holds. The probe of label
    agreement knows at most FIT_ROWS train rows; its agreement on validation texts is the mark to compare with.
    """
    info = data.info
    n = max(FEWEST, SAMPLES // info.n_classes)
    seed = derive(params.generator_seed, "diagnostics")
    pools = draw_pools(
        generator, info, dict.fromkeys(range(info.n_classes), n), params, max_tokens=max_tokens, seed=seed
    )
    texts = {name: [text for pool in pools for text in pool.texts[name]] for name in info.fields}
    labels = np.repeat(np.arange(info.n_classes), n)
    refused = sum((pool.refused for pool in pools), Counter[str]())
    drawn, invalid = sum(pool.drawn for pool in pools), refused.total()
    tokens = [len(sequence) - 2 for pool in pools for sequence in pool.sequences]  # without start and end
    rng = np.random.default_rng(seed)
    known = np.sort(rng.permutation(len(data.train))[:FIT_ROWS])
    encoder = (params.encoder, params.pooling, params.max_length)
    train = ctx.features("train", *encoder)[known]
    agreement, mark = label_agreement(
        train,
        data.train.labels[known],
        (ctx.embed(texts, *encoder), labels),
        (ctx.features("validation", *encoder), data.validation.labels),
    )
    facts = {
        "samples": len(labels),
        "samples, invalid rate": invalid / drawn,
        **{f"samples, invalid: {reason}": n / drawn for reason, n in sorted(refused.items())},
        "samples, distinct": distinct(texts),
        "samples, with broken characters": broken(texts),
        "samples, mean words": mean_words(texts),
        "samples, mean tokens": float(np.mean(tokens)),
        "samples, copies of train texts": float(copies(texts, data.train.texts).mean()),
        "samples, near-duplicates of train texts": float(near_duplicates(texts, data.train.texts).mean()),
        "samples, near-duplicates of validation texts": float(near_duplicates(texts, data.validation.texts).mean()),
        "samples, label agreement": agreement,
        "validation texts, label agreement": mark,
    }
    shown = {}
    for name, pool in zip(info.label_names, pools, strict=True):
        columns = [pool.texts[column][:SHOWN] for column in info.fields]
        shown[f"samples of {name}"] = [" | ".join(row) for row in zip(*columns, strict=True)]
    read: dict[str, Any] = {name: round(value, 4) for name, value in facts.items()}
    return {
        "facts": read | {"samples, top_p": params.top_p, "label agreement, encoder": params.encoder},
        "texts": shown,
    }


def distinct(texts: Columns) -> float:
    """Share of different texts among n >= 1, in (0, 1]; normalised."""
    rows = normalised(texts)
    return len(set(rows)) / len(rows)


def broken(texts: Columns) -> float:
    """Share of n >= 1 texts or pairs that hold U+FFFD, which stands for bytes that are no character."""
    rows = list(zip(*texts.values(), strict=True))
    return sum("\ufffd" in "".join(row) for row in rows) / len(rows)


def mean_words(texts: Columns) -> float:
    """Words, divided by blanks, of a text or of both texts of a pair; mean over n >= 1."""
    n = len(next(iter(texts.values())))
    return sum(len(text.split()) for column in texts.values() for text in column) / n


def label_agreement(
    features_train: np.ndarray, labels_train: np.ndarray, *collections: tuple[np.ndarray, np.ndarray]
) -> list[float]:
    """For each collection of (features [n, d], labels [n]): the share whose label a probe of the train rows gives back.

    The probe is a logistic regression (scikit-learn, C=1.0) on features of unit length.
    """
    from sklearn.linear_model import LogisticRegression

    probe = LogisticRegression(C=1.0, max_iter=1000).fit(_unit(features_train), labels_train)
    return [float((probe.predict(_unit(X)) == labels).mean()) for X, labels in collections]


def _unit(X: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    unit: np.ndarray = X / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
