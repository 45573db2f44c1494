"""How fast an in-context student is against a plain loop over whole prompts, and whether both say the same.

    python benchmarks/icl.py [--model gemma3-270m] [--task bbc] [--dpc 2] [--queries 40] [--cache DIR]

Demonstrations are random train rows, queries validation rows of a task; one thread, float32. The plain loop is the
usual script: for each query the whole prompt as one text, tokenised, one forward pass of the model with all its logits,
and the first token of each label word compared at the last place; "last logits" asks the model for those of the last
place alone, as a careful script does. The student's way is `Reader.ask`: demonstrations once a
prompt, queries in batches, logits of the label words alone; its time holds the tokenisation, the run of the
demonstrations and all queries. As the demonstrations are run once for any number of queries, the ratio of a further
query is given too. Times are CPU seconds of this process, taken in turns, the best of `--repeats`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch

from bench import plugins
from bench.api import DistilledSet
from bench.data.assets import Assets
from bench.learners.in_context.prompt import BETWEEN
from bench.learners.in_context.reader import Reader, form_of
from bench.session import Session
from bench.settings import Settings


def plain_loop(
    reader: Reader, demonstrations: list[str], queries: list[str], words: tuple[str, ...], **options: Any
) -> np.ndarray:
    """log p among the first tokens of the words, float64 [N, C]: one whole prompt after another."""
    tokenizer, model = reader.tokenizer.tokenizer, reader.model.model
    tokens = [tokenizer(f"label: {word}", add_special_tokens=False)["input_ids"] for word in words]
    start = len(tokenizer("label:", add_special_tokens=False)["input_ids"])
    first = [ids[start] for ids in tokens]
    found = []
    for query in queries:
        prompt = tokenizer(BETWEEN.join([*demonstrations, query]), return_tensors="pt")
        with torch.no_grad():
            found.append(model(**prompt, **options).logits[0, -1, first].double().log_softmax(-1).numpy())
    return np.array(found)


def seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    found = run()
    return time.process_time() - started, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gemma3-270m")
    parser.add_argument("--task", default="bbc")
    parser.add_argument("--dpc", type=int, default=2)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--cache")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings.make(cache=options.cache)
    session = Session.open(settings, tasks=options.task)
    data, ctx = session.try_out(session.suite.tasks[0])
    ctx = type(ctx)(Assets(plugins.load(settings).assets, settings), session.artifacts, data=data, task_identity={})
    reader = Reader(options.model, ctx)
    form, rng = form_of(data.info, {}), np.random.default_rng(0)
    rows = np.concatenate(
        [rng.choice(data.class_rows(label), options.dpc, replace=False) for label in range(data.info.n_classes)]
    )
    shown = DistilledSet.from_rows(data, rows)
    order = rng.permutation(len(rows))
    texts = {name: [shown.texts[name][row] for row in order] for name in form.fields}  # type: ignore[index]
    labels = shown.labels[order]
    asked = {name: list(data.validation.texts[name][: options.queries]) for name in form.fields}
    demonstrations, queries = form.demonstrations(texts, labels), form.queries(asked)
    best: dict[str, float] = {}
    for _ in range(options.repeats):
        for name, run in (
            ("plain loop", lambda: plain_loop(reader, demonstrations, queries, form.words)),
            ("last logits", lambda: plain_loop(reader, demonstrations, queries, form.words, logits_to_keep=1)),
            ("student", lambda: reader.ask(form, (texts, labels), asked)[0]),
            ("demonstrations alone", lambda: reader.ask(form, (texts, labels), {n: t[:1] for n, t in asked.items()})),
        ):
            took, found = seconds(run)
            best[name] = min(took, best.get(name, np.inf))
            if name == "plain loop":
                wanted = found
            elif name == "student":
                off, flips = float(np.abs(found - wanted).max()), int((found.argmax(1) != wanted.argmax(1)).sum())
    n = len(queries)
    prefix = len(reader.tokenizer.prefix(demonstrations))
    mean = np.mean([len(ids) for ids in reader.tokenizer.continuations(queries, True)])
    print(f"{options.model}, {data.info.label}: {len(rows)} demonstrations ({prefix} tokens)")
    print(f"{n} queries, {mean:.0f} tokens each in the mean")
    print(f"largest difference of log p: {off:.1e}; other answers: {flips} of {n}")
    for name, took in best.items():
        print(f"{name:22s} {took:8.2f} s")
    own = (best["student"] - best["demonstrations alone"]) / (n - 1)
    for name in ("plain loop", "last logits"):
        print(f"{name} / student: {best[name] / best['student']:.1f}; a further query: {best[name] / n / own:.1f}")


if __name__ == "__main__":
    main()
