"""Speed of frozen-encoder features against the plain loop that a user would write, in one run on one thread.

    python benchmarks/features.py [--encoder minilm] [--task bbc] [--rows 600]

The plain loop: batches of 32 in the given order, padding=True, no_grad, both poolings. Prints the seconds of CPU
time of each way, its ratio to the plain loop (above 1 is faster) and its largest difference from it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from bench import plugins
from bench.api import Split
from bench.data import features
from bench.data.assets import Assets
from bench.data.encoders import Encoder, load_encoder, load_model, tokenize
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.work.context import JobContext

Features = dict[str, np.ndarray]


def plain(encoder: Encoder, columns: list[list[str]], max_length: int) -> Features:
    """The loop of a tutorial."""
    cls, mean = [], []
    with torch.no_grad():
        for start in range(0, len(columns[0]), 32):
            part = [column[start : start + 32] for column in columns]
            batch = encoder.tokenizer(*part, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
            hidden = encoder.model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            cls.append(hidden[:, 0])
            mean.append((hidden * mask).sum(1) / mask.sum(1))
    return {"cls": torch.cat(cls).numpy(), "mean": torch.cat(mean).numpy()}


@contextmanager
def setting(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def unsorted_batches(lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """What `longest_first` would be without sorting: the given order, the same budget."""
    out: list[list[int]] = [[]]
    longest = 0
    for row, length in enumerate(lengths):
        longest = max(longest, int(length))
        if out[-1] and longest * (len(out[-1]) + 1) > budget:
            out.append([])
            longest = int(length)
        out[-1].append(row)
    return [np.array(rows) for rows in out]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--task", default="bbc")
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    settings = Settings.make()
    registry = plugins.load(settings)
    assets = Assets(registry.assets, settings)
    encoder = load_encoder(assets.fetch(arguments.encoder))
    untouched = replace(encoder, model=load_model(encoder.folder))
    spec = registry.spec("task", arguments.task)
    task = registry.build(spec, spec.params(**spec.preset))
    data = task.load(JobContext(assets, Artifacts(settings.cache)))  # type: ignore[attr-defined]
    split: Split = data.train
    rows = np.random.default_rng(0).choice(len(split), arguments.rows, replace=False)
    texts = {field: [split.texts[field][row] for row in rows] for field in data.info.fields}
    limit = min(arguments.max_length, encoder.max_length or arguments.max_length)

    def ours(by: Encoder = encoder) -> Features:
        return features.encode_tokens(by, tokenize(by.tokenizer, texts, data.info.fields, limit))

    def with_budget(budget: int) -> Callable[[], Features]:
        def run() -> Features:
            with setting(features, "BATCH_TOKENS", {"cpu": budget}):
                return ours()

        return run

    def without_sorting() -> Features:
        with setting(features, "longest_first", unsorted_batches):
            return ours()

    def eager() -> Features:
        encoder.model.set_attn_implementation("eager")
        try:
            return ours()
        finally:
            encoder.model.set_attn_implementation("sdpa")

    def flush_denormal() -> Features:
        torch.set_flush_denormal(True)
        try:
            return ours()
        finally:
            torch.set_flush_denormal(False)

    ways: dict[str, Callable[[], Features]] = {
        "plain loop": lambda: plain(untouched, list(texts.values()), limit),
        "bench.data.features": ours,
        "  without oneDNN": lambda: ours(untouched),
        "  without sorting": without_sorting,
        **{f"  budget {budget} tokens": with_budget(budget) for budget in (256, 512, 2048, 4096, 8192)},
        "  eager attention": eager,
        "  flush denormals": flush_denormal,
    }
    reference = ways["plain loop"]()  # also warms up allocators and kernels
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    difference = dict.fromkeys(ways, 0.0)
    for _ in range(arguments.rounds):  # interleaved, so that other load on the machine meets every way
        for name, way in ways.items():
            start = time.process_time()
            got = way()
            seconds[name].append(time.process_time() - start)
            difference[name] = max(
                float(np.abs(got[pooling] - reference[pooling]).max()) for pooling in features.POOLINGS
            )
    tokens = tokenize(encoder.tokenizer, texts, data.info.fields, limit).lengths()
    print(
        f"{arguments.encoder} on {arguments.task}: {len(tokens)} texts, {tokens.mean():.1f} tokens a text, "
        f"{torch.get_num_threads()} thread, median of {arguments.rounds}"
    )
    base = float(np.median(seconds["plain loop"]))
    for name, values in seconds.items():
        median = float(np.median(values))
        print(f"{name:24s} {median:7.2f} s  x{base / median:4.2f}  texts/s {len(tokens) / median:6.1f}", end="")
        print(f"  largest difference {difference[name]:.1e}")


if __name__ == "__main__":
    main()
