"""The prompt of a class: train rows as examples, one field a line, so that a base model writes the next example.

    Label: business

    text: Shares of the bank fell by a tenth on Monday.
    text: The airline flew more people in May.
    text:

An example of a pair has two lines and a blank one after it. A text ends where its line does, so what stands in a prompt
has no line breaks, and neither has what is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bench.api import TaskInfo, TrainData, UserError
from bench.data.overlap import normalised
from bench.learners.seeds import derive

CUT = "cut at max_tokens"
EMPTY = "an empty text"
FORM = "a text is missing"
COPY = "a copy of a prompt's row"


class Prompt:
    """The examples of a class, `texts` (field -> n strings), and how what follows them is read."""

    def __init__(self, info: TaskInfo, label: int, texts: Mapping[str, Sequence[str]]) -> None:
        self._fields = [one_line(name) for name in info.fields]
        rows = list(zip(*(texts[name] for name in info.fields), strict=True))
        self.examples = [self._example(row) for row in rows]
        self._known = set(normalised({name: texts[name] for name in info.fields}))
        between = "\n" if len(self._fields) == 1 else "\n\n"
        header = f"Label: {one_line(info.label_names[label])}\n\n"
        self.text = header + "".join(f"{each}{between}" for each in self.examples) + f"{self._fields[0]}:"

    @property
    def lines(self) -> int:
        """Lines of an example, one a field."""
        return len(self._fields)

    def _example(self, row: Sequence[str]) -> str:
        return "\n".join(f"{name}: {one_line(text)}" for name, text in zip(self._fields, row, strict=True))

    def continued(self, row: Sequence[str]) -> str:
        """What a model would have to write after the prompt to give these texts."""
        return self._example(row).removeprefix(f"{self._fields[0]}:") + "\n"

    def read(self, text: str, ended: bool) -> tuple[str, ...] | str:
        """The texts of an example that follows the prompt, without line breaks; or why it is none.

        ended: the model ended there, so the last line is whole. A copy of an example of the prompt is none.
        """
        lines = f"{self._fields[0]}:{text}".split("\n")
        lines = (lines if ended else lines[:-1])[: self.lines]
        if len(lines) < self.lines:
            return FORM if ended else CUT
        if not all(line.startswith(f"{name}:") for name, line in zip(self._fields, lines, strict=True)):
            return FORM
        found = [one_line(line.removeprefix(f"{name}:")) for name, line in zip(self._fields, lines, strict=True)]
        if not all(found):
            return EMPTY
        own = normalised({name: [each] for name, each in zip(self._fields, found, strict=True)})
        return COPY if own[0] in self._known else tuple(found)


def one_line(text: str) -> str:
    """The text with single blanks for line breaks and all other white space."""
    return " ".join(text.split())


def prompt_rows(data: TrainData, n: int, seed: int) -> list[np.ndarray]:
    """Train rows for each class's prompt, int64 [n] each, in the order of the prompt.

    They are drawn, without equal texts, from the half of the class whose lengths are nearest to its median: a prompt of
    the longest texts would not fit, one of the shortest says little. Lengths are in characters, so rows do not hang on
    the generator. Raises UserError for a class with fewer different texts.
    """
    columns = [[one_line(text) for text in data.train.texts[name]] for name in data.info.fields]
    rows = list(zip(*columns, strict=True))
    keys = normalised({name: data.train.texts[name] for name in data.info.fields})
    lengths = np.array([sum(map(len, row)) for row in rows])
    found = []
    for label, name in enumerate(data.info.label_names):
        first: dict[str, int] = {}
        for row in np.flatnonzero(data.train.labels == label).tolist():
            if all(rows[row]):
                first.setdefault(keys[row], row)
        own = np.array(list(first.values()), dtype=np.int64)
        if len(own) < n:
            raise UserError(
                f"class '{name}' has {len(own)} different train texts, fewer than prompt_rows={n}: "
                "choose a smaller prompt_rows"
            )
        nearest = np.argsort(np.abs(lengths[own] - np.median(lengths[own])), kind="stable")
        moderate = own[nearest[: max(n, math.ceil(len(own) / 2))]]
        found.append(np.random.default_rng(derive(seed, "prompt", label)).choice(moderate, n, replace=False))
    return found
