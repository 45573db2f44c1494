"""`bbc-pairs`: two sentences -> from one article, from two articles of one topic, or from two topics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from bench.api import Context, Task, TaskData, TaskInfo
from tasks.articles import ASSET, Article, articles
from tasks.params import PairParams
from tasks.splits import SPLITS, Row, assemble, rank

LABELS = ("same article", "same topic", "other topic")

T = TypeVar("T")


@dataclass(frozen=True)
class Pool:
    """What one article gives: texts that stand first in a pair, and texts that stand second."""

    name: str
    topic: int
    split: str
    firsts: tuple[str, ...]
    seconds: tuple[str, ...]


class BbcPairs(Task):
    """Three balanced classes; no article has texts in two splits.

    Each first text meets one partner of each class, so that no text alone tells the class.
    """

    params: PairParams

    def load(self, ctx: Context) -> TaskData:
        """Pair texts by hashes of the seed and the text; a smaller cap is a prefix of a larger one."""
        found = list(articles(ctx.asset(ASSET), self.params.min_words, self.params.max_words))
        pools = _headline_leads(found) if self.params.pair == "headline-lead" else _sentences(found)
        rows: list[Row] = []
        for split in SPLITS:
            usable = [pool for pool in pools if pool.split == split]
            rows += islice(pairs(usable, split, self.params.seed), self.params.cap(split))
        return assemble(TaskInfo("bbc-pairs", ("sentence1", "sentence2"), LABELS), rows, "bbc-pairs")


def _headline_leads(found: Sequence[Article]) -> list[Pool]:
    """Headlines first, leads second; a text that two articles share is left out."""
    copies = Counter(text.casefold() for article in found for text in (article.headline, article.lead))
    return [
        Pool(article.name, article.topic, article.split, (article.headline,), (article.lead,))
        for article in found
        if article.lead and copies[article.headline.casefold()] == copies[article.lead.casefold()] == 1
    ]


def _sentences(found: Sequence[Article]) -> list[Pool]:
    """Any sentence in both places; a sentence that occurs twice is left out."""
    copies = Counter(text.casefold() for article in found for text in article.sentences)
    pools = []
    for article in found:
        own = tuple(text for text in article.sentences if copies[text.casefold()] == 1)
        if len(own) > 1:
            pools.append(Pool(article.name, article.topic, article.split, own, own))
    return pools


def pairs(pools: Sequence[Pool], split: str, seed: int) -> Iterator[Row]:
    """Three rows a first text, in the order of LABELS; all articles give one before one gives a second.

    A first text is left out when one of its pairs occurred the other way round.
    """
    topics: dict[int, list[Pool]] = {}
    for pool in pools:
        topics.setdefault(pool.topic, []).append(pool)
    seen: set[frozenset[str]] = set()
    for pool, first in _firsts(pools, seed):
        neighbours = [other for other in topics[pool.topic] if other.name != pool.name]
        others = [topic for topic in topics if topic != pool.topic]
        if not neighbours or not others:
            continue
        neighbour = _pick(neighbours, "neighbour", seed, first)
        stranger = _pick(topics[_pick(others, "topic", seed, first)], "stranger", seed, first)
        partners = (
            _pick([text for text in pool.seconds if text != first], "own text", seed, first),
            _pick(neighbour.seconds, "neighbour's text", seed, first),
            _pick(stranger.seconds, "stranger's text", seed, first),
        )
        found = {frozenset((first, partner)) for partner in partners}
        if not found & seen:
            seen |= found
            for label, partner in enumerate(partners):
                yield Row((first, partner), label, split)


def _firsts(pools: Sequence[Pool], seed: int) -> list[tuple[Pool, str]]:
    """Every first text with its article: one of each article, then a second of each, by hash."""
    turns = []
    for pool in pools:
        ordered = sorted((rank(f"first {seed}", text), text) for text in pool.firsts)
        turns += [(turn, at, text, pool) for turn, (at, text) in enumerate(ordered)]
    turns.sort(key=lambda entry: entry[:3])
    return [(pool, text) for _, _, text, pool in turns]


def _pick(options: Sequence[T], purpose: str, seed: int, text: str) -> T:
    return options[rank(f"{purpose} {seed}", text) % len(options)]
