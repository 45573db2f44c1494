"""In-context students on a GPU: against the CPU first, then queries a second against a plain loop. One call, minutes.

    python benchmarks/gpu/in_context.py [--tiny] [--width 1600 --layers 48 --heads 25]

Nothing is fetched: a GPT-2 of the shape of GPT-2 XL with random weights and the tokenizer of the tests, so times are
those of that shape at these lengths (10 demonstrations and queries of about 20 words), and answers mean nothing: random
weights put many queries near a tie.

Checked: the GPU in float32 against the CPU, and queries in batches against one at a time in float32 (log p). Told: how
many answers flip under bf16 autocast, the student's way on a GPU, between batches and one query at a time, and against
float32. Exit code 1 when a check fails. `--tiny` does the same with a tiny model, on a CPU too: a test of this script.

Not run on a GPU yet: none was at hand when this was written (2026-11-29).
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from bench.data.encoders import load_tokenizer
from bench.learners.causal import model as causal
from bench.learners.causal.model import CausalModel
from bench.learners.causal.prefix import Prefix, shares_prefixes
from bench.learners.in_context import scoring
from bench.learners.in_context.prompt import Form, Tokenizer
from bench.learners.in_context.scoring import score
from bench.testing.encoder import WORDS
from bench.testing.generator import build_tiny_generator

TOLERANCE = 5e-3  # of log p in float32


@contextmanager
def in_float32() -> Iterator[None]:
    """Without the autocast that language models have on a GPU."""
    before, causal.precision = causal.precision, lambda device: nullcontext()
    try:
        yield
    finally:
        causal.precision = before


def random_model(options: argparse.Namespace, vocabulary: int) -> Any:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=vocabulary,
        n_layer=options.layers,
        n_embd=options.width,
        n_head=options.heads,
        n_positions=1024,
        initializer_range=0.1,
        bos_token_id=0,
        eos_token_id=0,
    )
    return transformers.GPT2LMHeadModel(config).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--width", type=int, default=1600)
    parser.add_argument("--layers", type=int, default=48)
    parser.add_argument("--heads", type=int, default=25)
    parser.add_argument("--queries", type=int, default=872)
    options = parser.parse_args()
    if options.tiny:
        options.width, options.layers, options.heads, options.queries = 64, 2, 2, 40
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.tiny:
        sys.exit("no GPU here: --tiny runs the same on a CPU")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = Tokenizer(load_tokenizer(build_tiny_generator(Path(folder))))
    base = random_model(options, len(tokenizer.tokenizer))
    rng, words = np.random.default_rng(0), np.array(WORDS.split())

    def texts(n: int) -> dict[str, list[str]]:
        return {"sentence": [" ".join(rng.choice(words, length)) for length in rng.integers(10, 31, n)]}

    form = Form(("sentence",), ("good", "bad"))
    prefix = tokenizer.prefix(form.demonstrations(texts(10), np.arange(10) % 2))
    queries = tokenizer.continuations(form.queries(texts(options.queries)), True)
    labels = tokenizer.words(form.words)

    def scores(model: CausalModel, some: int, alone: bool = False) -> np.ndarray:
        read = Prefix(model, prefix, shares_prefixes(model))
        if not alone:
            return score(model, read, queries[:some], labels, whole=False)
        return np.concatenate([score(model, read, [query], labels, whole=False) for query in queries[:some]])

    few, failed = min(64, len(queries)), False
    with in_float32():
        wanted = scores(CausalModel(base, "cpu"), few)
        model = CausalModel(base, device)
        for what, found in (("against the CPU", scores(model, few)), ("one at a time", scores(model, few, alone=True))):
            off = float(np.abs(found - wanted).max())
            failed |= off > TOLERANCE
            print(f"{device} in float32 {what}: largest difference of log p {off:.1e}{' FAILED' if failed else ''}")
    together, single = scores(model, few), scores(model, few, alone=True)
    for what, other in (("one query at a time", single), ("float32", wanted)):
        flips = int((together.argmax(1) != other.argmax(1)).sum())
        print(f"answers that flip against {what}, as the student runs here: {flips} of {few}")
    place = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "CPU"
    print(f"{place}, torch {torch.__version__}; prefix {len(prefix)} tokens, budget {scoring.TOKENS[device]} a batch")
    for name, run in (
        ("student", lambda: scores(model, len(queries))),
        ("plain loop", lambda: plain(model, prefix, queries[:few])),
    ):
        run()  # the first call compiles and allocates
        started = time.perf_counter()
        n = len(run())
        print(f"{name:12s} {n / (time.perf_counter() - started):10.1f} queries a second")
    sys.exit(1 if failed else 0)


@torch.no_grad()
def plain(model: CausalModel, prefix: np.ndarray, queries: list[np.ndarray]) -> np.ndarray:
    """All logits of whole prompts, one after another."""
    found = []
    for query in queries:
        ids = torch.from_numpy(np.concatenate([prefix, query]))[None].to(model.device)
        with causal.precision(model.device):
            found.append(model.model(input_ids=ids, use_cache=False).logits[0, -1].float().cpu().numpy())
    return np.array(found)


if __name__ == "__main__":
    main()
