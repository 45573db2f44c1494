"""The pocket tasks: on the pinned wheels, and on small folders of the same layout."""

from __future__ import annotations

import bz2
import csv
import io
import time
from pathlib import Path

import numpy as np
import pytest

from bench.api import UserError
from bench.data.overlap import near_duplicates
from tasks.articles import TOPICS, articles, sentences, whole
from tasks.rt import snippets
from tests.tasks.conftest import Load, check_sound, rows, splits

CAPS = {"bbc": (2000, 400, 400), "rt": (2000, 400, 400), "bbc-pairs": (1200, 402, 402)}


@pytest.mark.parametrize("name", CAPS)
def test_real_task_is_sound_balanced_and_quick(real: Load, name: str) -> None:
    started = time.process_time()
    data = real(name)
    assert time.process_time() - started < 5  # about 0.7 s; a worker loads a task once
    check_sound(data)
    for split, cap in zip(splits(data).values(), CAPS[name], strict=True):
        assert len(split) == cap
        assert np.ptp(np.bincount(split.labels)) <= 1
    again = real(name)
    assert [rows(split) for split in splits(again).values()] == [rows(split) for split in splits(data).values()]


@pytest.mark.parametrize("name", CAPS)
def test_real_caps_nest(real: Load, name: str) -> None:
    large = splits(real(name))
    small = splits(real(name, train_rows=100, validation_rows=31, test_rows=50))
    for split, cap in zip(small, (100, 31, 50), strict=True):
        assert rows(small[split]) == rows(large[split])[:cap]


def test_real_articles_and_films_are_in_one_split(real: Load) -> None:
    owner = {}
    found = list(articles(real.folder("bbc-articles"), 1, 1000))  # type: ignore[attr-defined]
    for article in found:
        for text in {*article.sentences, article.headline}:
            owner.setdefault(text.casefold(), set()).add(article.name)
    assert len(found) == 2088
    for name, more in (("bbc", {}), ("bbc-pairs", {}), ("bbc-pairs", {"pair": "sentences"})):
        homes: dict[str, str] = {}
        for split, data in splits(real(name, train_rows=None, validation_rows=None, test_rows=None, **more)).items():
            for *texts, _ in rows(data):
                for text in texts:
                    for article in owner[text.casefold()]:
                        assert homes.setdefault(article, split) == split
        assert set(homes.values()) == {"train", "validation", "test"}
    reviews = list(snippets(real.folder("review-snippets")))  # type: ignore[attr-defined]
    assert len({film for *_, film in reviews}) == 508
    films = {text: film for _, text, film in reviews}
    homes = {}
    for split, data in splits(real("rt", train_rows=None, validation_rows=None, test_rows=None)).items():
        for text, _ in rows(data):
            assert homes.setdefault(films[text], split) == split


def test_real_pairs_are_what_their_label_says(real: Load) -> None:
    found = list(articles(real.folder("bbc-articles"), 6, 24))  # type: ignore[attr-defined]
    by_headline = {article.headline: article for article in found}
    by_lead = {article.lead: article for article in found}
    data = real("bbc-pairs")
    firsts = []
    for first, second, label in rows(data.train):
        one, other = by_headline[first], by_lead[second]
        assert label == (0 if one.name == other.name else 1 if one.topic == other.topic else 2)
        firsts.append((first, label))
    assert len({first for first, _ in firsts}) * 3 == len(set(firsts)) == len(firsts)
    assert rows(real("bbc-pairs", seed=1).train) != rows(data.train)
    check_sound(real("bbc-pairs", pair="sentences"))
    assert [len(set(column)) for column in data.test.texts.values()] == [134, 160]  # as `bench info bbc-pairs` says


@pytest.mark.parametrize("name", CAPS)
def test_no_real_text_nearly_repeats_one_of_another_split(real: Load, name: str) -> None:
    every = {
        split: {"text": [text for column in part.texts.values() for text in column]}
        for split, part in splits(real(name)).items()
    }
    for split, other in (("validation", "train"), ("test", "train"), ("test", "validation")):
        assert not near_duplicates(every[split], every[other]).any()


def test_real_rt_has_no_plots_and_bbc_no_headlines(real: Load) -> None:
    assert len(list(snippets(real.folder("review-snippets")))) == 12808  # type: ignore[attr-defined]
    headlines = {article.headline for article in articles(real.folder("bbc-articles"), 6, 16)}  # type: ignore[attr-defined]
    assert not headlines & set(real("bbc").train.texts["text"])


# ---- sentences


def test_sentences_end_at_a_full_stop_before_a_capital() -> None:
    text = 'Mr Brown of the U.S. Treasury paid 2.5 million. "It was fair," he said. "Was it?" Nobody knew! £5 was left.'
    assert sentences(text) == [
        "Mr Brown of the U.S. Treasury paid 2.5 million.",
        '"It was fair," he said.',
        '"Was it?"',
        "Nobody knew!",
        "£5 was left.",
    ]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("This one is just long enough.", True),
        ('"This one is quoted and whole."', True),
        ("Too short.", False),
        ("This one has no full stop", False),
        ("- this one is an item of a list.", False),
    ],
)
def test_whole_sentences(text: str, kept: bool) -> None:
    assert whole(text, 4, 10) is kept


# ---- the same layout, written here


def write_articles(folder: Path, each: int = 40) -> None:
    for topic in TOPICS:
        (folder / topic).mkdir(parents=True)
        for i in range(each):
            body = " ".join(f"Line {k} of the {topic} story number {i} is here." for k in range(6))
            (folder / topic / f"{i:03}.txt").write_text(f"Head of {topic} {i}\n\n{body}\n")


def test_articles_of_one_story_are_in_one_split_and_copies_are_read_once(tmp_path: Path, load: Load) -> None:
    folder = tmp_path / "bbc-articles"
    write_articles(folder)
    before = {article.name: article.split for article in articles(folder, 1, 99)}
    apart = sorted(before)[0], next(name for name in sorted(before) if before[name] != before[sorted(before)[0]])
    for name in apart:
        file = folder / f"{name}.txt"
        file.write_text(file.read_text() + "This very sentence is in both of the two articles.\n")
    (folder / "tech" / "999.txt").write_bytes((folder / "tech" / "000.txt").read_bytes())
    (folder / "tech" / "998.txt").write_bytes("Head\n\nIt cost £9 in all and no more.\n".encode("latin-1"))
    after = {article.name: article for article in articles(folder, 1, 99)}
    assert after[apart[0]].split == after[apart[1]].split
    assert "tech/999" not in after
    assert after["tech/998"].sentences == ("It cost £9 in all and no more.",)
    check_sound(load("bbc"))
    check_sound(load("bbc-pairs"))


def test_a_split_does_not_depend_on_the_other_articles(tmp_path: Path) -> None:
    write_articles(tmp_path / "many", 40)
    write_articles(tmp_path / "few", 20)
    many = {article.name: article.split for article in articles(tmp_path / "many", 1, 99)}
    few = {article.name: article.split for article in articles(tmp_path / "few", 1, 99)}
    assert few == {name: many[name] for name in few}


def test_too_small_a_cap_names_the_class(tmp_path: Path, load: Load) -> None:
    write_articles(tmp_path / "bbc-articles")
    with pytest.raises(UserError, match="class 'tech' has no row in the train split"):
        load("bbc", train_rows=4)


def test_missing_and_damaged_files_are_one_line(tmp_path: Path, load: Load) -> None:
    (tmp_path / "bbc-articles").mkdir()
    with pytest.raises(UserError, match=r"no article under .*bench fetch bbc-articles"):
        load("bbc")
    folder = tmp_path / "review-snippets"
    folder.mkdir()
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["category", "text", "movie_name", "has_plot_and_reviews"])
    writer.writerows([(["rotten", "fresh"][i % 2], f"a film of words {i}", f"film {i % 40}", "") for i in range(400)])
    packed = bz2.compress(table.getvalue().encode())
    file = folder / "rotten_tomatoes_corpus_full.csv.bz2"
    file.write_bytes(packed)
    check_sound(load("rt", min_words=2))
    file.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(UserError, match=r"cannot read .*csv\.bz2 .*bench fetch review-snippets"):
        load("rt")
