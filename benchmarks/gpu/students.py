"""Many runs of a fine-tuned student at once on a GPU: against one at a time and against the CPU first, then speed.

    python benchmarks/gpu/students.py [--tiny] [--minutes 8]

Nothing is fetched: a BERT-base (or, with `--layers 2`, the top layers of one) with random weights and the tokenizer of
the tests, and sentences of about 20 words. So times are those of BERT-base at this length, and what is predicted means
nothing: random weights put many queries near a tie, so flipped predictions are more than with a trained encoder.

Checked: stacked runs against single ones and the GPU against the CPU, in float32 without dropout (logits); stacked
against single with dropout (the same masks). Told: predictions that flip under bf16 autocast. Exit code 1 when a check
fails. Then runs a minute, training and labelling, of E runs stacked and of one at a time, as long as time and memory
allow. `--tiny` does the same with a tiny model, on a CPU too: a test of this script, its times say nothing.

Not run on a GPU yet: none was at hand when this was written (2026-11-29).
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from bench.api import DistilledSet, Queries, TaskInfo
from bench.data.assets import Assets
from bench.learners import bert
from bench.learners.recipe import predict
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.testing import build_tiny_encoder
from bench.testing.encoder import WORDS
from bench.work.context import JobContext
from students.encoder import EncoderStudent
from students.params import EncoderParams

CLASSES, WORDS_A_TEXT = 2, 20
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
TOLERANCE = 2e-3  # of logits after some steps in float32, of their largest


class Bench:
    """A student on a device with a set and queries of random sentences; labels follow one word."""

    def __init__(self, folder: Path, cache: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        settings = Settings.make(cache=cache, offline=True)
        self.assets, self.artifacts = Assets({}, settings), Artifacts(cache)
        rng, words = np.random.default_rng(0), np.array(WORDS.split())

        def texts(n: int) -> list[str]:
            lengths = rng.integers(WORDS_A_TEXT // 2, 3 * WORDS_A_TEXT // 2, n)
            return [" ".join(rng.choice(words, length)) for length in lengths]

        self.info = TaskInfo("random", ("sentence",), ("no", "yes"))
        n = CLASSES * options.dpc
        self.set = DistilledSet(labels=np.arange(n) % CLASSES, texts={"sentence": texts(n)})
        self.queries = Queries(self.info, {"sentence": texts(options.queries)})

    def student(self, steps: int, dropout: float | None) -> EncoderStudent:
        params = {"model": str(self.folder), "trainable_layers": self.options.layers, "dropout": dropout}
        return EncoderStudent(EncoderParams(steps=steps, batch=self.options.batch, **params))

    def contexts(self, runs: int, device: str) -> list[JobContext]:
        shared = {"data": self.queries, "task_identity": {"task": "random"}, "device": device}
        return [JobContext(self.assets, self.artifacts, seed=seed, **shared) for seed in range(runs)]

    def logits(self, student: EncoderStudent, contexts: Sequence[JobContext]) -> np.ndarray:
        """[runs, n, C] of runs stacked, or of one, [1, n, C]."""
        network = student._load(CLASSES, contexts[0])
        weights = student._fit(network, self.set, self.info.fields, *contexts)
        shared = network.shared(self.queries.texts, self.info.fields, contexts[0])
        return predict(network, weights, shared).reshape(len(contexts), len(self.queries), CLASSES)


@contextmanager
def in_float32() -> Iterator[None]:
    """Without the autocast that every network on a GPU has; products in full float32."""
    kept = bert.precision
    bert.precision = lambda device: nullcontext()
    try:
        yield
    finally:
        bert.precision = kept


def checks(bench: Bench, device: str, runs: int) -> bool:
    steps = bench.options.check_steps
    student, contexts = bench.student(steps, 0.0), bench.contexts(runs, device)
    with in_float32():
        stacked = bench.logits(student, contexts)
        single = np.concatenate([bench.logits(student, [ctx]) for ctx in contexts])
        cpu = bench.logits(bench.student(steps, 0.0), bench.contexts(1, "cpu"))
        dropping = bench.student(steps, 0.1)
        masked = bench.logits(dropping, contexts)
        masked_single = np.concatenate([bench.logits(dropping, [ctx]) for ctx in contexts])
    size = float(np.abs(single).max())
    found = {
        f"{runs} stacked runs against single ones, float32": np.abs(stacked - single).max() / size,
        "the same with dropout": np.abs(masked - masked_single).max() / size,
        f"{device} against the CPU, float32": np.abs(single[:1] - cpu).max() / size,
    }
    fine = True
    for name, worst in found.items():
        good = bool(worst < TOLERANCE)
        fine &= good
        print(f"{'ok    ' if good else 'FAILED'} {name}: logits within {worst:.1e} of the largest ({size:.2f})")
    differ = np.abs(masked[0] - masked[1]).max() / size
    fine &= bool(differ > TOLERANCE)
    print(f"{'ok    ' if differ > TOLERANCE else 'FAILED'} two runs differ from each other: {differ:.1e}")
    half = bench.logits(student, contexts)  # as students compute: bfloat16 on a GPU
    half_single = np.concatenate([bench.logits(student, [ctx]) for ctx in contexts])
    for name, one, other in (
        ("stacked against single, as students compute", half, half_single),
        ("as students compute against float32", half_single, single),
    ):
        flipped = float((one.argmax(-1) != other.argmax(-1)).mean())
        print(f"       {name}: {100 * flipped:.2f} % of the predictions flip")
    return fine


def speeds(bench: Bench, device: str, widths: Sequence[int], until: float) -> None:
    """One row a width, each timed after a short training of the same width that compiles and allocates."""
    print(f"runs a minute: {bench.options.steps} steps on {len(bench.set)} texts, {len(bench.queries)} labels")
    print("runs at once  s for all  runs/min  ratio  peak GiB")
    alone = None
    for runs in widths:
        contexts = bench.contexts(runs, device)
        try:
            started = time.perf_counter()
            warm = bench.student(4, None)
            bench.logits(warm, contexts)
            student = bench.student(bench.options.steps, None)
            student._network, student._key = warm._network, warm._key
            if device == "cuda":
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
            began = time.perf_counter()
            bench.logits(student, contexts)
            if device == "cuda":
                torch.cuda.synchronize()
            ended = time.perf_counter()
        except torch.OutOfMemoryError:
            print(f"{runs:12d}  out of memory")
            return
        seconds = ended - began
        rate = 60 * runs / seconds
        alone = alone or rate
        peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else float("nan")
        print(f"{runs:12d}  {seconds:9.2f}  {rate:8.1f}  {rate / alone:5.2f}  {peak:8.2f}", flush=True)
        del warm, student
        if ended + 2.5 * (ended - started) > until:
            print("no time for more")
            return


def build(folder: Path, tiny: bool) -> Path:
    """A tokenizer and an encoder with random weights, of BERT-base's size or tiny."""
    build_tiny_encoder(folder)
    if not tiny:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            config = BertConfig(vocab_size=30_522, pad_token_id=AutoTokenizer.from_pretrained(folder).pad_token_id)
            BertModel(config).save_pretrained(folder)
    return folder


def main() -> int:
    """Check, then measure; 1 when a check fails or there is nothing to run it on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a tiny model, few steps; runs on a CPU too")
    parser.add_argument("--layers", type=int, default=None, help="train the top layers alone")
    parser.add_argument("--dpc", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64, help="smaller than the set: each run draws its own batches")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--check-steps", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=8.0, help="no further row is started after these")
    options = parser.parse_args()
    until = time.perf_counter() + 60 * options.minutes
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.tiny:
        print("no GPU here: nothing was checked (--tiny runs on a CPU)", file=sys.stderr)
        return 1
    widths = WIDTHS
    if options.tiny:
        widths, options.queries, options.steps = (1, 2, 4), 40, 4
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU ({platform.machine()}): times say nothing"
    print(f"{name}, torch {torch.__version__}, python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(build(Path(folder, "encoder"), options.tiny), Path(folder, "cache"), options)
        fine = checks(bench, device, 3)
        if fine:
            speeds(bench, device, widths, until)
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main())
