"""Copies and near-duplicates, each against its plain definition."""

from __future__ import annotations

import random

from bench.data.overlap import copies, near_duplicates, normalised


def test_normalised_texts() -> None:
    assert normalised({"a": [" The  film\n", "x"], "b": ["Great\tFUN", "y z"]}) == ["the film\ngreat fun", "x\ny z"]


def test_copies() -> None:
    texts = {"t": ["a good film", "A  good film ", "bad", "a bad film"]}
    assert copies(texts, {"t": ["a GOOD film", "badly"]}).tolist() == [True, True, False, False]
    pairs = {"a": ["x", "x"], "b": ["y", "z"]}
    assert copies(pairs, {"a": ["x", "y"], "b": ["z", "x"]}).tolist() == [False, True]


def jaccard(a: str, b: str) -> float:
    grams = [{tuple(w[i : i + 3]) for i in range(len(w) - 2)} for w in (a.split(), b.split())]
    return len(grams[0] & grams[1]) / max(1, len(grams[0] | grams[1]))


def test_near_duplicates_equal_brute_force() -> None:
    rng = random.Random(0)
    others = [" ".join(rng.choices("abcdefgh", k=rng.randint(1, 14))) for _ in range(150)]
    texts = []
    for other in others[:80]:  # each with some of its words changed
        words = other.split()
        for _ in range(rng.choice([0, 1, 1, 2])):
            words.insert(rng.choice([0, len(words)]), rng.choice("abc"))
        texts.append(" ".join(words))
    texts += [" ".join(rng.choices("xyz", k=6)) for _ in range(20)]
    expected = [any(text == other or jaccard(text, other) >= 0.8 for other in others) for text in texts]
    assert near_duplicates({"t": texts}, {"t": others}).tolist() == expected
    near = [found and text not in others for found, text in zip(expected, texts, strict=True)]
    assert 10 < sum(near) < sum(expected) < 95  # both kinds occur, and others are neither


def test_near_duplicates_at_the_threshold_and_across_fields() -> None:
    eight = "one two three four five six"  # 4 grams; with one more word 4 of 5 are shared
    assert near_duplicates({"t": [eight]}, {"t": [f"{eight} seven"]}).tolist() == [True]
    assert near_duplicates({"t": [eight]}, {"t": [f"{eight} seven eight"]}).tolist() == [False]
    assert near_duplicates({"t": ["One, two!"]}, {"t": ["one , two !"]}).tolist() == [True]  # signs are tokens
    assert near_duplicates({"t": ["one two"]}, {"t": ["one two three"]}).tolist() == [False]  # no gram at all
    a, b = "a b c d", "e f g h"
    assert near_duplicates({"x": [a], "y": [b]}, {"x": [f"{a} e"], "y": ["f g h"]}).tolist() == [False]
    assert near_duplicates({"x": [a], "y": [b]}, {"x": [b], "y": [a]}).tolist() == [True]  # as sets of grams
