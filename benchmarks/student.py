"""How much faster the split student is than the usual way with the same layers frozen, in one run.

    python benchmarks/student.py [--sizes 10 25 50] [--steps 20] [--task bbc]

Both train the top two layers of all-MiniLM-L6-v2 on the same sentences with the same recipe, one thread. The
usual way: `AutoModelForSequenceClassification`, `requires_grad_(False)` below, the whole model in each step.
Steps are scaled to the recipe's 200; prediction is that of the task's test split. Times are CPU seconds of this
process, taken in turns, the best of `--repeats`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
from bench.learners.split import SplitModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_cosine_schedule_with_warmup
from transformers.utils import logging

from bench import plugins
from bench.api import DistilledSet, Queries
from bench.context import JobContext
from bench.data.assets import Assets
from bench.learners.recipe import Recipe
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from students.encoder import targets

LAYERS = 2


class Usual:
    """The whole model in every step, as most scripts do it."""

    def __init__(self, folder: str, n_classes: int) -> None:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=n_classes, dtype="float32")
        base = self.model.base_model
        for part in (base.embeddings, *base.encoder.layer[:-LAYERS]):
            part.requires_grad_(False)

    def encode(self, texts: list[list[str]]) -> dict[str, torch.Tensor]:
        return self.tokenizer(*texts, padding=True, truncation=True, max_length=512, return_tensors="pt")

    def fit(self, texts: list[list[str]], labels: torch.Tensor, steps: int) -> None:
        self.model.train()
        batch = self.encode(texts)
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        schedule = get_cosine_schedule_with_warmup(optimiser, steps // 2, steps)
        for _ in range(steps):
            optimiser.zero_grad()
            self.model(**batch, labels=labels).loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimiser.step()
            schedule.step()

    @torch.no_grad()
    def predict(self, texts: list[list[str]]) -> None:
        self.model.eval()
        for start in range(0, len(texts[0]), 64):
            self.model(**self.encode([column[start : start + 64] for column in texts]))


def seconds(function: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 25, 50])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--task", default="bbc")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings.make()
    registry = plugins.load(settings)
    assets, artifacts = Assets(registry.assets, settings), Artifacts(settings.cache)
    spec = registry.spec("task", options.task)
    data = registry.build(spec, spec.params(**spec.preset)).load(JobContext(assets, artifacts))
    queries: Queries = data.queries()
    context = JobContext(assets, artifacts, data=queries)
    folder, identity = context.asset("minilm"), context.asset_identity("minilm")
    c, fields = data.info.n_classes, data.info.fields
    split = SplitModel(
        folder, c, "cpu", trainable_layers=LAYERS, dropout=None, max_length=512, identity=identity
    )  # fmt: skip
    usual = Usual(str(folder), c)
    split.scores(queries, context)  # fills the cache of frozen states
    rows = np.random.default_rng(0).permutation(len(data.train))
    print(f"{options.task}: CPU seconds for {Recipe().steps} steps, one thread, best of {options.repeats}")
    print("   N  tokens   split   usual   ratio")
    for n in options.sizes:
        distilled = DistilledSet.from_rows(data.train_data(), rows[:n])
        assert distilled.texts is not None
        columns = [list(distilled.texts[name]) for name in fields]
        labels, recipe = targets(distilled), Recipe(steps=options.steps, min_epochs=0)
        tokens = int(split.texts.encode(distilled.texts, fields).lengths().sum())
        pairs = [
            (
                seconds(lambda: split.fit(distilled, queries, labels, recipe, context)),  # noqa: B023
                seconds(lambda: usual.fit(columns, labels, options.steps)),  # noqa: B023
            )
            for _ in range(options.repeats)
        ]
        ours, theirs = (min(times) * Recipe().steps / options.steps for times in zip(*pairs, strict=True))
        print(f"{n:4d}  {tokens:6d}  {ours:6.1f}  {theirs:6.1f}  {theirs / ours:6.1f}", flush=True)
    test = [list(queries.texts[name]) for name in fields]
    ours, theirs = seconds(lambda: split.scores(queries, context)), seconds(lambda: usual.predict(test))
    print(f"prediction of {len(queries)} test rows: {ours:.2f} s, usual {theirs:.2f} s, ratio {theirs / ours:.1f}")


if __name__ == "__main__":
    main()
