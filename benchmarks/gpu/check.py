"""The GPU paths against the CPU, then their speed: features, the split student, the whole student. One call, minutes.

    python benchmarks/gpu/check.py [--model FOLDER] [--steps 200]

`--model` is a folder with a BERT-like encoder (config, tokenizer, safetensors); without it the asset `minilm` is
fetched. On CUDA both features and students run under bf16 autocast, so agreement is checked within bf16's
tolerance, and the determinism of two equal runs bit by bit. Exit code 1 when a check fails.

Not run yet: no GPU was at hand when this was written (2026-11-21).
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bench import plugins
from bench.api import DistilledSet, Queries, TaskInfo
from bench.data import features
from bench.data.assets import Assets
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.testing import topic_task
from bench.work.context import JobContext
from students.encoder import EncoderStudent
from students.params import EncoderParams


def timed(what: Callable[[], object]) -> float:
    """Seconds of the second call: the first one compiles and allocates."""
    what()
    torch.cuda.synchronize()
    started = time.perf_counter()
    what()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> int:
    """Run the checks, print one line each; 1 when one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU here: nothing was checked", file=sys.stderr)
        return 1
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, python {platform.python_version()}")
    settings = Settings.make()
    assets = Assets(plugins.load(settings).assets, settings)
    folder = assets.fetch(arguments.model)
    train = topic_task().train.texts["sentence"]
    texts = {"sentence": [f"{text} ({i})" for i in range(100) for text in train]}
    failed = _features(folder, texts)
    with tempfile.TemporaryDirectory() as cache:
        for layers in (2, None):
            store = Artifacts(Path(cache))
            failed |= _student(assets, store, arguments.model, layers, arguments.steps, texts["sentence"])
    return int(failed)


def _features(folder: Path, texts: dict[str, list[str]]) -> bool:
    on = {device: features.encode(folder, texts, tuple(texts), 128, device) for device in ("cpu", "cuda")}
    worst = 0.0
    for pooling in features.POOLINGS:
        cpu, gpu = on["cpu"][pooling], on["cuda"][pooling]
        worst = max(worst, float(np.abs(cpu - gpu).max() / np.abs(cpu).max()))
    seconds = timed(lambda: features.encode(folder, texts, tuple(texts), 128, "cuda"))
    n = len(texts["sentence"])
    print(f"features: largest relative difference {worst:.1e} (at most 5e-2), {n / seconds:.0f} texts/s")
    return worst > 5e-2


def _student(
    assets: Assets, artifacts: Artifacts, model: str, layers: int | None, steps: int, texts: list[str]
) -> bool:
    data = topic_task()
    info: TaskInfo = data.info
    field = info.fields[0]
    distilled = DistilledSet(labels=data.train.labels[:40], texts={field: list(data.train.texts[field][:40])})
    queries = Queries(info, {field: texts[:2000]})
    found: dict[str, np.ndarray] = {}

    def run(device: str, dropout: float | None = None) -> np.ndarray:
        student = EncoderStudent(EncoderParams(model=model, trainable_layers=layers, steps=steps, dropout=dropout))
        context = JobContext(assets, artifacts, seed=1, device=device, data=queries, task_identity={"check": 1})
        return student.predict(distilled, queries, context)

    for device in ("cpu", "cuda"):
        found[device] = run(device, dropout=0.0)
    agree = float((found["cpu"] == found["cuda"]).mean())
    torch.cuda.reset_peak_memory_stats()
    seconds = timed(lambda: run("cuda"))
    peak = torch.cuda.max_memory_allocated() / 2**30
    same = bool((run("cuda") == run("cuda")).all())
    name = f"student, {'whole' if layers is None else f'top {layers}'}"
    print(
        f"{name}: labels equal to the CPU's {agree:.3f} (at least 0.9), repeatable {same}, "
        f"{seconds:.1f} s, {peak:.2f} GiB"
    )
    return agree < 0.9 or not same


if __name__ == "__main__":
    sys.exit(main())
