"""Checkpoints of a training: parameters, AdamW's moments and some numbers, in one file that is whole or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.api import UserError
from bench.learners.pretrained import first_line

FILE = "checkpoint.safetensors"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of a parameter


def save_checkpoint(
    folder: Path,
    params: Sequence[tuple[str, nn.Parameter]],
    optimizer: torch.optim.Optimizer,
    numbers: Mapping[str, Any],
) -> None:
    """Replace the checkpoint in `folder`. numbers: finite JSON values, kept in the file's own header.

    Raises UserError when the file cannot be written; the checkpoint before it stays then.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in params:
        tensors[f"parameter.{name}"] = parameter.detach().cpu()
        for moment, value in optimizer.state[parameter].items():
            tensors[f"{moment}.{name}"] = value.detach().cpu()
    part = folder / f".{FILE}.part"
    try:
        text = json.dumps(dict(numbers), allow_nan=False)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part, {"numbers": text})
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, folder / FILE)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise UserError(f"cannot write a checkpoint to {folder}: {first_line(error)}") from error


@torch.no_grad()
def load_checkpoint(
    folder: Path, params: Sequence[tuple[str, nn.Parameter]], optimizer: torch.optim.Optimizer
) -> dict[str, Any] | None:
    """Restore parameters and moments bit-exactly and give back the numbers; None when there is no checkpoint.

    Raises UserError when the file is damaged or holds other parameters than `params`.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        with safe_open(file, framework="pt") as stored:
            numbers: dict[str, Any] = json.loads(stored.metadata()["numbers"])
            names = set(stored.keys())
            found = [{kind: stored.get_tensor(f"{kind}.{name}") for kind in _kinds(name, names)} for name, _ in params]
        fits = len(names) == sum(map(len, found)) and all(
            tensors.get("parameter", torch.empty(0)).shape == parameter.shape
            for tensors, (_, parameter) in zip(found, params, strict=True)
        )
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"the checkpoint {file} is damaged ({first_line(error)}): delete it and run again") from error
    if not fits:
        raise UserError(f"the checkpoint {file} is of another model: delete it and run again")
    for tensors, (_, parameter) in zip(found, params, strict=True):
        parameter.copy_(tensors.pop("parameter"))
        if tensors:
            optimizer.state[parameter] = {name: tensor.to(parameter.device) for name, tensor in tensors.items()}
    return numbers


def _kinds(name: str, names: set[str]) -> list[str]:
    return [kind for kind in ("parameter", *MOMENTS) if f"{kind}.{name}" in names]
