"""How fast the fine-tuned student is: against the usual way in one run, and against what this machine could do at all.

    MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=1073741824 python benchmarks/student.py [--sizes 10 25]

Students train the top two layers of all-MiniLM-L6-v2 on rows of a task, one thread, with the memory settings that the
engine's workers have. The usual way: `AutoModelForSequenceClassification`, `requires_grad_(False)` below, the whole
model in each step. Its steps are scaled to the recipe's 200. Times are CPU seconds of this process, taken in turns, the
best of `--repeats`.

The limit of a replicate (training and labelling the test split) is the time of its own matrix products, each alone at
its best, and of one AdamW pass a step: what is left to gain is 1 minus limit / measured.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_cosine_schedule_with_warmup
from transformers.utils import logging

from bench import plugins
from bench.api import DistilledSet, Queries
from bench.data.assets import Assets
from bench.learners.recipe import Recipe, make_trainer
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.work.context import JobContext
from students.encoder import EncoderStudent, targets
from students.params import EncoderParams

LAYERS = 2
PRODUCTS = {"_linear_pointwise", "mm", "bmm", "addmm", "baddbmm"}

Product = tuple[Any, tuple[Any, ...]]  # an operator and its arguments, tensors by shape and stride


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
        optimiser = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=1e-4)
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


class Recorder(TorchDispatchMode):
    """Counts the matrix products of what runs inside."""

    def __init__(self) -> None:
        super().__init__()
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.overloadpacket.__name__ in PRODUCTS:
            facts = (
                (tuple(a.shape), a.stride()) if isinstance(a, torch.Tensor) else tuple(a) if isinstance(a, list) else a
                for a in args
            )
            self.products[function, tuple(facts)] += 1
        return function(*args, **(kwargs or {}))


@torch.no_grad()
def alone(product: Product, repeats: int = 5) -> float:
    """CPU seconds of a product by itself, the best of some."""
    function, facts = product
    args = []
    for fact in facts:
        if isinstance(fact, tuple) and len(fact) == 2 and isinstance(fact[0], tuple):
            args.append(torch.empty_strided(*fact).fill_(0.5))
        else:
            args.append(list(fact) if isinstance(fact, tuple) else fact)

    def several(calls: int) -> float:
        return seconds(lambda: [function(*args) for _ in range(calls)]) / calls

    calls = 1
    while several(calls) * calls < 2e-3:  # long against the clock's grain
        calls *= 2
    return min(several(calls) for _ in range(repeats))


def seconds(function: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 25, 50])
    parser.add_argument("--steps", type=int, default=20, help="of the usual way")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--task", default="bbc")
    parser.add_argument("--cache", default=None)
    parser.add_argument("--limit-only", action="store_true", help="leave the usual way out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings.make(cache=options.cache)
    registry = plugins.load(settings)
    assets, artifacts = Assets(registry.assets, settings), Artifacts(settings.cache)
    spec = registry.spec("task", options.task)
    data = registry.build(spec, spec.params(**spec.preset)).load(JobContext(assets, artifacts))
    queries: Queries = data.queries()
    context = JobContext(assets, artifacts, data=queries, seed=1)
    c, fields = data.info.n_classes, data.info.fields
    usual = Usual(str(context.asset("minilm")), c)
    student = EncoderStudent(EncoderParams(model="minilm", trainable_layers=LAYERS))
    network = student._load(c, context)
    network.shared(queries.texts, fields, context)  # fills the cache of frozen states
    rows = np.random.default_rng(0).permutation(len(data.train))
    print(f"{options.task}: CPU seconds for {Recipe().steps} steps and {len(queries)} labels, one thread")
    print("   N  tokens  replicate  limit  limit/replicate  usual  usual/replicate")
    for n in options.sizes:
        distilled = DistilledSet.from_rows(data.train_data(), rows[:n])
        assert distilled.texts is not None
        columns = [list(distilled.texts[name]) for name in fields]
        labels = targets(distilled)
        tokens = int(network.tokenize(distilled.texts, fields).lengths().sum())
        with Recorder() as recorder:
            student.predict(distilled, queries, context)
        weights = network.initial(torch.Generator())
        trainer = make_trainer(weights, network.spared, Recipe(), Recipe().steps)
        for weight in weights.values():
            weight.grad = torch.full_like(weight, 1e-3)
        ours, theirs, limits = [], [], []
        for _ in range(options.repeats):
            ours.append(seconds(lambda: student.predict(distilled, queries, context)))  # noqa: B023
            products = sum(count * alone(product) for product, count in recorder.products.items())
            adam = min(seconds(trainer.apply) for _ in range(20))
            limits.append(products + Recipe().steps * adam)
            if not options.limit_only:
                taken = seconds(lambda: usual.fit(columns, labels, options.steps))  # noqa: B023
                test = [list(queries.texts[name]) for name in fields]
                theirs.append(taken * Recipe().steps / options.steps + seconds(lambda: usual.predict(test)))  # noqa: B023
        mine, limit = min(ours), min(limits)
        line = f"{n:4d}  {tokens:6d}  {mine:9.2f}  {limit:5.2f}  {limit / mine:15.2f}"
        print(line + (f"  {min(theirs):5.1f}  {min(theirs) / mine:15.1f}" if theirs else ""), flush=True)


if __name__ == "__main__":
    main()
