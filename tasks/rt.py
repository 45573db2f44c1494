"""`rt`: a snippet of a film review -> rotten or fresh."""

from __future__ import annotations

import bz2
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from bench.api import Context, Task, TaskData, TaskInfo, UserError
from tasks.params import PocketParams
from tasks.splits import SPLITS, Row, assemble, balanced, clean, part, unique

ASSET = "review-snippets"
FILE = "rotten_tomatoes_corpus_full.csv.bz2"
LABELS = ("rotten", "fresh")
VALIDATION, TEST = 0.12, 0.18  # expected shares of the films


class Rt(Task):
    """Two classes; no film has snippets in two splits."""

    params: PocketParams

    def load(self, ctx: Context) -> TaskData:
        """Read the snippets; rows of a split take the classes in turn, by hash within a class."""
        bounds = range(self.params.min_words, self.params.max_words + 1)
        rows = unique(
            Row((text,), LABELS.index(label), part(film, VALIDATION, TEST))
            for label, text, film in snippets(ctx.asset(ASSET))
            if len(text.split()) in bounds
        )
        kept = [
            row
            for split in SPLITS
            for row in balanced((row for row in rows if row.split == split), self.params.cap(split))
        ]
        return assemble(TaskInfo("rt", ("text",), LABELS), kept, "rt")


def snippets(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(label, text, name of the film) of each review snippet; the corpus' plot summaries are left out."""
    path = folder / FILE
    try:
        table = io.StringIO(bz2.decompress(path.read_bytes()).decode("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path} ({error}): remove {folder} and run `bench fetch {ASSET}`") from error
    for row in csv.DictReader(table):
        if row["category"] in LABELS and clean(row["text"]):
            yield row["category"], clean(row["text"]), row["movie_name"]
