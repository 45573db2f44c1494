"""What the unrolled training costs: against autograd through all steps, and against transformers' own modules.

    python benchmarks/unroll.py [--task bbc] [--dpc 2] [--positions 8] [--repeats 3] [--cache DIR]

Learner: the top two layers of all-MiniLM-L6-v2, one thread, memory settings as the engine's workers have. First the
same step of the training (30 inner steps) by `unrolled_gradients` and by `create_graph=True` on the same network, each
in a process of its own: CPU seconds, and the peak of the process's memory above what it held before. Then steps of the
training (3 inner steps, a batch of real rows) by the pieces of `methods.embedding` and by the straightforward way:
functional_call of the transformers classifier on `inputs_embeds`, lower layers with `requires_grad_(False)`,
`create_graph=True`. All ways are held to equal losses and gradients before anything is timed. Sets are word embeddings
in both ways; the last line has hidden states.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "33554432")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", "1073741824")

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging

from bench import plugins
from bench.api import Context, TrainData
from bench.data.assets import Assets
from bench.learners.learned import inner_loss
from bench.learners.unroll import Tensors, unrolled_gradients
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.work.context import JobContext
from methods.embedding.learner import Learner, first_vectors
from methods.embedding.params import UnrolledParams

LAYERS, LONG, SHORT, BATCH, RATE = 2, 30, 3, 32, 0.05

Found = tuple[float, Tensor, Tensor, Tensor]  # loss; gradients of E, targets and step sizes


class Case:
    """A set, real rows and a learner's start: what all ways are given."""

    def __init__(self, options: argparse.Namespace, space: str) -> None:
        settings = Settings.make(cache=options.cache)
        registry = plugins.load(settings)
        assets, artifacts = Assets(registry.assets, settings), Artifacts(settings.cache)
        spec = registry.spec("task", options.task)
        loaded = registry.build(spec, spec.params(**spec.preset)).load(JobContext(assets, artifacts))
        self.data: TrainData = loaded.train_data()
        ctx: Context = JobContext(assets, artifacts, data=self.data, seed=1)
        params = UnrolledParams(
            encoder="minilm", trainable_layers=LAYERS, space=space, positions=options.positions, start="rows"
        )
        self.learner = Learner(self.data, ctx, params)
        self.folder = ctx.asset("minilm")
        vectors = first_vectors(self.learner, self.data, options.dpc, ctx, params, 1)
        self.vectors = torch.from_numpy(vectors)
        classes = self.data.info.n_classes
        self.targets = torch.softmax(4.0 * torch.eye(classes).repeat_interleave(options.dpc, 0), 1)
        self.theta = self.learner.start(1)
        rows = np.random.default_rng(1).choice(len(self.data.train), BATCH, replace=False)
        texts = {name: [self.data.train.texts[name][row] for row in rows] for name in self.data.info.fields}
        self.labels = torch.from_numpy(self.data.train.labels[rows])
        self.tokens = self.learner.network.tokenize(texts, self.data.info.fields)
        packed = self.learner.network.prepare(self.tokens)
        self.real = self.learner.network.batch(packed, np.arange(BATCH))

    def inner(self, theta: Tensors, x: Tensors, t: int) -> Tensor:
        batch = self.learner.batch(x[0], len(self.vectors))
        return inner_loss(self.learner.network, dict(zip(self.theta, theta, strict=True)), batch, x[1])

    def outer(self, theta: Tensors) -> Tensor:
        weights, network = dict(zip(self.theta, theta, strict=True)), self.learner.network
        return functional.cross_entropy(network.logits(weights, self.real, network.dropout()), self.labels)


def by_hand(case: Case, steps: int) -> Found:
    """Reverse mode step by step."""
    vectors = case.vectors.clone().requires_grad_()
    states = case.learner.states(vectors)
    given, rates = [states.detach(), case.targets], torch.full((steps,), RATE)
    found = unrolled_gradients(list(case.theta.values()), given, rates, case.inner, case.outer)
    (to_vectors,) = torch.autograd.grad(states, vectors, found.variables[0])
    return found.loss, to_vectors, found.variables[1], found.step_sizes


def through_graph(case: Case, steps: int) -> Found:
    """Autograd through all steps of the same network."""
    leaves = [case.vectors.clone().requires_grad_(), case.targets.clone().requires_grad_()]
    rates = torch.full((steps,), RATE, requires_grad=True)
    theta: Sequence[Tensor] = list(case.theta.values())
    x = [case.learner.states(leaves[0]), leaves[1]]
    for t in range(steps):
        grads = torch.autograd.grad(case.inner(theta, x, t), theta, create_graph=True, allow_unused=True)
        theta = [w if g is None else w - rates[t] * g for w, g in zip(theta, grads, strict=True)]
    loss = case.outer(theta)
    to_vectors, to_targets, to_rates = torch.autograd.grad(loss, [*leaves, rates])
    return loss.item(), to_vectors, to_targets, to_rates


class Straightforward:
    """The transformers classifier, as most scripts would unroll it."""

    def __init__(self, case: Case) -> None:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self.case = case
        self.model = AutoModelForSequenceClassification.from_pretrained(
            case.folder, num_labels=case.data.info.n_classes, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        for part in (self.model.bert.embeddings, *self.model.bert.encoder.layer[:-LAYERS]):
            part.requires_grad_(False)
        self.batch = case.tokens.batch(np.arange(BATCH))

    def __call__(self, steps: int) -> Found:
        case = self.case
        leaves = [case.vectors.clone().requires_grad_(), case.targets.clone().requires_grad_()]
        rates = torch.full((steps,), RATE, requires_grad=True)
        theta = dict(case.theta)
        for t in range(steps):
            logits = functional_call(self.model, theta, kwargs={"inputs_embeds": leaves[0]}).logits
            loss = functional.cross_entropy(logits, leaves[1])
            grads = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
            theta = {name: w - rates[t] * g for (name, w), g in zip(theta.items(), grads, strict=True)}
        loss = functional.cross_entropy(functional_call(self.model, theta, kwargs=self.batch).logits, case.labels)
        to_vectors, to_targets, to_rates = torch.autograd.grad(loss, [*leaves, rates])
        return loss.item(), to_vectors, to_targets, to_rates


def demand_equal(name: str, found: Found, expected: Found) -> None:
    """Stop where a way does not compute the same."""
    for what, one, other in zip(("loss", "E", "targets", "step sizes"), found, expected, strict=True):
        one, other = torch.as_tensor(one), torch.as_tensor(other)
        error = float((one - other).norm() / other.norm())
        if not error < 1e-3:
            raise SystemExit(f"{name}: {what} differs by {error:.1e}, so nothing is timed")


def cpu_seconds(function: Callable[[], Any], repeats: int) -> float:
    """The best of some calls."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return best


def memory(name: str) -> int:
    """A figure of this process in bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))


def one_way(options: argparse.Namespace) -> None:
    """Peak memory above the start and CPU seconds of the long unroll, as JSON."""
    case = Case(options, "words")
    way = {"by hand": by_hand, "create_graph": through_graph}[options.only]
    way(case, 2)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # the peak starts anew
    before = memory("VmRSS")
    start = time.process_time()
    way(case, LONG)
    seconds = time.process_time() - start
    print(json.dumps({"seconds": seconds, "bytes": memory("VmHWM") - before}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="bbc")
    parser.add_argument("--dpc", type=int, default=2)
    parser.add_argument("--positions", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cache", default=None)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.only:
        one_way(options)
        return
    case = Case(options, "words")
    straightforward = Straightforward(case)
    expected = through_graph(case, SHORT)
    demand_equal("by hand", by_hand(case, SHORT), expected)
    demand_equal("straightforward", straightforward(SHORT), expected)
    n = len(case.vectors)
    print(f"{options.task}, {n} examples of {options.positions} vectors, one thread")
    found = {}
    for way in ("by hand", "create_graph"):
        command = [sys.executable, *sys.argv, "--only", way]
        runs = [json.loads(subprocess.check_output(command)) for _ in range(options.repeats)]
        found[way] = {what: min(run[what] for run in runs) for what in ("seconds", "bytes")}
        print(f"{LONG} steps, {way:13s} {found[way]['seconds']:6.2f} s {found[way]['bytes'] / 2**20:8.0f} MiB")
    hand, graph = found["by hand"], found["create_graph"]
    ratios = [hand[what] / graph[what] for what in ("bytes", "seconds")]
    print("by hand / create_graph: memory {:.2f}, time {:.2f}".format(*ratios))
    states = Case(options, "states")
    ours, plain, above = (
        cpu_seconds(way, options.repeats)
        for way in (lambda: by_hand(case, SHORT), lambda: straightforward(SHORT), lambda: by_hand(states, SHORT))
    )
    print(f"a step of the training, {SHORT} inner steps: straightforward {plain:.2f} s, ours {ours:.2f} s", end=" ")
    print(f"({plain / ours:.1f} times)")
    print(f"the same on hidden states: {above:.2f} s ({plain / above:.1f} times)")


if __name__ == "__main__":
    main()
