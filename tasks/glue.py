"""GLUE tasks as in the paper: tested on the GLUE validation split, validation carved out of train."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from bench.api import Context, Task, TaskData, TaskInfo, UserError
from bench.data.tables import read
from tasks.params import GlueParams
from tasks.splits import Row, assemble, capped, rank, without_repeats

LAYOUT = ("jsonl", "parquet", "csv")


class Glue(Task):
    """A GLUE task; the subclasses say where its rows are and what they mean."""

    info: ClassVar[TaskInfo]
    asset: ClassVar[str]
    test_file: ClassVar[str] = "validation"
    params: GlueParams

    def load(self, ctx: Context) -> TaskData:
        """Read the rows in their order.

        As in the paper, all labelled rows are kept: GLUE repeats texts within train and between train and test.
        With repeats="drop", a train text that is in the test split or occurs with two labels goes, and a repeated
        one is kept once. Copies of one text are never parted between train and validation. Unlabelled rows (-1)
        and rows with an empty text always go.
        """
        folder = ctx.asset(self.asset)
        test = self._rows(folder, self.test_file, "test")
        train = self._rows(folder, "train", "train")
        most = self.params.max_words
        if most is not None:
            train = [row for row in train if sum(len(text.split()) for text in row.texts) <= most]
        if self.params.repeats == "drop":
            train = without_repeats(train, test)
        size = self.params.validation_rows
        if size >= len(train) / 2:
            raise UserError(f"{self.info.label}: validation_rows={size} takes half of the {len(train)} train rows")
        ranks = [rank("validation", *row.texts) for row in train]
        limit = sorted(ranks)[size]
        parts: dict[str, list[Row]] = {"train": [], "validation": []}
        for row, at in zip(train, ranks, strict=True):
            name = "validation" if at < limit else "train"
            parts[name].append(Row(row.texts, row.label, name))
        rows = capped(parts["train"], self.params.train_rows) + parts["validation"]
        return assemble(self.info, rows + capped(test, self.params.test_rows), self.info.label)

    def _rows(self, folder: Path, name: str, split: str) -> list[Row]:
        """The labelled rows of `folder/name.*`."""
        files = [path for suffix in LAYOUT if (path := folder / f"{name}.{suffix}").exists()]
        if not files:
            wanted = ", ".join(f"{name}.{suffix}" for suffix in LAYOUT)
            raise UserError(f"{self.info.label}: none of {wanted} in {folder}")
        table = read(files[0])
        fields = [table.text(field) for field in self.info.fields]
        rows = []
        for row, value in enumerate(table.column("label")):
            try:
                label = int(value)
            except (TypeError, ValueError, OverflowError):
                label = self.info.n_classes
            if not -1 <= label < self.info.n_classes:
                raise UserError(f"{table.at(row)}: the label is {value!r}, not one of 0..{self.info.n_classes - 1}")
            texts = tuple(field[row] for field in fields)
            if label >= 0 and all(texts):
                rows.append(Row(texts, label, split))
        if not rows:
            raise UserError(f"{table.path} has no labelled rows; GLUE's own test splits hide their labels")
        return rows


class Sst2(Glue):
    """SST-2: sentence -> negative or positive."""

    info = TaskInfo("sst2", ("sentence",), ("negative", "positive"))
    asset = "glue-sst2"


class Qqp(Glue):
    """QQP: two questions -> duplicate or not; the metric is the mean of accuracy and F1 of `duplicate`."""

    info = TaskInfo("qqp", ("question1", "question2"), ("not duplicate", "duplicate"), "accuracy_f1")
    asset = "glue-qqp"


class MnliMatched(Glue):
    """MNLI, matched: premise and hypothesis -> entailment, neutral or contradiction."""

    info = TaskInfo("mnli-m", ("premise", "hypothesis"), ("entailment", "neutral", "contradiction"))
    asset = "glue-mnli"
    test_file = "validation_matched"
