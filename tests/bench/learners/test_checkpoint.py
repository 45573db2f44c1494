"""Checkpoints: bit-exact, whole or absent, one line when they cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.api import UserError
from bench.learners.checkpoint import FILE, load_checkpoint, save_checkpoint
from bench.learners.train import Schedule, Trainer


def make(seed: int, width: int = 3, names: tuple[str, str] = ("matrix", "bias")) -> Trainer:
    draw = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(*shape, generator=draw).requires_grad_() for shape in ((4, width), (width,))]
    weights = dict(zip(names, tensors, strict=True))
    return Trainer(weights, {names[1]}, Schedule(0.1, 10, 0.5), weight_decay=0.01, clip=1.0)


def advance(trainer: Trainer, steps: int) -> None:
    for _ in range(steps):
        trainer.clear()
        sum((w**2).sum() + w.sin().sum() for w in trainer.weights.values()).backward()  # type: ignore[union-attr]
        trainer.step()


def equal(a: Trainer, b: Trainer) -> bool:
    return all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)


def test_a_restored_training_goes_on_bit_exactly(tmp_path: Path) -> None:
    """Weights, moments and the place in the schedule."""
    trainer = make(0)
    advance(trainer, 3)
    numbers = {"step": 3, "losses": [0.1, 1 / 3, 1e-30], "seconds": {"a": 2.5}}
    save_checkpoint(tmp_path, trainer, numbers)
    advance(trainer, 4)
    other = make(1)
    assert load_checkpoint(tmp_path, other) == numbers
    assert other.done == 3
    assert not equal(trainer, other)
    advance(other, 4)
    assert equal(trainer, other)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_before_the_first_step(tmp_path: Path) -> None:
    trainer = make(0)
    assert load_checkpoint(tmp_path, trainer) is None
    save_checkpoint(tmp_path, trainer, {"step": 0})
    other = make(1)
    assert load_checkpoint(tmp_path, other) == {"step": 0}
    for one in (trainer, other):
        advance(one, 2)
    assert equal(trainer, other)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    trainer = make(0)
    save_checkpoint(tmp_path, trainer, {"step": 1})
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(UserError, match="cannot write a checkpoint"):
        save_checkpoint(tmp_path / "absent", trainer, {"step": 2})
    with pytest.raises(ValueError, match="JSON"):
        save_checkpoint(tmp_path, trainer, {"loss": float("nan")})
    assert (tmp_path / FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_unusable_checkpoints(tmp_path: Path) -> None:
    trainer = make(0)
    advance(trainer, 2)
    save_checkpoint(tmp_path, trainer, {"step": 1})
    for other in (make(0, width=5), make(0, names=("matrix", "norm"))):
        kept = {name: w.detach().clone() for name, w in other.weights.items()}
        with pytest.raises(UserError, match="is of another model: delete it"):
            load_checkpoint(tmp_path, other)
        assert all(torch.equal(w, kept[name]) for name, w in other.weights.items())
        assert other.done == 0
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(UserError, match="is damaged"):
        load_checkpoint(tmp_path, trainer)
