"""How good the sets of gen-distill variants are, scored on validation rows: how the pocket suite's sizes were chosen.

    python benchmarks/gen_distill_quality.py --task bbc --sets 10 \\
        "gen-distill[finetune=false]" "gen-distill" "gen-distill[learning_rate=1e-3]"

The variants' generators are trained one after another, or taken from the cache. Each set trains a logistic probe
(C = 10) on unit-length, mean-pooled MiniLM features, which is scored on the task's validation split; no test row is
read. Random and K-centers sets of real rows are scored beside them. Mean ± std over the sets, and the paired difference
to the first variant with its 95 % t interval. Facts of each generator follow.
"""

from __future__ import annotations

import argparse
import json
import os
import time

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression

from bench.api import TrainData, UserError
from bench.identities import made_by
from bench.plan import planned_task
from bench.selection import Choice
from bench.settings import Settings
from bench.store.artifacts import REPORT
from bench.suite import load_suite
from bench.work.context import JobContext
from bench.work.worker import Worker
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.parts import parts

SHOWN = ("seconds", "label agreement", "copies", "near-dup", "invalid", "distinct", "final loss", "mean words")


def main() -> None:
    """A line a variant and dpc, then the generators' facts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="bbc")
    parser.add_argument("--sets", type=int, default=10)
    parser.add_argument("--dpc", type=int, nargs="*")
    parser.add_argument("--data-dir")
    parser.add_argument("variants", nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    worker = Worker(Settings.make(data_dir=arguments.data_dir))
    methods = ",".join(["random", "kcenters", *arguments.variants])
    suite = load_suite("pocket", worker.registry, tasks=arguments.task, methods=methods)
    task = planned_task(suite.tasks[0], worker.assets)
    data = worker.load(task).train_data()

    def context(seed: int) -> JobContext:
        by = made_by("methods.gen_distill.method", "method")
        shared = {"task_identity": task.identity, "made_by": by}
        return JobContext(worker.assets, worker.artifacts, seed=seed, data=data, **shared)

    generated = [choice for choice in suite.methods if isinstance(choice.params, GenDistillParams)]
    wanted = [parts(choice.params) for choice in generated]  # type: ignore[arg-type]
    errors: dict[int, Exception] = {}
    started = time.perf_counter()
    for number, some in enumerate(wanted):
        try:
            for part in some:
                context(0).part(part)
        except UserError as error:
            errors[number] = error
            print(f"{generated[number].label}: {error}")
    print(f"generators: {time.perf_counter() - started:.0f} s", flush=True)
    validation = unit(np.array(context(0).features("validation", "minilm", "mean")))
    for dpc in arguments.dpc or suite.dpc_for(suite.tasks[0]):
        first: np.ndarray | None = None
        for choice in [*suite.methods[:2], *(one for n, one in enumerate(generated) if n not in errors)]:
            scores = np.array([score(worker, choice, data, dpc, context(i), validation) for i in range(arguments.sets)])
            first = scores if choice in generated and first is None else first
            print(
                f"{data.info.label} dpc {dpc} {choice.label}: {scores.mean():.1f}±{scores.std():.1f}"
                + paired(scores, first)
            )
    for number, choice in enumerate(generated):
        shown = wanted[number][1::2] if choice.params.finetune else wanted[number]  # type: ignore[attr-defined]
        ctx = context(0)
        folders = [folder for one in shown if (folder := ctx.find(*ctx.address(one))) is not None]
        if folders and number not in errors:
            reports = [json.loads((folder / REPORT).read_text(encoding="utf-8")) for folder in folders]
            facts = {name: value for report in reports for name, value in report["facts"].items()}
            print(choice.label, {name: value for name, value in facts.items() if any(word in name for word in SHOWN)})


def score(worker: Worker, choice: Choice, data: TrainData, dpc: int, ctx: JobContext, validation: np.ndarray) -> float:
    """Validation accuracy of a probe on one set, percent."""
    found = worker.registry.build(choice.spec, choice.params).distill(data, dpc, ctx)
    X = unit(ctx.embed(found.texts, "minilm", "mean"))
    probe = LogisticRegression(C=10, max_iter=1000).fit(X, found.labels)
    return 100 * float(probe.score(validation, data.validation.labels))


def paired(scores: np.ndarray, first: np.ndarray | None) -> str:
    if first is None or first is scores:
        return ""
    difference = scores - first
    half = stats.t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference))
    return f"  {difference.mean():+.1f} [{difference.mean() - half:+.1f}, {difference.mean() + half:+.1f}]"


def unit(features: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    scaled: np.ndarray = features / np.linalg.norm(features, axis=1, keepdims=True)
    return scaled


if __name__ == "__main__":
    main()
