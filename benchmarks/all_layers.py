"""A BERT-like encoder of which everything is trained: by explicit layers and tables, against transformers' own forward.

    python benchmarks/all_layers.py [--sizes minilm base mpnet] [--steps 5] [--repeats 3]

Weights are random (nothing is fetched), 10 sentences of about 20 words, dropout on, one thread. Both ways take the same
training step (AdamW, clipping, the run's masks) through `bench.learners`: `TableNetwork`, which students get, and
`WholeNetwork`, which other architectures get. CPU seconds of this process, taken in turns, the best of `--repeats`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
from transformers import AutoTokenizer, BertConfig, BertModel, MPNetConfig, MPNetModel

from bench.learners.network import Network
from bench.learners.recipe import Recipe, fit, predict
from bench.learners.tables import TableNetwork
from bench.learners.whole import WholeNetwork
from bench.testing.encoder import WORDS, build_tiny_encoder

SIZES = {"minilm": (6, 384, 12), "base": (12, 768, 12), "mpnet": (12, 768, 12)}  # layers, width, heads
VOCABULARY, EXAMPLES, QUERIES = 30522, 10, 32


def folder_of(folder: Path, size: str) -> Path:
    """A random encoder of this size, with the tokenizer of the tests and as many words as BERT knows."""
    build_tiny_encoder(folder)
    layers, width, heads = SIZES[size]
    classes: tuple[Any, Any] = (MPNetConfig, MPNetModel) if size == "mpnet" else (BertConfig, BertModel)
    config = classes[0](
        vocab_size=max(VOCABULARY, len(AutoTokenizer.from_pretrained(folder))),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
    )
    classes[1](config).save_pretrained(folder)
    return folder


def seconds(network: Network, texts: dict[str, list[str]], steps: int) -> tuple[float, float]:
    """CPU seconds of a step, and of labelling a text."""
    inputs = network.prepare(network.tokenize({"t": texts["t"][:EXAMPLES]}, ["t"]))
    queries = network.prepare(network.tokenize(texts, ["t"]))
    weights: dict[str, Any] = network.initial(torch.Generator().manual_seed(0))
    labels, order = torch.arange(EXAMPLES) % 2, np.random.default_rng(0)
    fit(network, weights, inputs, labels, Recipe(1e-4, steps=1), network.dropout(0), order)  # allocates
    started = time.process_time()
    fit(network, weights, inputs, labels, Recipe(1e-4, steps=steps), network.dropout(0), order)
    trained = time.process_time()
    predict(network, weights, queries)
    return (trained - started) / steps, (time.process_time() - trained) / len(texts["t"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=[*SIZES])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng, words = np.random.default_rng(0), np.array(WORDS.split())
    texts = {"t": [" ".join(rng.choice(words, length)) for length in rng.integers(10, 31, QUERIES)]}
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as place:
            folder = folder_of(Path(place), size)
            shared: dict[str, Any] = {"dropout": None, "max_length": 128}
            networks: dict[str, Network] = {
                "explicit layers": TableNetwork(folder, 2, "cpu", identity={}, **shared),
                "transformers": WholeNetwork(folder, 2, "cpu", trainable_layers=None, **shared),
            }
            best: dict[str, np.ndarray] = {}
            for _ in range(options.repeats):
                for name, network in networks.items():
                    found = np.array(seconds(network, texts, options.steps))
                    best[name] = np.minimum(found, best.get(name, found))
        print(f"{size}: layers, width, heads {SIZES[size]}")
        for name, (step, label) in best.items():
            print(f"  {name:16s} {1e3 * step:8.0f} ms a step {1e3 * label:8.1f} ms a label")
        step, label = best["transformers"] / best["explicit layers"]
        print(f"  transformers / explicit layers: {step:.1f} a step, {label:.1f} a label", flush=True)


if __name__ == "__main__":
    main()
