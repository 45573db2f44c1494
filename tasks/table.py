"""`table:PATH`: a file of the user's, with one or two text columns and a label column."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from bench.api import Context, Task, TaskData, TaskInfo, UserError, did_you_mean
from bench.data.tables import Table as File
from bench.data.tables import check_characters, label_order, label_text, read
from tasks.params import TableParams
from tasks.splits import Row, assemble, capped, rank, unique, without_repeats

PAIRS = (("premise", "hypothesis"), ("question1", "question2"), ("sentence1", "sentence2"), ("text1", "text2"))
TEXTS = ("text", "sentence", "review", "content", "document", "comment")
LABELS = ("label", "labels", "class", "category", "target", "sentiment", "topic")
FLAGS = "name them with --text-columns and --label-column, or table:PATH[text=...,label=...]"


class Table(Task):
    """Splits are stratified by label; within a label the hash of the text decides."""

    params: TableParams

    def load(self, ctx: Context) -> TaskData:
        """Read the file, and the test file if there is one. Every defect is a UserError that names its row.

        Repeated texts are kept once and texts with two labels dropped; rows of a test file stay as they are, and
        train texts that are among them are dropped.
        """
        file = read(ctx.asset(self.params.path))
        texts, label = self._columns(file)
        values = _labels(file, label)
        test_file = read(ctx.asset(self.params.test)) if self.params.test else None
        names = label_order(values)
        rows = _rows(file, texts, values, names, "train")
        if len(names) < 2:
            raise UserError(f"{file.path}: column '{label}' has the one class '{names[0]}'; two are needed")
        if len(names) > len(values) / 2:
            raise UserError(f"{file.path}: {_other_label(label, len(names), len(values))}")
        _refuse_near_names(file, label, values)
        test: list[Row] = []
        if test_file is not None:
            test_values = _labels(test_file, label)
            for row, value in enumerate(test_values):
                if value not in names:
                    hint = did_you_mean(value, names)
                    raise UserError(f"{test_file.at(row)}: class '{value}' does not occur in {file.path}{hint}")
            test = _rows(test_file, texts, test_values, names, "test")
        rows = self._split(rows, without_repeats(rows, test), names, label, file.path)
        kept = [
            row
            for split in ("train", "validation", "test")
            for row in capped([row for row in [*rows, *test] if row.split == split], self.params.cap(split))
        ]
        info = TaskInfo(f"table:{file.path.name}", texts, tuple(names))
        return assemble(info, kept, str(file.path))

    def _columns(self, file: File) -> tuple[tuple[str, ...], str]:
        """The text columns and the label column, as given or by their usual names."""
        lower = {name.casefold(): name for name in file.columns}
        listed = ", ".join(map(repr, file.columns))
        label = self.params.label
        if not label:
            found = [lower[name] for name in LABELS if name in lower and lower[name] not in self.params.text]
            if len(found) != 1:
                what = f"several may be the label ({', '.join(found)})" if found else "none is a usual label"
                raise UserError(f"{file.path}: of the columns {listed} {what}; {FLAGS}")
            label = found[0]
        texts = self.params.text
        if not texts:
            pairs = [pair for pair in PAIRS if all(name in lower for name in pair)]
            singles = [(name,) for name in TEXTS if name in lower]
            candidates: Sequence[tuple[str, ...]] = pairs or singles
            if len(candidates) != 1:
                several = " or ".join("+".join(names) for names in candidates)
                what = f"several may be the text ({several})" if candidates else "none is a usual text"
                raise UserError(f"{file.path}: of the columns {listed} {what}; {FLAGS}")
            texts = tuple(lower[name] for name in candidates[0])
        for name in (*texts, label):
            file.column(name)
        if len({*texts, label}) != len(texts) + 1:
            raise UserError(f"{file.path}: text and label must be different columns, not {', '.join((*texts, label))}")
        return texts, label

    def _split(
        self, given: Sequence[Row], rows: Sequence[Row], names: Sequence[str], column: str, path: Path
    ) -> list[Row]:
        """Give each class its share of every split, at least one row each. Rows keep their order.

        `given`: the rows of the file, of which `rows` were kept.
        """
        fractions = [("validation", self.params.validation_fraction)]
        if not self.params.test:
            fractions.insert(0, ("test", self.params.test_fraction))
        split = {}
        for label, name in enumerate(names):
            own = sorted((row for row in rows if row.label == label), key=lambda row: rank("split", *row.texts))
            start = 0
            for part, fraction in fractions:
                size = max(1, round(fraction * len(own)))
                split.update(dict.fromkeys(own[start : start + size], part))
                start += size
            if start >= len(own):
                said = f"class '{name}' has {len(own)} different texts, too few for a row in each split"
                dropped = self._dropped([row for row in unique(given) if row.label == label], given, label, len(own))
                mends = ["add rows with other texts" if dropped else "add rows"]
                if not self.params.test:
                    mends.append("give --test-table")
                if len(own) > len(fractions):
                    mends.append("lower " + " and ".join(f"{part}_fraction" for part, _ in fractions))
                if len(names) > max(20, len(rows) / 10):
                    mends = [_other_label(column, len(names), len(given))]
                raise UserError(f"{path}: {said}{dropped}; {', or '.join(mends)}")
        return [Row(row.texts, row.label, split.get(row, "train")) for row in rows]

    def _dropped(self, different: Sequence[Row], given: Sequence[Row], label: int, kept: int) -> str:
        """Which rows of a class were left out before the split, and why; empty when none was."""
        rows = sum(row.label == label for row in given)
        causes = []
        if len(different) > kept:
            causes.append(f"{len(different) - kept} because their texts are in the test file {self.params.test}")
        if rows > len(different):
            causes.append(f"{rows - len(different)} as repeats or for having two labels")
        return f" (of its {rows} rows were dropped: {'; '.join(causes)})" if causes else ""


def _other_label(column: str, classes: int, rows: int) -> str:
    return (
        f"column '{column}' has {classes} classes in {rows} rows and looks like text or an id: "
        "name the column of the label with --label-column"
    )


def _labels(file: File, column: str) -> list[str]:
    values = file.column(column)
    found = [label_text(value) for value in values]
    bad = [row for row, text in enumerate(found) if text is None]
    if bad:
        value = values[bad[0]]
        said = "missing" if value is None else f"{value!r}, which is no class"
        mend = "give these rows a label or delete them" if len(bad) < len(found) else "name another --label-column"
        raise UserError(f"{file.at(bad[0])}: the label (column '{column}') is {said}; so in {file.extent(bad)}: {mend}")
    for row, text in enumerate(found):
        check_characters(str(text), f"{file.at(row)}: column '{column}'")
    return [str(text) for text in found]


def _plain(name: str) -> str:
    """A class name without what is easily written in two ways: case, blanks, invisible letters, `1.0` for `1`."""
    seen = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    text = " ".join(seen.casefold().split())
    whole, point, rest = text.partition(".")
    return whole if point and whole.lstrip("-").isdecimal() and rest and not rest.strip("0") else text


def _refuse_near_names(file: File, column: str, labels: Sequence[str]) -> None:
    """UserError for two classes that are one class written in two ways."""
    first: dict[str, str] = {}
    for name in dict.fromkeys(labels):
        other = first.setdefault(_plain(name), name)
        if other != name:
            rows = {each: [row for row, label in enumerate(labels) if label == each] for each in (other, name)}
            counts = " and ".join(f"{each!r} in {file.extent(rows[each])}" for each in rows)
            raise UserError(
                f"{file.path}: column '{column}' has two classes that look like one: {counts}; "
                "write them alike, or give them names that differ by more than case, blanks and '.0'"
            )


def _rows(file: File, columns: Sequence[str], labels: Sequence[str], names: Sequence[str], split: str) -> list[Row]:
    index = {name: i for i, name in enumerate(names)}
    texts = [file.text(column) for column in columns]
    for column, values in zip(columns, texts, strict=True):
        empty = [row for row, text in enumerate(values) if not text]
        if empty:
            mend = "fill them in or delete them" if len(empty) < len(file) else "name another of --text-columns"
            raise UserError(
                f"{file.at(empty[0])}: the text (column '{column}') is empty; so in {file.extent(empty)}: {mend}"
            )
    return [Row(row, index[label], split) for row, label in zip(zip(*texts, strict=True), labels, strict=True)]
