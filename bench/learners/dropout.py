"""Dropout of a run: masks that come from the run's own stream of random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from bench.learners.pretrained import own_rng

Drop = Callable[[Tensor, float], Tensor]  # (x, rate) -> x after dropout


class Dropout:
    """Masks from generators of one's own; does nothing without one. Several are those of stacked runs, x [runs, ...].

    An element takes 16 random bits, a third of the time of drawing a float: rates are multiples of 2^-16.
    """

    def __init__(self, *generators: torch.Generator) -> None:
        self.generators = generators

    def __call__(self, x: Tensor, rate: float, shapes: Sequence[Sequence[int]] | None = None) -> Tensor:
        """shapes: for runs of texts of their own, how much of x[run] a run alone would have; the rest becomes 0."""
        if not self.generators or rate == 0.0:
            return x
        if shapes is not None:
            mask = torch.zeros_like(x)
            for own, shape, generator in zip(mask, shapes, self.generators, strict=True):
                own[tuple(map(slice, shape))] = _mask(own.new_empty((1, *shape)), rate, [generator])[0]
            return x * mask
        if len(self.generators) == 1:
            return x * _mask(x[None], rate, self.generators)[0]
        return x * _mask(x, rate, self.generators)


def _mask(x: Tensor, rate: float, generators: Sequence[torch.Generator]) -> Tensor:
    """0 or 1 / (1 - rate), of the shape of x [runs, ...]; a run's part is drawn as if it were alone."""
    runs, n = len(generators), x[0].numel()
    kept = max(1, round((1.0 - rate) * 65536))  # of 65536 equally likely values
    words = torch.empty(runs, -(-n // 4), dtype=torch.int64, device=x.device)
    for row, generator in zip(words, generators, strict=True):
        row.random_(-(2**63), None, generator=generator)
    bits = words.view(torch.int16)[:, :n].reshape(x.shape)
    return (bits < kept - 32768).to(x.dtype).mul_(65536 / kept)


class TorchDropout:
    """The dropout of torch's own modules, which draw from the default generators: a state of these for each seed.

    Modules draw from it inside `active`; where one use ends, the next goes on. Without a seed there is no dropout.
    """

    def __init__(self, *seeds: int, device: str) -> None:
        self.device, self.on = device, bool(seeds)
        self._states = [(torch.Generator().manual_seed(seed).get_state(), self._cuda(seed)) for seed in seeds]

    def _cuda(self, seed: int) -> Tensor | None:
        return torch.Generator(self.device).manual_seed(seed).get_state() if self.device.startswith("cuda") else None

    @contextmanager
    def active(self, run: int = 0) -> Iterator[None]:
        """Let the default generators go on from the state of a stacked run, and put them back after it."""
        if not self.on:
            yield
            return
        cpu, cuda = self._states[run]
        with own_rng(0, self.device):
            torch.set_rng_state(cpu)
            if cuda is not None:
                torch.cuda.set_rng_state(cuda, self.device)
            try:
                yield
            finally:
                cuda = None if cuda is None else torch.cuda.get_rng_state(self.device)
                self._states[run] = torch.get_rng_state(), cuda

    def __call__(self, x: Tensor, rate: float) -> Tensor:
        if not self.on:
            return x
        with self.active():
            return functional.dropout(x, rate)
