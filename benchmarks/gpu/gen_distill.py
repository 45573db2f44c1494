"""gen-distill on a GPU: against the CPU first, then speed, memory, and the hours that the paper's protocol would take.

    python benchmarks/gpu/gen_distill.py [--repeats 5]

Nothing is fetched: a GPT-2 small and a BERT-base with random weights, a tiny tokenizer each, and texts of about 30
tokens. So times are those of the paper's models at this length; generated texts run to `--max-tokens`. CUDA runs
under bf16 autocast, and agreement is checked within its tolerance. Exit code 1 when a check fails.

Not run yet: no GPU was at hand when this was written (2026-11-24).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

sys.path.insert(0, str(Path(__file__).parent.parent))

from plain_matching import PlainLearner

from bench.api import Split, TaskInfo, TrainData
from bench.data.assets import Assets
from bench.learners.pretrained import own_rng
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.testing import build_tiny_encoder, build_tiny_generator
from bench.testing.encoder import WORDS
from bench.work.context import JobContext
from methods.gen_distill.batches import cluster
from methods.gen_distill.finetune import backward
from methods.gen_distill.generator import make_generator
from methods.gen_distill.learner import Learner
from methods.gen_distill.matching import match
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.sampling import sample

CLASSES, ROWS, WORDS_A_TEXT = 2, 400, 20
SYNTHETIC, REAL, STEPS, LEARNER_STEPS = 64, 200, 20_000, 20  # of the paper
TOLERANCE = 0.03  # of bf16


def build(folder: Path) -> tuple[TrainData, GenDistillParams]:
    """Models of the paper's sizes in `folder`, and a task of random sentences."""
    encoder, generator = build_tiny_encoder(folder / "encoder"), build_tiny_generator(folder / "generator")
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(AutoTokenizer.from_pretrained(encoder)))).save_pretrained(encoder)
    tokenizer = AutoTokenizer.from_pretrained(generator)
    ends = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id}
    GPT2LMHeadModel(GPT2Config(vocab_size=50_257, **ends)).save_pretrained(generator)
    rng = np.random.default_rng(0)
    labels = np.arange(CLASSES * ROWS) % CLASSES
    texts = {"sentence": [" ".join(rng.choice(WORDS.split(), WORDS_A_TEXT)) for _ in labels]}
    split = Split(texts, labels)
    data = TrainData(TaskInfo("random", ("sentence",), ("no", "yes")), split, split)
    return data, GenDistillParams(
        generator=str(generator), encoder=str(encoder), learner=str(encoder), learner_dropout=False, outer_loops=1
    )


class Side:
    """Learner, generator and one class's texts on a device."""

    def __init__(self, data: TrainData, params: GenDistillParams, cache: Path, device: str) -> None:
        settings = Settings.make(cache=cache, offline=True)
        ctx = JobContext(
            Assets({}, settings), Artifacts(cache), device=device, data=data, task_identity={"task": "random"}
        )
        self.data, self.params, self.device = data, params, device
        self.learner = Learner(data, ctx, params)
        self.learner.start(0)
        self.generator = make_generator(params, data, ctx)
        rows = data.class_rows(1)
        self.real, other = rows[:REAL], rows[REAL : REAL + SYNTHETIC]
        self.texts = {"sentence": [data.train.texts["sentence"][row] for row in other]}
        self.sequences = self.generator.template.encode(self.texts, ("sentence",), np.ones(SYNTHETIC, dtype=np.int64))
        self.a = torch.softmax(torch.randn(SYNTHETIC, generator=torch.Generator().manual_seed(0)), 0).to(device)

    def matching(self) -> tuple[float, torch.Tensor]:
        target = self.learner.real(self.real).gradient(torch.full((REAL,), 1.0 / REAL, device=self.device))
        prepared = self.learner.prepare(self.texts)
        return match(target, self.learner.factors(prepared, np.arange(SYNTHETIC), 1), self.a)

    def update(self, micro_tokens: int) -> None:
        target = self.learner.real(self.real).gradient(torch.full((REAL,), 1.0 / REAL, device=self.device))
        factors = self.learner.factors(self.learner.prepare(self.texts), np.arange(SYNTHETIC), 1)
        self.generator.train_mode()
        backward(self.generator, self.sequences, target, factors, CLASSES, self.params, 0, micro_tokens)


def timed(what: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Seconds (best) and peak MiB beyond what was held; the first call warms up."""
    what()
    torch.cuda.synchronize()
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        what()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best, (torch.cuda.max_memory_allocated() - held) / 2**20


def checks(cpu: Side, gpu: Side) -> bool:
    (loss, gradient), (other, other_gradient) = cpu.matching(), gpu.matching()
    worst = float((gradient - other_gradient.cpu()).abs().max() / gradient.abs().max())
    with torch.no_grad():
        l, m = (side.generator.losses(side.sequences, "length").cpu() for side in (cpu, gpu))  # noqa: E741
    relative = float(((l - m) / l).abs().max())
    classes = np.arange(64) % CLASSES
    again = [sample(gpu.generator, classes, max_tokens=32, top_p=0.95, seed=0) for _ in range(2)]
    same = all(np.array_equal(x, y) for x, y in zip(*again, strict=True))
    points = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
    clusters = [cluster(points, 16, 0, "cuda") for _ in range(2)]
    results = {
        f"L_GM {loss:.4f} on the CPU, {other:.4f} on the GPU": abs(loss - other) < TOLERANCE,
        f"dL_GM/da within {worst:.3f} of its largest entry": worst < 4 * TOLERANCE,
        f"l_i within {relative:.4f}": relative < TOLERANCE,
        "two equal samplings": same,
        "two equal clusterings": bool((clusters[0] == clusters[1]).all()),
    }
    for name, fine in results.items():
        print(f"{'ok    ' if fine else 'FAILED'} {name}", flush=True)
    return all(results.values())


def speeds(gpu: Side, params: GenDistillParams, max_tokens: int, repeats: int) -> None:
    plain = PlainLearner(params.learner, CLASSES, head_only=False)
    plain.model.cuda()
    real = [gpu.data.train.texts["sentence"][row] for row in gpu.real]
    ours = timed(gpu.matching, repeats)

    def autograd() -> None:
        with torch.autocast("cuda", torch.bfloat16):  # as ours
            plain.step(real, gpu.texts["sentence"], 1, gpu.a)

    theirs = timed(autograd, repeats)
    print(
        f"matching step: {ours[0] * 1e3:.1f} ms, {ours[1]:.0f} MiB; autograd {theirs[0] / ours[0]:.1f} x the time, ",
        end="",
    )
    print(f"{theirs[1] / ours[1]:.1f} x the memory")
    one_class = timed(lambda: gpu.update(65536), repeats)
    learner = timed(lambda: (gpu.learner.start(0), gpu.learner.update(LEARNER_STEPS)), repeats)
    print(f"one class of a generator step: {one_class[0] * 1e3:.1f} ms, {one_class[1]:.0f} MiB")
    print(f"{LEARNER_STEPS} learner steps: {learner[0] * 1e3:.1f} ms, {learner[1]:.0f} MiB")
    classes = np.arange(4096) % CLASSES
    mine = timed(lambda: sample(gpu.generator, classes, max_tokens=max_tokens, top_p=0.95, seed=0), 1)
    starts = torch.tensor([gpu.generator.template.bos[label] for label in classes[:512]], device="cuda")

    def generate() -> None:
        with own_rng(0, "cuda"), torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            gpu.generator.model.generate(
                starts[:, None], do_sample=True, top_p=0.95, top_k=0, max_length=max_tokens, pad_token_id=0
            )

    theirs = timed(generate, 1)
    speed, plain_speed = 4096 / mine[0], 512 / theirs[0]
    print(f"sampling: {speed:.0f} texts/s, {speed / plain_speed:.1f} x `generate` in batches of 512")
    for task, n_classes in (("sst2", 2), ("qqp", 2), ("mnli-m", 3)):
        steps = STEPS * (n_classes * one_class[0] + learner[0])
        texts = STEPS * n_classes * SYNTHETIC / speed
        hours = (steps + texts) / 3600
        print(f"projected, {task}, 20,000 steps at this length: {hours:.1f} h, {texts / 3600:.1f} of them sampling")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=68)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device here")
        return 1
    print(torch.cuda.get_device_name(), torch.__version__)
    with tempfile.TemporaryDirectory() as folder:
        data, params = build(Path(folder))
        cpu = Side(data, params, Path(folder) / "cache", "cpu")
        gpu = Side(data, params, Path(folder) / "cache", "cuda")
        fine = checks(cpu, gpu)
        del cpu
        speeds(gpu, params, arguments.max_tokens, arguments.repeats)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
