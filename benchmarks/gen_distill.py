"""gen-distill against the plain way, in one run: the matching step, diverse batches, stage 1, sampling. One thread.

    python benchmarks/gen_distill.py [--repeats 3] [--lm-steps 150] [--only stage1]

- Matching step: 64 synthetic and 200 real sentences of one class of `bbc`, learner all-MiniLM-L6-v2 with all
  layers, dropout off; L_GM and dL_GM/da. The plain way is `plain_matching.py`: autograd for all parameters, as the
  authors' code has it, or for the last layer's alone. Each way has a process of its own. Seconds are CPU seconds,
  best of `--repeats`; memory is the process's peak in its first step less what it held before. Both ways give the
  same loss and gradient, which is checked first.
- Diverse batches: 200 batches of 64 out of 12,800 samples (their MiniLM features), k-means included, as a part of
  the 200 matching steps that they serve.
- Stage 1: a step of 64 `bbc` sentences of at most 32 tokens, the pocket suite's 2 x 256 GPT-2. The plain way is
  transformers' own forward pass on padded texts, cross-entropy, and gradients that are set to zero and added to. Steps
  of both ways take turns on the same batches; both give the same losses and gradients, bit for bit, which is checked.
- Sampling: a 4 x 256 GPT-2 trained on `bbc` for `--lm-steps` steps, so that texts have ends; top-p 0.95, 1,024
  texts in batches of 256. The plain way is `generate`, padded to the batch's slowest text. Tokens up to the end
  token count.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
from plain_matching import PlainLearner
from transformers.utils import logging

from bench.api import TrainData
from bench.learners.causal.model import pieces
from bench.learners.pretrained import own_rng
from bench.learners.train import Schedule
from bench.session import Session
from bench.settings import Settings
from bench.work.context import JobContext
from methods.gen_distill.batches import diverse_batches
from methods.gen_distill.generator import Generator, make_generator
from methods.gen_distill.learner import Learner
from methods.gen_distill.lm import MICRO_TOKENS, Order, make_trainer, train_lm
from methods.gen_distill.matching import match
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.sampling import sample
from methods.gen_distill.stage1 import train_sequences

SYNTHETIC, REAL, LABEL = 64, 200, 0
SAMPLES, BATCH = 1024, 256
WAYS = {"closed form": "bench", "autograd, all parameters": "plain", "autograd, last layer": "plain"}
Step = Callable[[], tuple[float, torch.Tensor]]


def load(task: str = "bbc") -> tuple[TrainData, JobContext]:
    """A pocket task's train data and a context for it."""
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    session = Session.open(Settings.make(), tasks=task)
    return session.try_out(session.suite.tasks[0])


def params(**changes: Any) -> GenDistillParams:
    return GenDistillParams(
        generator="scratch", encoder="minilm", pooling="mean", learner="minilm", learner_dropout=False, **changes
    )


def steps(data: TrainData, ctx: JobContext, ways: list[str]) -> dict[str, Step]:
    """One matching step each, on the same texts, weights a_i and head."""
    rows = data.class_rows(LABEL)
    real, other = rows[:REAL], rows[REAL : REAL + SYNTHETIC]
    texts = {"sentence": [data.train.texts[data.info.fields[0]][row] for row in other]}
    real_texts = [data.train.texts[data.info.fields[0]][row] for row in real]
    texts = {data.info.fields[0]: texts["sentence"]}
    a = torch.softmax(torch.randn(SYNTHETIC, generator=torch.Generator().manual_seed(1)), 0)
    generator = torch.Generator().manual_seed(0)
    width, classes = 384, data.info.n_classes
    head = [torch.randn(classes, width, generator=generator) * 0.02, torch.randn(classes, generator=generator) * 0.02]
    found: dict[str, Step] = {}
    for way in ways:
        if WAYS[way] == "bench":
            learner = Learner(data, ctx, params())
            learner.start(0)
            with torch.no_grad():
                for kind, value in zip(("weight", "bias"), head, strict=True):
                    learner.weights[f"{learner.head.out}.{kind}"].copy_(value)

            def closed(learner: Learner = learner) -> tuple[float, torch.Tensor]:
                target = learner.real(real).gradient(torch.full((REAL,), 1.0 / REAL))
                return match(target, learner.factors(learner.prepare(texts), np.arange(SYNTHETIC), LABEL), a)

            found[way] = closed
        else:
            plain = PlainLearner(str(ctx.asset("minilm")), classes, head_only=way.endswith("last layer"))
            with torch.no_grad():
                for parameter, value in zip(plain.head, head, strict=True):
                    parameter.copy_(value)
            found[way] = lambda plain=plain: plain.step(real_texts, texts[data.info.fields[0]], LABEL, a)  # type: ignore[misc]
    return found


def memory(name: str) -> float:
    """VmRSS or VmHWM (its peak) of this process in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def measure(way: str, repeats: int, answer: Any) -> None:
    """In a process of its own: (CPU seconds, extra MiB)."""
    step = steps(*load(), [way])[way]
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    step()
    extra = memory("VmHWM") - before
    answer.send((best(step, repeats), extra))


def best(what: Callable[[], Any], repeats: int) -> float:
    found = []
    for _ in range(repeats):
        started = time.process_time()
        what()
        found.append(time.process_time() - started)
    return min(found)


def check() -> None:
    """Stop unless all ways agree."""
    found = {way: step() for way, step in steps(*load(), list(WAYS)).items()}
    loss, gradient = found["closed form"]
    for way, (other, other_gradient) in found.items():
        worst = float((gradient - other_gradient).abs().max() / other_gradient.abs().max())
        print(f"check: {way}: L_GM {other:.6f}, dL/da differs by {worst:.1e} of its largest entry")
        assert abs(loss - other) < 1e-4
        assert worst < 1e-3


def matching(repeats: int) -> float:
    """Prints the table; seconds of the closed form."""
    context = multiprocessing.get_context("spawn")
    found = {}
    for way in WAYS:
        mine, theirs = context.Pipe()
        child = context.Process(target=measure, args=(way, repeats, theirs))
        child.start()
        found[way] = mine.recv()
        child.join()
    seconds, extra = found["closed form"]
    for way, (s, m) in found.items():
        print(
            f"{way:26s} {s:7.2f} s  {m:8.0f} MiB extra   {s / seconds:5.2f} x the time, {m / extra:5.1f} x the memory"
        )
    return float(seconds)


def batches(data: TrainData, ctx: JobContext, step: float) -> None:
    features = np.array(ctx.features("train", "minilm", "cls"))
    rng = np.random.default_rng(0)
    pool = features[rng.integers(len(features), size=64 * 200)]
    pool = pool + rng.normal(0, 0.05 * features.std(), pool.shape).astype(np.float32)  # 12,800 different ones
    seconds = best(lambda: diverse_batches(pool, 64, 200, "random", 0), 2)
    print(
        f"diverse batches of 12,800 x {pool.shape[1]}: {seconds:.2f} s, "
        f"{seconds / (200 * step):.2%} of 200 matching steps"
    )


def stage1(data: TrainData, ctx: JobContext, steps: int) -> None:
    """CPU seconds of a step, median; the ratio is the median of those of the single steps."""
    p = params(scratch_layers=2, class_vectors=True, max_tokens=32, lm_learning_rate=2e-3)
    generator = make_generator(p, data, ctx)
    sequences, _ = train_sequences(generator, p, data)
    order = Order(len(sequences), p.lm_batch, 0)
    trainer = make_trainer(generator, Schedule(p.lm_learning_rate, 2 * steps, 0.0), p)
    generator.train_mode()
    spent: dict[bool, list[float]] = {False: [], True: []}
    for step in range(steps + 1):
        chosen = [sequences[row] for row in order.rows(step)]
        found = []
        for packed in (False, True):
            generator.packed = packed
            if packed:
                trainer.clear()
            else:
                for weight in trainer.weights.values():
                    weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
            started = time.process_time()
            if not packed:
                for weight in trainer.weights.values():
                    weight.grad.zero_()  # type: ignore[union-attr]
            losses = []
            for number, piece in enumerate(pieces(chosen, MICRO_TOKENS["cpu"])):
                with own_rng(number, "cpu"):
                    l = generator.losses([chosen[place] for place in piece], "length", 32)  # noqa: E741
                (l.sum() / len(chosen)).backward()
                losses.append(l.detach())
            trainer.clip()
            spent[packed].append(time.process_time() - started)
            found.append([*losses, *(w.grad.clone() for w in trainer.weights.values() if w.grad is not None)])
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
        trainer.apply()
    plain, ours = (np.array(spent[packed][1:]) for packed in (False, True))
    print(
        f"stage 1, a step: bench {np.median(ours):.3f} s, transformers' own pass {np.median(plain):.3f} s, "
        f"ratio {np.median(plain / ours):.2f}; equal bit for bit over {steps} steps"
    )


def train(data: TrainData, ctx: JobContext, lm_steps: int) -> tuple[Generator, int]:
    p = params(lm_steps=lm_steps, lm_learning_rate=2e-3)
    generator = make_generator(p, data, ctx)
    sequences = generator.template.encode(data.train.texts, data.info.fields, data.train.labels)
    with tempfile.TemporaryDirectory() as folder:
        train_lm(generator, sequences, p, seed=0, workspace=Path(folder))
    return generator, max(map(len, sequences))


def sampling(generator: Generator, longest: int, n_classes: int, repeats: int) -> None:
    classes = np.arange(SAMPLES) % n_classes
    starts = torch.tensor([generator.template.bos[label] for label in classes])

    def ours() -> int:
        return sum(map(len, sample(generator, classes, max_tokens=longest, top_p=0.95, seed=0, batch=BATCH)))

    def plain() -> int:
        tokens = 0
        eos = generator.template.eos
        with own_rng(0, "cpu"), torch.inference_mode():
            for some in starts.split(BATCH):
                out = generator.model.generate(
                    some[:, None],
                    attention_mask=torch.ones(len(some), 1, dtype=torch.int64),
                    do_sample=True,
                    top_p=0.95,
                    top_k=0,
                    max_length=longest,
                    eos_token_id=eos,
                    pad_token_id=eos,
                    suppress_tokens=list(generator.template.banned),
                )
                ended = (out[:, 1:] == eos).int()
                tokens += int(torch.where(ended.any(1), ended.argmax(1) + 2, out.shape[1]).sum())
        return tokens

    speeds = {}
    for name, way in (("bench", ours), ("generate, padded", plain)):
        speeds[name] = 0.0
        for _ in range(repeats):
            started = time.process_time()
            tokens = way()
            speeds[name] = max(speeds[name], tokens / (time.process_time() - started))
    for name, speed in speeds.items():
        print(f"sampling, {name:18s} {speed:8.0f} tokens/s   {speeds['bench'] / speed:5.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--lm-steps", type=int, default=150)
    parser.add_argument("--only", choices=["stage1"])
    arguments = parser.parse_args()
    if arguments.only:
        stage1(*load(), arguments.lm_steps)
        return
    check()
    seconds = matching(arguments.repeats)
    data, ctx = load()
    batches(data, ctx, seconds)
    stage1(data, ctx, arguments.lm_steps)
    generator, longest = train(data, ctx, arguments.lm_steps)
    sampling(generator, longest, data.info.n_classes, arguments.repeats)


if __name__ == "__main__":
    main()
