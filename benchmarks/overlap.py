"""How much of a task's validation and test texts stands in its train rows.

    python benchmarks/overlap.py sst2 bbc-pairs [--data-dir DIR]

Shares of the texts of each split (all fields of a pair together), letter case and blanks ignored: equal to a train
text; a near-duplicate of one; standing as whole words within one; holding a train text of five words or more. Then
the accuracy of a bag-of-words probe (TF-IDF of words and word pairs, logistic regression) of all train rows on both
splits: where validation is much the easier one, it repeats what was learnt.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from bench.api import Split
from bench.data.overlap import near_duplicates
from bench.plan import planned_task
from bench.settings import Settings
from bench.suite import load_suite
from bench.work.worker import Worker

FEWEST = 5  # words of a train text that counts when another holds it


def main() -> None:
    """Three lines a task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()
    worker = Worker(Settings.make(data_dir=arguments.data_dir))
    for choice in load_suite("pocket", worker.registry, tasks=",".join(arguments.tasks)).tasks:
        data = worker.load(planned_task(choice, worker.assets))
        train = texts_of(data.train)
        probe = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10, max_iter=1000))
        probe.fit(joined(data.train), data.train.labels)
        print(f"{choice.label}: {len(data.train)} train rows, {len(set(train))} different texts")
        for name, split in (("validation", data.validation), ("test", data.test)):
            shares = ", ".join(f"{what} {100 * share:.1f} %" for what, share in overlap(texts_of(split), train).items())
            score = 100 * probe.score(joined(split), split.labels)
            print(f"  {len(split)} {name} rows: {shares}; bag-of-words probe {score:.1f} %", flush=True)


def overlap(texts: list[str], train: list[str]) -> dict[str, float]:
    """Shares of the texts, each in [0, 1]."""
    known = set(train)
    everything = "\n".join(f" {text} " for text in known)
    long = {text for text in known if len(text.split()) >= FEWEST}
    n = len(texts)
    return {
        "equal to a train text": sum(text in known for text in texts) / n,
        "near-duplicate": float(near_duplicates({"text": texts}, {"text": train}).mean()),
        "within a train text": sum(f" {text} " in everything for text in texts) / n,
        f"holding a train text of {FEWEST} words": sum(any(part in long for part in parts(text)) for text in texts) / n,
    }


def parts(text: str) -> list[str]:
    """Every run of FEWEST words or more, the whole included."""
    words = text.split()
    ends = range(FEWEST, len(words) + 1)
    return [" ".join(words[start:end]) for end in ends for start in range(end - FEWEST + 1)]


def texts_of(split: Split) -> list[str]:
    """All texts of all fields, lower case, blanks collapsed."""
    return [" ".join(text.casefold().split()) for column in split.texts.values() for text in column]


def joined(split: Split) -> list[str]:
    """One string a row, the fields on lines of their own."""
    return ["\n".join(row) for row in zip(*split.texts.values(), strict=True)]


if __name__ == "__main__":
    main()
