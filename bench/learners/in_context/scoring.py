"""How likely each label word is after a prompt: log probabilities among the words of all classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from bench.data.batching import longest_first
from bench.learners.causal.model import CausalModel
from bench.learners.causal.prefix import Prefix

TOKENS = {"cpu": 1024, "cuda": 32768}  # padded tokens of a batch, those of the prefix not counted

Progress = Callable[[int, int], None]


def first_tokens_differ(words: Sequence[np.ndarray]) -> bool:
    """Whether the first token of a label word tells its class."""
    return len({int(ids[0]) for ids in words}) == len(words)


def score(
    model: CausalModel,
    prefix: Prefix,
    queries: Sequence[np.ndarray],
    words: Sequence[np.ndarray],
    *,
    whole: bool,
    progress: Progress = lambda done, total: None,
) -> np.ndarray:
    """log p of each class given its query, among the C label words: float64 [N, C], rows of exp sum to 1.

    queries: ids that follow the prefix; words: ids of the label words. whole: p of all tokens of a word; else of its
    first token, which has to differ between the words.
    """
    if not whole and not first_tokens_differ(words):
        raise ValueError("two label words begin with the same token: score them whole")
    # A query is read once for each word of several tokens, and for words of one token as a part of that.
    ends = [ids[:-1] for ids in words if whole and len(ids) > 1] or [words[0][:0]]
    found = np.empty((len(queries), len(words)))
    lengths = np.array([len(query) for query in queries]) + max(len(end) for end in ends)
    done = 0
    for rows in _batches(model, prefix, lengths, len(ends)):
        hidden = prefix.hidden([np.concatenate([queries[row], end]) for row in rows for end in ends])
        asked = [len(queries[row]) - 1 for row in rows]  # where the label word is asked for
        found[rows] = _whole(model, hidden, asked, words) if whole else _first(model, hidden, asked, words)
        done += len(rows)
        progress(done, len(queries))
    with np.errstate(invalid="ignore"):  # what is not finite is told by whoever asked
        return found - np.logaddexp.reduce(found, axis=1, keepdims=True)


def last_states(
    model: CausalModel,
    prefix: Prefix,
    queries: Sequence[np.ndarray],
    progress: Progress = lambda done, total: None,
) -> Tensor:
    """Last hidden states where the label word is asked for: [N, d]."""
    found: list[Tensor | None] = [None] * len(queries)
    done = 0
    for rows in _batches(model, prefix, np.array([len(query) for query in queries]), 1):
        for row, states in zip(rows, prefix.hidden([queries[row] for row in rows]), strict=True):
            found[row] = states[-1].clone()  # not the whole batch
        done += len(rows)
        progress(done, len(queries))
    return torch.stack([states for states in found if states is not None])


def _batches(model: CausalModel, prefix: Prefix, lengths: np.ndarray, times: int) -> Iterator[np.ndarray]:
    """Queries of like length that are run together, each `times` times; the longest first."""
    size = TOKENS[torch.device(model.device).type] // times
    for batch in longest_first(lengths, size):
        most = max(1, (prefix.rows or len(batch) * times) // times)
        for start in range(0, len(batch), most):
            yield batch[start : start + most]


def _first(
    model: CausalModel, hidden: Sequence[Tensor], asked: Sequence[int], words: Sequence[np.ndarray]
) -> np.ndarray:
    """Logits of the first tokens: what is common to all of them cancels."""
    tokens = torch.tensor([int(ids[0]) for ids in words], device=model.device)
    last = torch.stack([states[place] for states, place in zip(hidden, asked, strict=True)])
    with torch.no_grad():
        found: np.ndarray = model.logits_of(last, tokens).double().cpu().numpy()
    return found


@torch.no_grad()
def _whole(
    model: CausalModel, hidden: Sequence[Tensor], asked: Sequence[int], words: Sequence[np.ndarray]
) -> np.ndarray:
    """Sums of log p over the tokens of each word. hidden: for each query in turn, one for each of the `ends`."""
    several = [label for label, ids in enumerate(words) if len(ids) > 1]
    per_query = max(1, len(several))
    found = np.empty((len(asked), len(words)))
    for query, place in enumerate(asked):
        own = hidden[query * per_query : (query + 1) * per_query]
        first = model.logits_of(own[0][place : place + 1]).double().log_softmax(-1)[0]
        for label, ids in enumerate(words):
            found[query, label] = float(first[int(ids[0])])
        for states, label in zip(own, several, strict=False):
            rest = torch.from_numpy(words[label][1:]).to(model.device)
            logits = model.logits_of(states[place + 1 : place + 1 + len(rest)]).double().log_softmax(-1)
            found[query, label] += float(logits.gather(1, rest[:, None]).sum())
    return found
