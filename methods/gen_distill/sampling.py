"""Top-p sampling with a KV cache.

The rows of a batch start alike: with one token of their class, or after one prompt. So a batch has no padding; finished
rows leave it. A row draws from random numbers of its own, so that its text depends neither on its batch mates nor on
the size of the batch, up to the rounding of the logits.

The nucleus is the smallest set of the most probable tokens with mass >= p; equal ones count in the order of their
ids (Holtzman et al. 2020). It is sampled by rejection, without sorting: a token of the whole distribution stands
when the tokens before it weigh less than p. The rare rows that are rejected TRIES times draw from their sorted
nucleus. Accepted and sorted draws both follow the renormalised nucleus, and so does the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bench.api import UserError
from bench.learners.causal.shared_prefix import SharedPrefix
from bench.learners.pretrained import precision
from methods.gen_distill.template import Marks

TRIES = 3  # of rejection sampling, before a row's nucleus is sorted
BATCH = {"cpu": 512, "cuda": 2048}  # rows; on a core 1024 gain 7 % and take twice the memory; not measured on CUDA
BATCH_TOKENS = {"cpu": 1 << 15, "cuda": 1 << 18}  # positions of all rows at most: bounds the memory of the cache
DRAW_VALUES = {"cpu": 1 << 18, "cuda": 1 << 28}  # logits at a time: larger arrays cost a CPU more in page faults
LEAVE = 1 / 8  # part of the rows that must have finished before the rest is gathered

Progress = Callable[[int, int], None]


class Source(Protocol):
    """What texts are sampled from: a language model, and how the texts of a class begin and end."""

    device: str
    model: Any
    context: int
    mend: str  # what a user can do when too few of its texts are valid

    @property
    def marks(self) -> Marks:
        """The ids that begin and end texts."""

    def prefixes(self, classes: np.ndarray) -> Sequence[tuple[np.ndarray, SharedPrefix | None]]:
        """Rows of `classes` (int64 [n]) that may share a batch, and what stands before the start token of each."""

    def step(self, ids: Tensor, cache: Any, classes: Tensor) -> tuple[Tensor, Any]:
        """The next tokens ids [B, L] of rows of these classes [B]: logits float32 [B, V] of the last, cache."""

    def keep(self, cache: Any, rows: Tensor) -> Any:
        """The cache with only these rows."""

    def eval_mode(self) -> None:
        """Dropout off."""

    def read(self, label: int, ids: np.ndarray) -> tuple[str, ...] | str:
        """The texts of a sampled sequence of this class, without its start token; or why it is none."""


def sample(
    source: Source,
    classes: np.ndarray,
    *,
    max_tokens: int,
    top_p: float,
    seed: int,
    streams: np.ndarray | None = None,
    batch: int | None = None,
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """One sampled sequence per entry of `classes` (int64 [n]), in that order.

    Each is int32 [L], 2 <= L <= `max_tokens`, with start token, and with its end unless it was cut. `streams` (int64
    [n], non-negative) names the random numbers of each row under `seed`; by default they are numbered. Raises UserError
    when the logits are not finite.
    """
    kind = torch.device(source.device).type
    streams = np.arange(len(classes)) if streams is None else streams
    out: dict[int, np.ndarray] = {}
    training = [module for module in source.model.modules() if module.training]  # not all: some may be frozen
    source.eval_mode()
    try:
        with torch.inference_mode(), precision(source.device):  # around all steps: weights are cast once
            for rows, prefix in source.prefixes(classes):
                before = 0 if prefix is None else prefix.length
                if not 2 <= max_tokens <= source.context - before:
                    raise ValueError(f"max_tokens must be in 2..{source.context - before}, not {max_tokens}")
                size = batch or max(1, min(BATCH[kind], BATCH_TOKENS[kind] // (before + max_tokens)))
                for start in range(0, len(rows), size):
                    some = rows[start : start + size]
                    u = uniforms(seed, streams[some], (max_tokens - 1, TRIES + 1))
                    out |= zip(some, _sample_batch(source, classes[some], prefix, u, top_p), strict=True)
                    if progress is not None:
                        progress(len(out), len(classes))
    finally:
        for module in training:
            module.training = True
    return [out[row] for row in range(len(classes))]


def _sample_batch(
    source: Source, classes: np.ndarray, prefix: SharedPrefix | None, u: np.ndarray, top_p: float
) -> list[np.ndarray]:
    """All rows of one batch to their ends. u: float32 [B, steps, TRIES + 1]."""
    marks, device, (size, steps) = source.marks, source.device, u.shape[:2]
    numbers = torch.from_numpy(u).to(device)
    labels = torch.from_numpy(np.asarray(classes, dtype=np.int64)).to(device)
    banned = torch.tensor(marks.banned, dtype=torch.int64, device=device)
    ends = torch.from_numpy(marks.ends).to(device)
    ids = torch.zeros((size, steps + 1), dtype=torch.int64, device=device)
    ids[:, 0] = torch.tensor(marks.starts, device=device)[labels]
    lengths = torch.full((size,), steps + 1, dtype=torch.int64, device=device)
    rows = torch.arange(size, device=device)  # of those still in the cache
    tokens, lacking = ids[:, 0], torch.full_like(rows, marks.needed)
    cache = None if prefix is None else prefix.cache(size)
    for step in range(steps):
        logits, cache = source.step(tokens[:, None], cache, labels)
        tokens = draw(logits.index_fill_(1, banned, -torch.inf), numbers[:, step], top_p)
        ids[rows, step + 1] = tokens
        before, lacking = lacking, lacking - ends[tokens]
        done = lacking <= 0
        lengths[rows[done & (before > 0)]] = step + 2  # what a row that is done still draws lies behind its end
        finished = int(done.sum())
        if finished == len(rows):
            break
        if finished >= LEAVE * len(rows):
            left = torch.nonzero(~done).squeeze(1)
            cache = source.keep(cache, left)
            rows, tokens, labels, numbers, lacking = (x[left] for x in (rows, tokens, labels, numbers, lacking))
    found = ids.cpu().numpy().astype(np.int32)
    return [row[:length].copy() for row, length in zip(found, lengths.tolist(), strict=True)]


def draw(logits: Tensor, u: Tensor, top_p: float) -> Tensor:
    """One token a row from the nucleus, int64 [B]. logits: float [B, V]; u: [B, TRIES + 1] in [0, 1), same type.

    Tokens with logit -inf are never drawn. Raises UserError when a row's logits are NaN or have no finite maximum.
    """
    rows = max(1, DRAW_VALUES[logits.device.type] // logits.shape[1])
    pieces = zip(logits.split(rows), u.split(rows), strict=True)
    return torch.cat([_draw(piece, numbers, top_p) for piece, numbers in pieces])


def _draw(logits: Tensor, u: Tensor, top_p: float) -> Tensor:
    weights = logits.softmax(-1)
    mass = weights.cumsum(-1)
    tokens = _invert(mass, u[:, :1])
    rest = torch.nonzero(~inside(weights, tokens, top_p)).squeeze(1)
    for number in range(1, TRIES):
        if not len(rest):
            return tokens
        again = _invert(mass[rest], u[rest, number, None])
        tokens[rest] = again
        rest = rest[~inside(weights[rest], again, top_p)]
    if len(rest):
        tokens[rest] = _draw_sorted(weights[rest], u[rest, TRIES, None], top_p)
    return tokens


def inside(weights: Tensor, tokens: Tensor, top_p: float) -> Tensor:
    """Whether a token of each row lies in the row's nucleus, bool [B]; never where its weight is 0 or NaN.

    weights: [B, V], rows of sum 1; tokens: int64 [B].
    """
    columns = tokens[:, None]
    own = weights.gather(1, columns)
    # Comparisons go to floats: several times faster than through booleans on a CPU.
    before = torch.gt(weights, own, out=torch.empty_like(weights)).mul_(weights).sum(-1, keepdim=True)
    ids = torch.arange(weights.shape[1], dtype=weights.dtype, device=weights.device)
    equal = torch.eq(weights, own, out=torch.empty_like(weights))
    earlier = torch.lt(ids, columns.to(ids), out=torch.empty_like(weights)).mul_(equal).sum(-1, keepdim=True)
    return ((own > 0) & ((before + own * earlier < top_p) | (top_p >= 1))).squeeze(1)


def _draw_sorted(weights: Tensor, u: Tensor, top_p: float) -> Tensor:
    """Inverse of the distribution function of the sorted nucleus. weights: [B, V]; u: [B, 1]; int64 [B]."""
    if not torch.isfinite(weights).all():
        raise UserError(
            "the generator's logits are not finite, so nothing can be sampled: its training diverged; "
            "choose smaller step sizes (lm_learning_rate, learning_rate)"
        )
    ordered, ids = weights.sort(dim=-1, descending=True, stable=True)
    mass = ordered.cumsum(-1)
    before = torch.nn.functional.pad(mass[:, :-1], (1, 0))
    kept = (ordered > 0) & ((before < top_p) | (top_p >= 1))
    ordered = torch.where(kept, ordered, 0.0)
    last = kept.sum(-1) - 1
    place = torch.minimum(_invert(ordered.cumsum(-1), u), last)  # rounding must not lead past the nucleus
    return ids.gather(1, place[:, None]).squeeze(1)


def _invert(mass: Tensor, u: Tensor) -> Tensor:
    """First index whose cumulative mass exceeds u * total. mass: [B, V], not decreasing; u: [B, 1]; int64 [B]."""
    found = torch.searchsorted(mass, u * mass[:, -1:], right=True)
    return found.squeeze(1).clamp_(max=mass.shape[1] - 1)


def uniforms(seed: int, streams: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """float32 [n, *shape] in [0, 1): the first numbers of each stream, whatever the other streams are.

    SplitMix64 (Steele et al. 2014), started from a hash of seed and stream.
    """
    origin = _mix(np.array([seed], dtype=np.uint64) + _GOLDEN)
    states = _mix(origin ^ _mix(streams.astype(np.uint64) + _GOLDEN))
    steps = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) * _GOLDEN
    bits = _mix(states[:, None] + steps)
    return ((bits >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)).reshape(len(streams), *shape)


_GOLDEN = np.array([0x9E3779B97F4A7C15], dtype=np.uint64)  # arrays wrap silently, numpy's scalars warn


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.array([0xBF58476D1CE4E5B9], dtype=np.uint64)
    x = (x ^ (x >> np.uint64(27))) * np.array([0x94D049BB133111EB], dtype=np.uint64)
    return x ^ (x >> np.uint64(31))
