"""Words and texts nearest to learned vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.api import TrainData
from methods.embedding.learner import Learner

SHOWN_ROWS = 1000
CHUNK = 2048  # vectors compared with the whole table at once


def nearest_rows(vectors: np.ndarray, table: np.ndarray, allowed: np.ndarray, metric: str) -> np.ndarray:
    """For each vector [n, d] the index of the nearest row of a table [V, d] among those allowed (bool [V]), int64 [n].

    metric: "l2" or "cosine" (a vector of zeros has no direction: it gets the first allowed row). Ties go to the lowest
    index.
    """
    rows = np.flatnonzero(allowed)
    candidates = table[rows].astype(np.float64)
    if metric == "cosine":
        candidates = candidates / np.maximum(np.linalg.norm(candidates, axis=1, keepdims=True), 1e-30)
        half = np.zeros(len(rows))
    else:
        half = 0.5 * np.einsum("vd,vd->v", candidates, candidates)  # |x - c|^2 = |x|^2 + 2 (|c|^2 / 2 - <x, c>)
    found = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), CHUNK):
        part = vectors[start : start + CHUNK].astype(np.float64)
        found[start : start + CHUNK] = rows[(half - part @ candidates.T).argmin(1)]
    return found


def allowed_tokens(tokenizer: Any, size: int, exclude: str) -> np.ndarray:
    """Which rows of an embedding table of this size are words, bool [size]: no special token, none that is unused.

    exclude="pieces" leaves word pieces out as well: what begins with ## in a WordPiece vocabulary.
    """
    allowed = np.zeros(size, bool)
    for token, index in tokenizer.get_vocab().items():
        if index >= size:  # a tokenizer may know more than the model
            continue
        unused = token.startswith(("[unused", "madeupword"))
        allowed[index] = not unused and not (exclude == "pieces" and token.startswith("##"))
    allowed[[index for index in tokenizer.all_special_ids if index < size]] = False
    return allowed


def nearest_words(learner: Learner, vectors: np.ndarray, metric: str, exclude: str) -> list[list[int]]:
    """Token ids of the nearest words of vectors [N, L, d], N lists of L."""
    table = learner.network.frozen.embeddings.word_embeddings.weight.detach().cpu().numpy()
    allowed = allowed_tokens(learner.network.texts.tokenizer, len(table), exclude)
    n, length = vectors.shape[:2]
    found: list[list[int]] = (
        nearest_rows(vectors.reshape(n * length, -1), table, allowed, metric).reshape(n, length).tolist()
    )
    return found


def nearest_shown(learner: Learner, data: TrainData, vectors: np.ndarray) -> Sequence[str]:
    """What a person may look at for each example: nearest words of word embeddings, or a train text of states.

    That text is the one with the nearest mean state, of up to SHOWN_ROWS train rows that are the same for all sets.
    """
    if not learner.layer:
        tokenizer = learner.network.texts.tokenizer
        return [tokenizer.decode(ids) for ids in nearest_words(learner, vectors, "l2", "special")]
    n = len(data.train)
    rows = np.arange(n) if n <= SHOWN_ROWS else np.random.default_rng(0).choice(n, SHOWN_ROWS, replace=False)
    packed = learner.packed(data.train, rows)
    starts = np.cumsum(packed.sizes) - packed.sizes
    means = np.add.reduceat(packed.states, starts, axis=0) / packed.sizes[:, None]
    found = rows[nearest_rows(vectors.mean(1), means, np.ones(len(means), bool), "l2")]
    return [" | ".join(data.train.texts[name][row] for name in learner.fields) for row in found]
