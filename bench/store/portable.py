"""A distilled set with arrays as one file that needs nothing beside it: safetensors with JSON in its header.

Labels, soft labels and the arrays of the embedding level are its tensors, under the names of their fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.api import DistilledSet
from bench.errors import UserError
from bench.store.embeddings import NEEDED, arrays_of, contiguous, facts_of, joined, plain
from bench.store.files import regular_file, write_atomic
from bench.store.identity import canonical

SUFFIX = ".safetensors"
ENTRY = "bench"  # of the header's metadata: the JSON
FORMAT = 1


@dataclass(frozen=True)
class Portable:
    """A set as it was read, and the names of the classes that its labels count."""

    distilled: DistilledSet
    label_names: tuple[str, ...]


def has_arrays(distilled: DistilledSet) -> bool:
    """Whether a table of texts and labels would lose what a student trains on."""
    return distilled.embeddings is not None or distilled.soft_labels is not None


def write_portable(path: Path, distilled: DistilledSet, label_names: Sequence[str]) -> None:
    """Write a set whole; only the train rows that it was copied from are left out."""
    from safetensors.numpy import save

    embeddings = distilled.embeddings
    arrays = {"labels": distilled.labels} | (arrays_of(embeddings) if embeddings is not None else {})
    if distilled.soft_labels is not None:
        arrays["soft_labels"] = distilled.soft_labels
    texts = distilled.texts
    facts = {
        "format": FORMAT,
        "label_names": list(label_names),
        "texts": None if texts is None else {name: list(values) for name, values in texts.items()},
        "embeddings": None if embeddings is None else facts_of(embeddings),
        "diagnostics": plain(distilled.diagnostics),
    }
    write_atomic(path, save(contiguous(arrays), {ENTRY: canonical(facts)}))


def read_portable(path: Path) -> Portable:
    """Read back what `write_portable` wrote. UserError, in one line, when the file is damaged or somebody else's.

    Whether a student could train on the set is not checked here.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(regular_file(path, "the set"), framework="numpy") as file:
            found = (file.metadata() or {}).get(ENTRY)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise UserError(f"{path} is no readable safetensors file ({error}): export it again") from error
    if found is None:
        raise UserError(f"{path} is no set of `bench export`: its header lacks the entry '{ENTRY}'")
    try:
        return _portable(path, json.loads(found), arrays)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}): export it again") from error


def _portable(path: Path, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> Portable:
    if facts["format"] != FORMAT:
        raise ValueError(f"format {facts['format']}, this bench reads {FORMAT}")
    embeddings = facts["embeddings"]
    needed = ("labels", *(() if embeddings is None else NEEDED))
    if lacking := next((name for name in needed if name not in arrays), None):
        raise UserError(f"{path} lacks the array '{lacking}': export it again")
    distilled = DistilledSet(
        labels=arrays["labels"],
        texts=facts["texts"],
        soft_labels=arrays.get("soft_labels"),
        embeddings=None if embeddings is None else joined(arrays, embeddings),
        diagnostics=dict(facts["diagnostics"]),
    )
    return Portable(distilled, tuple(facts["label_names"]))
