"""Checkpoints: bit-exact, whole or absent, one line when they cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from bench.api import UserError
from methods.gen_distill.checkpoint import FILE, load_checkpoint, save_checkpoint
from methods.gen_distill.lm import make_optimizer

Named = list[tuple[str, nn.Parameter]]


def make(seed: int, width: int = 3) -> tuple[Named, torch.optim.Optimizer]:
    draw = torch.Generator().manual_seed(seed)
    named = [
        ("matrix", nn.Parameter(torch.randn(4, width, generator=draw))),
        ("bias", nn.Parameter(torch.randn(width, generator=draw))),
    ]
    return named, make_optimizer(named, 0.1, 0.01)


def advance(named: Named, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        sum((p**2).sum() + p.sin().sum() for _, p in named).backward()  # type: ignore[union-attr]
        optimizer.step()


def test_a_restored_training_goes_on_bit_exactly(tmp_path: Path) -> None:
    named, optimizer = make(0)
    advance(named, optimizer, 3)
    numbers = {"step": 3, "losses": [0.1, 1 / 3, 1e-30], "seconds": {"a": 2.5}}
    save_checkpoint(tmp_path, named, optimizer, numbers)
    advance(named, optimizer, 4)
    other, fresh = make(1)
    assert load_checkpoint(tmp_path, other, fresh) == numbers
    advance(other, fresh, 4)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(named, other, strict=True))
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_before_the_first_step(tmp_path: Path) -> None:
    named, optimizer = make(0)
    assert load_checkpoint(tmp_path, named, optimizer) is None
    save_checkpoint(tmp_path, named, optimizer, {"step": 0})
    other, fresh = make(1)
    assert load_checkpoint(tmp_path, other, fresh) == {"step": 0}
    for tensors in (named, other):
        advance(tensors, optimizer if tensors is named else fresh, 2)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(named, other, strict=True))


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    named, optimizer = make(0)
    save_checkpoint(tmp_path, named, optimizer, {"step": 1})
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(UserError, match="cannot write a checkpoint"):
        save_checkpoint(tmp_path / "absent", named, optimizer, {"step": 2})
    with pytest.raises(ValueError, match="JSON"):
        save_checkpoint(tmp_path, named, optimizer, {"loss": float("nan")})
    assert (tmp_path / FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_unusable_checkpoints(tmp_path: Path) -> None:
    named, optimizer = make(0)
    save_checkpoint(tmp_path, named, optimizer, {"step": 1})
    wider, other = make(0, width=5)
    kept = [p.detach().clone() for _, p in wider]
    with pytest.raises(UserError, match="is of another model: delete it"):
        load_checkpoint(tmp_path, wider, other)
    with pytest.raises(UserError, match="is of another model: delete it"):
        load_checkpoint(tmp_path, named[:1], optimizer)
    assert all(torch.equal(p, copy) for (_, p), copy in zip(wider, kept, strict=True))
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(UserError, match="is damaged"):
        load_checkpoint(tmp_path, named, optimizer)
