"""What the engine refuses of plugins: a task that no result could be trusted on, predictions in the wrong form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.api import DistilledSet, TaskData
from bench.errors import PluginError, UserError
from bench.store.embeddings import plain
from bench.store.identity import canonical
from bench.store.text import HALF, unwritable

EXAMPLE = ("label", "row")  # what an example of a set has beside its texts


def league(distilled: DistilledSet, read: str, student: str) -> str:
    """The league of a result by what the student read: ranked apart.

    A: trained on texts with hard labels; B: on texts with soft labels; C: on embeddings; D: texts as demonstrations.
    """
    level = "texts" if read == "demonstrations" else read
    if level not in ("texts", "embeddings") or getattr(distilled, level) is None:
        raise PluginError(f"student '{student}' says that it reads {read!r:.60} of a set that has none")
    if read == "embeddings":
        return "C"
    if read == "demonstrations":
        return "D"
    return "A" if distilled.soft_labels is None else "B"


def check_task(data: TaskData, label: str) -> None:
    """Refuse a task that no result could be trusted on: empty splits or texts, labels out of range, missing classes."""
    for name, split in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        n = len(split)
        if n == 0:
            raise UserError(f"task '{label}': the {name} split has no row")
        if set(split.texts) != set(data.info.fields):
            raise UserError(
                f"task '{label}': the {name} split has the fields {sorted(split.texts)}, not {data.info.fields}"
            )
        low, high = int(split.labels.min()), int(split.labels.max())
        if low < 0 or high >= data.info.n_classes:
            raise UserError(
                f"task '{label}': label {low if low < 0 else high} in {name}, not in 0..{data.info.n_classes - 1}"
            )
        for field, texts in split.texts.items():
            if len(texts) != n:
                raise UserError(f"task '{label}': {len(texts)} texts in '{field}' of {name} for {n} labels")
            empty = next((i for i, text in enumerate(texts) if not isinstance(text, str) or not text.strip()), None)
            if empty is not None:
                raise UserError(f"task '{label}': empty text in '{field}' of {name}, row {empty}")
            broken = next((i for i, text in enumerate(texts) if unwritable(text)), None)
            if broken is not None:
                raise UserError(f"task '{label}': {HALF} in '{field}' of {name}, row {broken}")
    taken = next((name for name in data.info.fields if name in EXAMPLE), None)
    if taken is not None:
        raise UserError(f"task '{label}': a text field is called '{taken}', as sets call something else: rename it")
    present = set(data.train.labels.tolist())
    for name in (*data.info.fields, *data.info.label_names):
        if unwritable(name):
            raise UserError(f"task '{label}': {HALF} in the name '{name}' of a field or class")
    for index, name in enumerate(data.info.label_names):
        if index not in present:
            raise UserError(f"task '{label}': class '{name}' has no train row")


def check_encoder(distilled: DistilledSet, identity: Callable[[str], Any], who: str) -> None:
    """Refuse embeddings with the identity of another encoder than the one that they name.

    Those that bring no identity are told by the reference alone, which may be a name that only plugins know.
    """
    made = distilled.embeddings
    if made is None or made.encoder_identity is None:
        return
    try:
        known = identity(made.encoder)
    except UserError as error:
        raise PluginError(f"{who} returned embeddings for the encoder '{made.encoder}': {error}") from error
    if canonical(plain(made.encoder_identity)) != canonical(plain(known)):
        raise PluginError(
            f"{who} returned embeddings for the encoder '{made.encoder}' with the identity of another: "
            f"encoder_identity is ctx.asset_identity(encoder)"
        )


def check_predictions(labels: Any, n: int, n_classes: int, student: str) -> None:
    """A student that answers in the wrong shape or range is broken: not a user's mistake."""
    import numpy as np

    found = np.asarray(labels)
    if found.shape != (n,) or found.dtype.kind not in "iu":
        raise PluginError(f"student '{student}' returned {found.dtype} {found.shape}; int [{n}] is needed")
    if found.min() < 0 or found.max() >= n_classes:
        raise PluginError(f"student '{student}' predicted a label outside 0..{n_classes - 1}")


def check_answers(answers: Sequence[Any], runs: int, n: int, n_classes: int, student: str) -> None:
    """The same for what it answers in several runs, of which it may leave the last ones."""
    if not 1 <= len(answers) <= runs:
        raise PluginError(f"student '{student}' gave {len(answers)} answers for {runs} runs; 1 to {runs} are needed")
    for labels in answers:
        check_predictions(labels, n, n_classes, student)
