"""The BBC articles of the pinned wheel, in sentences, each article in one split."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.api import UserError
from tasks.splits import clean, part

ASSET = "bbc-articles"
TOPICS = ("business", "entertainment", "politics", "sports", "tech")
VALIDATION, TEST = 0.12, 0.18  # expected shares of the articles

_END = re.compile(r"""[.!?]["')]?\s+(?=["'(]?[A-Z0-9£$])""")
_ABBREVIATION = re.compile(r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|St|No|vs|Jr|Sr|Co|Inc|Ltd|Gen|Sen|Prof))\.$")


@dataclass(frozen=True)
class Article:
    """One article. `name` is its file, e.g. "tech/001"; `topic` an index into TOPICS.

    `lead`: its first sentence, or "" when that is not whole; `sentences`: its whole ones, without the headline.
    """

    name: str
    topic: int
    split: str
    headline: str
    lead: str
    sentences: tuple[str, ...]


def sentences(paragraph: str) -> list[str]:
    """The sentences of one paragraph; a closing quotation mark stays with its sentence."""
    found, start = [], 0
    for match in _END.finditer(paragraph):
        if not _ABBREVIATION.search(paragraph, start, match.start() + 1):
            found.append(paragraph[start : match.end()].strip())
            start = match.end()
    return [*found, paragraph[start:].strip()]


def whole(sentence: str, min_words: int, max_words: int) -> bool:
    """Whether a sentence has a length in the bounds, a sentence's start and a sentence's end."""
    start = sentence.lstrip("\"'(£$")[:1]
    return (
        min_words <= len(sentence.split()) <= max_words
        and start.isascii()
        and start.isalnum()
        and sentence[-1] in ".!?\"'"
    )


def articles(folder: Path, min_words: int, max_words: int) -> Iterator[Article]:
    """Each article once, by topic and file name, with its whole sentences in order.

    The wheel repeats 137 articles, some under two topics: a text is kept where it occurs first. Articles that
    share a sentence (two versions of one story) are in one split.
    """
    texts: dict[str, tuple[str, int, str, list[str]]] = {}  # body -> name, topic, headline, sentences
    for topic, topic_name in enumerate(TOPICS):
        files = sorted((folder / topic_name).glob("*.txt"))
        if not files:
            raise UserError(f"no article under {folder / topic_name}: remove {folder} and run `bench fetch {ASSET}`")
        for file in files:
            headline, *paragraphs = [clean(line) for line in _read(file).splitlines() if line.strip()] or [""]
            own = [sentence for paragraph in paragraphs for sentence in sentences(paragraph)]
            texts.setdefault(" ".join(own).casefold(), (f"{topic_name}/{file.stem}", topic, headline, own))
    groups = _stories({body: own for body, (*_, own) in texts.items()})
    for body, (name, topic, headline, own) in texts.items():
        chosen = tuple(sentence for sentence in own if whole(sentence, min_words, max_words))
        lead = chosen[0] if chosen and chosen[0] == own[0] else ""
        yield Article(name, topic, part(groups[body], VALIDATION, TEST), headline, lead, chosen)


def _read(file: Path) -> str:
    raw = file.read_bytes()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:  # a few files hold a lone pound sign in Latin-1
        return raw.decode("latin-1")


def _stories(texts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Body -> the first body of all that are linked to it by shared sentences of six words or more."""
    leader = {body: body for body in texts}

    def find(body: str) -> str:
        while leader[body] != body:
            body = leader[body]
        return body

    first: dict[str, str] = {}  # sentence -> the body that had it first
    for body, own in texts.items():
        for sentence in own:
            if len(sentence.split()) >= 6:
                one, other = sorted((find(body), find(first.setdefault(sentence.casefold(), body))))
                leader[other] = one
    return {body: find(body) for body in texts}
