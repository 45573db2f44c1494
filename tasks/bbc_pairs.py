"""`bbc-pairs`: two sentences -> from one article, from two articles of one topic, or from two topics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from bench.api import Context, Task, TaskData, TaskInfo
from tasks.articles import ASSET, Article, articles
from tasks.params import PairParams
from tasks.splits import SPLITS, Row, assemble, rank

LABELS = ("same article", "same topic", "other topic")

T = TypeVar("T")


class BbcPairs(Task):
    """Three balanced classes; no article has sentences in two splits.

    Each first sentence meets one partner of each class, so that no sentence alone tells the class.
    """

    params: PairParams

    def load(self, ctx: Context) -> TaskData:
        """Pair sentences by hashes of the seed and the text; a smaller cap is a prefix of a larger one."""
        found = list(articles(ctx.asset(ASSET), self.params.min_words, self.params.max_words))
        copies = Counter(text.casefold() for article in found for text in article.sentences)
        pools = [
            replace(article, sentences=tuple(text for text in article.sentences if copies[text.casefold()] == 1))
            for article in found
        ]
        rows: list[Row] = []
        for split in SPLITS:
            usable = [pool for pool in pools if pool.split == split and len(pool.sentences) > 1]
            rows += islice(pairs(usable, split, self.params.seed), self.params.cap(split))
        return assemble(TaskInfo("bbc-pairs", ("sentence1", "sentence2"), LABELS), rows, "bbc-pairs")


def pairs(pools: Sequence[Article], split: str, seed: int) -> Iterator[Row]:
    """Three rows a first sentence, in the order of LABELS; all articles give one before one gives a second.

    A first sentence is left out when one of its pairs occurred the other way round.
    """
    topics: dict[int, list[Article]] = {}
    for pool in pools:
        topics.setdefault(pool.topic, []).append(pool)
    seen: set[frozenset[str]] = set()
    for article, first in _firsts(pools, seed):

        def pick(purpose: str, options: Sequence[T], first: str = first) -> T:
            return options[rank(f"{purpose} {seed}", first) % len(options)]

        neighbours = [pool for pool in topics[article.topic] if pool.name != article.name]
        others = [topic for topic in topics if topic != article.topic]
        if not neighbours or not others:
            continue
        partners = (
            pick("own", [text for text in article.sentences if text != first]),
            pick("sentence", pick("article", neighbours).sentences),
            pick("other sentence", pick("other article", topics[pick("other topic", others)]).sentences),
        )
        found = {frozenset((first, partner)) for partner in partners}
        if not found & seen:
            seen |= found
            for label, partner in enumerate(partners):
                yield Row((first, partner), label, split)


def _firsts(pools: Sequence[Article], seed: int) -> list[tuple[Article, str]]:
    """Every sentence with its article: first one of each article, then a second of each, by hash."""
    turns = []
    for pool in pools:
        ordered = sorted((rank(f"first {seed}", text), text) for text in pool.sentences)
        turns += [(turn, at, text, pool) for turn, (at, text) in enumerate(ordered)]
    turns.sort(key=lambda entry: entry[:3])
    return [(pool, text) for _, _, text, pool in turns]
