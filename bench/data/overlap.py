"""Which texts repeat others: word for word, or nearly."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

NEAR = 0.8  # Jaccard index from which two texts are near-duplicates
GRAM = 3  # tokens

Columns = Mapping[str, Sequence[str]]
Gram = tuple[str, ...]

_TOKEN = re.compile(r"\w+|[^\w\s]")


def normalised(texts: Columns) -> list[str]:
    """One string for each of n texts or pairs: lower case, blanks collapsed, the fields on lines of their own."""
    columns = ([" ".join(text.lower().split()) for text in column] for column in texts.values())
    return ["\n".join(row) for row in zip(*columns, strict=True)]


def copies(texts: Columns, others: Columns) -> np.ndarray:
    """Which texts are among the others, bool [n]; normalised, pairs as a whole."""
    known = set(normalised(others))
    return np.array([row in known for row in normalised(texts)])


def near_duplicates(texts: Columns, others: Columns) -> np.ndarray:
    """Which texts are copies of one of the others or share most of their token 3-grams with it, bool [n].

    Most: a Jaccard index of NEAR or more; tokens are words and signs in lower case, and a gram does not cross from one
    field to the other. Texts without a 3-gram can only be copies. The index holds the grams of `texts`, the fewer.
    """
    found = copies(texts, others)
    mine = list(_grams(texts))
    having: defaultdict[Gram, list[int]] = defaultdict(list)
    for row, grams in enumerate(mine):
        if not found[row]:
            for gram in grams:
                having[gram].append(row)
    indexed = having.keys()
    for grams in _grams(others):
        shared = Counter(row for gram in grams & indexed for row in having[gram])
        for row, both in shared.items():
            if both >= NEAR * (len(mine[row]) + len(grams) - both):
                found[row] = True
    return found


def _grams(texts: Columns) -> Iterator[set[Gram]]:
    for row in normalised(texts):
        grams: set[Gram] = set()
        for line in row.split("\n"):
            tokens = _TOKEN.findall(line)
            grams.update(zip(*(tokens[start:] for start in range(GRAM)), strict=False))
        yield grams
