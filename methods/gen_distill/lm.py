"""Stage 1: language-model training on the labelled train texts (Maekawa et al. 2024, eq. 1-2).

The loss of a step is the mean of l_i over a batch of all classes mixed. What a step reads and draws depends on its
number and the seed alone, so a training that was stopped goes on from its checkpoint as if it had not been.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.api import UserError
from bench.learners.causal.model import pieces
from bench.learners.checkpoint import load_checkpoint, save_checkpoint
from bench.learners.pretrained import own_rng
from bench.learners.seeds import derive
from bench.learners.train import Schedule, Trainer, spared_by_shape
from methods.gen_distill.generator import Generator, rounded_up
from methods.gen_distill.params import GenDistillParams

MICRO_TOKENS = {"cpu": 1024, "cuda": 16384}  # padded tokens of a micro-batch: its logits take 4 V bytes a token
CHECKPOINT_SECONDS = 120.0
STATES_BYTES = 4 << 30  # of the frozen layers' output; more is computed again in each step
STATES_ROWS = 256
POINTS = 200  # of a curve

Progress = Callable[[int, int], None]


def make_trainer(generator: Generator, schedule: Schedule, params: GenDistillParams) -> Trainer:
    """The trainer of what stages 1 and 2 train."""
    weights = dict(generator.trained())
    return Trainer(weights, spared_by_shape(weights), schedule, weight_decay=params.weight_decay, clip=params.clip)


def train_lm(
    generator: Generator,
    sequences: Sequence[np.ndarray],
    params: GenDistillParams,
    *,
    seed: int,
    workspace: Path,
    progress: Progress = lambda done, total: None,
    validation: Sequence[np.ndarray] = (),
) -> dict[str, Any]:
    """Train in place for `lm_steps` steps; the report's facts and the curve of the loss.

    workspace: a folder for checkpoints; what an earlier call of the same training left there is taken up. Raises
    UserError when the loss or its gradient is not finite.
    """
    started = time.perf_counter()
    steps, batch = params.lm_steps, min(params.lm_batch, len(sequences))
    trainer = make_trainer(generator, Schedule(params.lm_learning_rate, steps, params.lm_warmup), params)
    numbers = load_checkpoint(workspace, trainer) or {"losses": [], "seconds": 0.0}
    losses: list[float] = numbers["losses"]
    order = Order(len(sequences), batch, seed)
    micro = MICRO_TOKENS[torch.device(generator.device).type]
    states = None
    if len(losses) < steps and steps * batch > len(sequences):  # some texts are read twice
        states = lower_states(generator, sequences, workspace)
    saved = time.monotonic()
    generator.train_mode()
    for step in range(len(losses), steps):
        rows = order.rows(step)
        chosen = [sequences[row] for row in rows]
        padded_to = rounded_up(max(map(len, chosen)))
        trainer.clear()
        loss = 0.0
        for number, piece in enumerate(pieces(chosen, micro)):
            given = None if states is None else [states[rows[place]] for place in piece]
            with own_rng(derive(seed, "dropout", step, number), generator.device):
                l = generator.losses([chosen[place] for place in piece], params.probability, padded_to, given)  # noqa: E741
            part = l.sum() / batch
            part.backward()
            loss += float(part.detach())
        norm = float(trainer.clip())
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise UserError(
                f"language-model training (stage 1) gave NaN or infinity at step {step + 1} of {steps}: "
                f"choose a smaller lm_learning_rate than {params.lm_learning_rate:g}"
            )
        trainer.apply()
        losses.append(loss)
        if step + 1 == steps or time.monotonic() - saved > CHECKPOINT_SECONDS:
            seconds = numbers["seconds"] + time.perf_counter() - started
            save_checkpoint(workspace, trainer, {"losses": losses, "seconds": seconds})
            saved = time.monotonic()
        progress(step + 1, steps)
    generator.eval_mode()
    curve = thinned(losses)
    facts = {
        "stage 1, steps": steps,
        "stage 1, epochs": round(steps * batch / len(sequences), 2),
        "stage 1, tokens of the train texts": int(sum(map(len, sequences))),
        "stage 1, final loss": curve["y"][-1],
        "stage 1, seconds": round(numbers["seconds"] + time.perf_counter() - started, 1),
    }
    if len(validation):
        facts["stage 1, validation loss"] = round(evaluate(generator, validation, params.probability), 6)
    return {"facts": facts, "curves": {"LM loss": curve}}


@torch.no_grad()
def evaluate(generator: Generator, sequences: Sequence[np.ndarray], probability: str) -> float:
    """The mean of l_i, dropout off."""
    generator.eval_mode()
    micro = MICRO_TOKENS[torch.device(generator.device).type]
    total = 0.0
    for piece in pieces(sequences, micro):
        total += float(generator.losses([sequences[row] for row in piece], probability).sum())
    return total / len(sequences)


def thinned(values: Sequence[float]) -> dict[str, list[float]]:
    """A curve of at most 200 points: x is the last step of a block (from 1), y the mean over the block."""
    blocks = np.array_split(np.asarray(values, dtype=np.float64), min(POINTS, len(values))) if len(values) else []
    ends = np.cumsum([len(block) for block in blocks])
    return {"x": [int(end) for end in ends], "y": [round(float(block.mean()), 6) for block in blocks]}


class Order:
    """Which of n rows a step takes: shuffled epochs whose incomplete end is dropped; any step can be asked for."""

    def __init__(self, n: int, batch: int, seed: int) -> None:
        self.n, self.batch, self.seed = n, batch, seed
        self._epoch = lru_cache(maxsize=1)(self._shuffled)

    def _shuffled(self, epoch: int) -> np.ndarray:
        return np.random.default_rng(derive(self.seed, "order", epoch)).permutation(self.n)

    def rows(self, step: int) -> np.ndarray:
        """int64 [batch]."""
        epoch, place = divmod(step, self.n // self.batch)
        return self._epoch(epoch)[place * self.batch : (place + 1) * self.batch]


class States:
    """What the frozen layers give for each sequence but its last token, in a file: row i is float32 [len_i - 1, d]."""

    def __init__(self, file: Path, sequences: Sequence[np.ndarray]) -> None:
        self._packed = np.load(file, mmap_mode="r", allow_pickle=False)
        self._offsets = np.concatenate([[0], np.cumsum([len(sequence) - 1 for sequence in sequences])])

    def __getitem__(self, row: int) -> np.ndarray:
        return self._packed[self._offsets[row] : self._offsets[row + 1]]


def lower_states(generator: Generator, sequences: Sequence[np.ndarray], workspace: Path) -> States | None:
    """The frozen layers' output, computed once and kept in `workspace`; None without any, or when it is too large."""
    if generator.top is None:
        return None
    shape = (sum(len(sequence) - 1 for sequence in sequences), generator.top.rows.shape[1])
    if 4 * shape[0] * shape[1] > STATES_BYTES:
        return None
    file, part = workspace / "lower_states.npy", workspace / ".lower_states.part"
    if not file.exists():
        generator.eval_mode()
        packed = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
        done = 0
        for start in range(0, len(sequences), STATES_ROWS):
            for states in generator.lower_states(sequences[start : start + STATES_ROWS]):
                packed[done : done + len(states)] = states
                done += len(states)
        packed.flush()
        os.replace(part, file)
    return States(file, sequences)
