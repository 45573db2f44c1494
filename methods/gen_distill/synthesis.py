"""Stage 3 (and the pools of stage 2): valid sampled texts of a class, and K-centers among them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.api import Context, TaskInfo, UserError
from methods.gen_distill.params import GenDistillParams
from methods.gen_distill.sampling import Progress, Source, sample
from methods.params import FeatureParams
from methods.selection import kmeans_medoids

MOST_DRAWS = 20  # for each valid text that is wanted
FEWEST_DRAWS = 200  # of a class before its generator counts as broken
STREAMS = 1 << 40  # numbers of random streams that a class may use


@dataclass
class Pool:
    """n valid texts of a class. `sequences`: as they were sampled, int32 [L] each, with start token.

    texts: field -> n strings, stripped and not empty; drawn: sequences sampled for them, invalid ones included;
    refused: how many of these are invalid, by reason.
    """

    label: int
    sequences: list[np.ndarray] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    drawn: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def invalid(self) -> int:
        """How many of the drawn sequences are no text of the class."""
        return self.refused.total()


def draw_pools(
    source: Source,
    info: TaskInfo,
    wanted: Mapping[int, int],
    params: GenDistillParams,
    *,
    max_tokens: int,
    seed: int,
    progress: Progress | None = None,
) -> list[Pool]:
    """A pool of `wanted[label]` texts for each class asked for, in that order.

    Every class has its own endless sequence of draws under `seed`, and its pool is the first valid ones: the same
    whichever classes are drawn together, and the start of any larger pool. `progress` counts texts. Raises UserError
    when fewer than one draw in MOST_DRAWS is valid.
    """
    pools = {label: Pool(label, texts={name: [] for name in info.fields}) for label in wanted}
    total = sum(wanted.values())
    asked = dict.fromkeys(wanted, 0)  # draws so far, those beyond the last valid text that was needed included
    while counts := _next_draws(source, pools, wanted, asked, info, max_tokens):
        have = sum(len(pool.sequences) for pool in pools.values())
        found = sample(
            source,
            np.repeat(np.array(list(counts), dtype=np.int64), list(counts.values())),
            max_tokens=max_tokens,
            top_p=params.top_p,
            seed=seed,
            streams=np.concatenate([label * STREAMS + asked[label] + np.arange(n) for label, n in counts.items()]),
            progress=_counting(progress, have, total),
        )
        start = 0
        for label, n in counts.items():
            _add(pools[label], found[start : start + n], wanted[label], source)
            asked[label] += n
            start += n
    return list(pools.values())


def _next_draws(
    source: Source,
    pools: Mapping[int, Pool],
    wanted: Mapping[int, int],
    asked: Mapping[int, int],
    info: TaskInfo,
    max_tokens: int,
) -> dict[int, int]:
    """How many sequences to draw next of each class that still lacks texts."""
    counts = {}
    for label, pool in pools.items():
        missing = wanted[label] - len(pool.sequences)
        if not missing:
            continue
        most = max(MOST_DRAWS * wanted[label], FEWEST_DRAWS)
        if asked[label] >= most:
            why = ", ".join(f"{n} times {reason}" for reason, n in pool.refused.most_common())
            raise UserError(
                f"the generator yields too few valid texts of class '{info.label_names[label]}': {len(pool.sequences)} "
                f"of {asked[label]} draws of up to {max_tokens} tokens ({why}); {source.mend}"
            )
        share = (len(pool.sequences) + 1) / (asked[label] + 1)
        spare = math.ceil(1.2 * missing / share) + 1  # a round of a few rows costs nearly as much as one of many
        counts[label] = min(spare if asked[label] else missing, most - asked[label])
    return counts


def _add(pool: Pool, sequences: Sequence[np.ndarray], n: int, source: Source) -> None:
    """Put the valid ones of these draws into the pool until it holds n."""
    for sequence in sequences:
        if len(pool.sequences) == n:
            return
        pool.drawn += 1
        texts = source.read(pool.label, sequence[1:])
        if isinstance(texts, str):
            pool.refused[texts] += 1
            continue
        pool.sequences.append(sequence)
        for column, text in zip(pool.texts.values(), texts, strict=True):
            column.append(text)


def _counting(progress: Progress | None, have: int, total: int) -> Progress | None:
    return None if progress is None else lambda done, _: progress(min(have + done, total), total)


@dataclass(frozen=True)
class Selection:
    """Rows of a pool. `duplicates`: rows of it that repeat an earlier one; `repeated`: the same among those chosen."""

    indices: np.ndarray  # int64 [k]
    duplicates: int
    repeated: int


def select(
    texts: Mapping[str, Sequence[str]],
    k: int,
    ctx: Context,
    params: FeatureParams,
    seed: int,
    keep_repeats: bool = False,
) -> Selection:
    """k of n texts by K-centers on frozen features, in the order of the clusters.

    Of equal texts only the first counts. Only where a pool has fewer than k different texts, all of them are taken
    and then further copies in the order of the pool. With `keep_repeats` K-centers sees all n texts.
    texts: field -> n strings, n >= k. Raises UserError when the features are not finite.
    """
    rows = list(zip(*texts.values(), strict=True))
    if not 1 <= k <= len(rows):
        raise ValueError(f"k must be in 1..{len(rows)}, not {k}")
    first: dict[tuple[str, ...], int] = {}
    copies = [number for number, row in enumerate(rows) if first.setdefault(row, number) != number]
    distinct = np.array(list(first.values()), dtype=np.int64)
    if keep_repeats:
        picked = kmeans_medoids(embed(texts, ctx, params), k, seed).indices
        return Selection(picked, len(copies), k - len({rows[row] for row in picked}))
    repeated = max(0, k - len(distinct))
    if repeated:
        indices = np.concatenate([distinct, np.array(copies[:repeated], dtype=np.int64)])
    else:
        X = embed({name: [column[row] for row in distinct] for name, column in texts.items()}, ctx, params)
        indices = distinct[kmeans_medoids(X, k, seed).indices]
    return Selection(indices, len(copies), repeated)


def embed(texts: Mapping[str, Sequence[str]], ctx: Context, params: FeatureParams) -> np.ndarray:
    """Features of synthetic texts, float32 [n, d], of unit length where the parameters ask for it."""
    X = np.array(ctx.embed(texts, params.encoder, params.pooling, params.max_length))
    if not np.isfinite(X).all():
        raise UserError("the encoder gives NaN or infinite features for synthetic texts; use another encoder")
    if params.normalize:
        X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return X
