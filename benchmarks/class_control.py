"""How a generator is told the class: a trained vector on the last hidden states, or at the first trained layer.

    python benchmarks/class_control.py [--generator smollm2] [--steps 150] [--batch 16]

Both ways start at zero, train beside the generator, and get the same texts, steps and random numbers. Measured on 200
validation rows of `bbc`; no test row is read: the loss of a text under its own class (l_i, eq. 1-2), and how often that
class is the likeliest of five given the text. `smollm2`: SmolLM2-135M, top layers trained over cached lower ones, which
runs once for all ways. `scratch`: the pocket suite's 2 x 256 GPT-2, trained as a whole, so its first layer is the first
that trains.

- output: `methods.gen_distill.control`, what `class_vectors=true` is.
- boundary: a vector of the class added at every position of the first trained layer's input; its unit is 50 times the
  median size of the states there (1, 10 and 50 were tried before: 50 was best).
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
from gen_distill import load
from torch import Tensor, nn

from bench.api import TrainData
from methods.gen_distill.generator import Generator, make_generator
from methods.gen_distill.lm import train_lm
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.stage1 import train_sequences

BOUNDARY_UNIT = 50.0
VALIDATION = 200
WAYS = {"none": (), "output": ("output",), "boundary": ("boundary",), "both": ("output", "boundary")}


class Boundary(nn.Module):
    """Adds a vector of the text's class to the input of a layer, at every position: vectors [C, d], zero at first."""

    def __init__(self, layer: nn.Module, n_classes: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.zeros(n_classes, width))
        self.unit = 0.0  # set from the first states that come
        self.classes: Tensor | None = None
        layer.register_forward_pre_hook(self._add, with_kwargs=True)

    def _add(self, layer: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
        if self.classes is None:
            return None
        hidden = args[0] if args else kwargs["hidden_states"]
        if not self.unit:
            self.unit = BOUNDARY_UNIT * float(hidden.detach().square().mean(-1).sqrt().median())
        hidden = hidden + (self.vectors * self.unit)[self.classes][:, None, :]
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})


def make(params: GenDistillParams, parts: tuple[str, ...], data: TrainData, ctx: Any) -> Generator:
    """A generator with these kinds of class control."""
    params = params.model_copy(update={"class_vectors": "output" in parts})
    generator = make_generator(params, data, ctx)
    if generator.boundary is not None:
        generator.boundary.vectors.requires_grad_(False)  # this file's own take their place
    if "boundary" not in parts:
        return generator
    generator.packed = False  # it would pass the hook by
    base = generator.model.base_model
    layers = base.h if hasattr(base, "h") else base.layers
    first = 0 if params.trainable_layers is None else len(layers) - params.trainable_layers
    boundary = Boundary(layers[first], data.info.n_classes, generator.model.config.hidden_size)
    losses, trained = generator.losses, generator.trained

    def steered(sequences: Any, *args: Any, **options: Any) -> Tensor:
        boundary.classes = torch.tensor([int(sequence[0]) - generator.template.bos[0] for sequence in sequences])
        try:
            return losses(sequences, *args, **options)
        finally:
            boundary.classes = None

    setattr(generator, "losses", steered)  # noqa: B010
    setattr(generator, "trained", lambda: [*trained(), *boundary.named_parameters()])  # noqa: B010
    return generator


@torch.no_grad()
def score(generator: Generator, sequences: list[np.ndarray], states: list[np.ndarray] | None) -> tuple[float, float]:
    """Mean l_i of texts under their own classes, and how often that class is the likeliest."""
    generator.eval_mode()
    own = np.array([int(sequence[0]) - generator.template.bos[0] for sequence in sequences])
    found = np.empty((len(sequences), generator.template.n_classes))
    for label, start in enumerate(generator.template.bos):
        swapped = [np.concatenate([[start], sequence[1:]]).astype(np.int32) for sequence in sequences]
        for rows in np.array_split(np.argsort([len(s) for s in sequences], kind="stable"), len(sequences) // 20):
            given = None if states is None else [states[row] for row in rows]
            found[rows, label] = generator.losses([swapped[row] for row in rows], "length", states=given).numpy()
    lengths = np.array([len(sequence) - 1 for sequence in sequences])
    likeliest = (found * lengths[:, None]).argmin(1)  # the classes give the same tokens, so lengths decide nothing
    return float(found[np.arange(len(own)), own].mean()), float((likeliest == own).mean())


def main() -> None:
    """A line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", choices=["smollm2", "scratch"], default="smollm2")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--ways", nargs="*", choices=list(WAYS), default=["output", "boundary", "both"])
    arguments = parser.parse_args()
    data, ctx = load()
    own: dict[str, Any] = {"trainable_layers": 3} if arguments.generator == "smollm2" else {"scratch_layers": 2}
    params = GenDistillParams(
        generator=arguments.generator,
        encoder="minilm",
        learner="minilm",
        max_tokens=32,
        lm_steps=arguments.steps,
        lm_batch=arguments.batch,
        lm_learning_rate=arguments.learning_rate,
        **own,
    )
    field = data.info.fields[0]
    texts = {field: data.validation.texts[field][:VALIDATION]}
    states: list[np.ndarray] | None = None
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "lower_states.npy"
        for way in arguments.ways:
            started = time.process_time()
            generator = make(params, WAYS[way], data, ctx)
            template = generator.template
            sequences, _ = train_sequences(generator, params, data)
            validation = template.shortened(
                template.encode(texts, data.info.fields, data.validation.labels[:VALIDATION]), 32
            )[0]
            if generator.top is not None and states is None:
                states = generator.lower_states(validation)
            workspace = Path(folder) / way
            workspace.mkdir()
            if kept.exists():
                shutil.copy(kept, workspace)
            train_lm(generator, sequences, params, seed=0, workspace=workspace)
            if (workspace / kept.name).exists() and not kept.exists():
                shutil.copy(workspace / kept.name, kept)
            if any(name == "vectors" and not bool(p.any()) for name, p in generator.trained()):
                raise RuntimeError(f"{way}: its vectors were not trained")
            loss, likeliest = score(generator, validation, states)
            print(
                f"{arguments.generator} {way:9s} validation loss {loss:.4f}, own class likeliest {likeliest:.1%}, "
                f"{time.process_time() - started:.0f} CPU s",
                flush=True,
            )


if __name__ == "__main__":
    main()
