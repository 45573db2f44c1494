"""Checkpoints of a training: weights, AdamW's moments and some numbers, in one file that is whole or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bench.api import UserError
from bench.learners.pretrained import first_line
from bench.learners.train import Trainer

FILE = "checkpoint.safetensors"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of a weight


def save_checkpoint(folder: Path, trainer: Trainer, numbers: Mapping[str, Any]) -> None:
    """Replace the checkpoint in `folder`. numbers: finite JSON values, kept in the file's own header.

    Raises UserError when the file cannot be written; the checkpoint before it stays then.
    """
    tensors: dict[str, Tensor] = {}
    for name, weight in trainer.weights.items():
        tensors[f"weight.{name}"] = weight.detach().cpu()
        for moment, value in trainer.optimizer.state.get(weight, {}).items():
            tensors[f"{moment}.{name}"] = value.detach().cpu()
    part = folder / f".{FILE}.part"
    try:
        text = json.dumps({"done": trainer.done, "numbers": dict(numbers)}, allow_nan=False)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part, {"facts": text})
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, folder / FILE)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise UserError(f"cannot write a checkpoint to {folder}: {first_line(error)}") from error


@torch.no_grad()
def load_checkpoint(folder: Path, trainer: Trainer) -> dict[str, Any] | None:
    """Restore weights, moments and the number of steps bit-exactly, give back the numbers; None without a checkpoint.

    Raises UserError when the file is damaged or holds other weights than the trainer's.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        with safe_open(file, framework="pt") as stored:
            facts: dict[str, Any] = json.loads(stored.metadata()["facts"])
            names = set(stored.keys())
            found = {
                name: {kind: stored.get_tensor(f"{kind}.{name}") for kind in _kinds(name, names)}
                for name in trainer.weights
            }
        done, numbers = int(facts["done"]), dict(facts["numbers"])
        fits = len(names) == sum(map(len, found.values())) and all(
            found[name].get("weight", torch.empty(0)).shape == weight.shape for name, weight in trainer.weights.items()
        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the checkpoint {file} is damaged ({first_line(error)}): delete it and run again") from error
    if not fits:
        raise UserError(f"the checkpoint {file} is of another model: delete it and run again")
    for name, weight in trainer.weights.items():
        weight.copy_(found[name].pop("weight"))
        if found[name]:
            trainer.optimizer.state[weight] = {kind: moment.to(weight.device) for kind, moment in found[name].items()}
    trainer.done = done
    return numbers


def _kinds(name: str, names: set[str]) -> list[str]:
    return [kind for kind in ("weight", *MOMENTS) if f"{kind}.{name}" in names]
