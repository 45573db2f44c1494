"""Distilled sets on disk: `examples.jsonl`, `set.json`, and `arrays.safetensors` when there are arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.api import DistilledSet
from bench.errors import PluginError, UserError
from bench.store.defects import embeddings_defect, soft_labels_defect
from bench.store.embeddings import SEEN_BY_PEOPLE, WHOLE, arrays_of, contiguous, facts_of, joined
from bench.store.files import read_json
from bench.store.identity import canonical
from bench.store.text import HALF, one_line, unwritable


def save_set(folder: Path, distilled: DistilledSet, reports: Mapping[str, str] | None = None) -> None:
    """Write a set into an empty folder. `reports`: key -> kind of the artifacts with a report that it was made of."""
    arrays: dict[str, Any] = {}
    if distilled.soft_labels is not None:
        arrays["soft_labels"] = distilled.soft_labels
    if distilled.embeddings is not None:
        arrays |= arrays_of(distilled.embeddings)
    if arrays:
        from safetensors.numpy import save_file

        save_file(contiguous(arrays), folder / "arrays.safetensors")
    with open(folder / "examples.jsonl", "w", encoding="utf-8") as file:
        for row in example_rows(distilled):
            file.write(canonical(row) + "\n")
    head = {
        "fields": list(distilled.texts) if distilled.texts is not None else None,
        "embeddings": facts_of(distilled.embeddings) if distilled.embeddings is not None else None,
        "diagnostics": dict(distilled.diagnostics),
        "reports": dict(reports or {}),
    }
    (folder / "set.json").write_text(json.dumps(head, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def example_rows(distilled: DistilledSet) -> list[dict[str, Any]]:
    """One JSON object an example: the text fields, `label`, and `row` when it was copied from a train row."""
    rows: list[dict[str, Any]] = [{"label": int(label)} for label in distilled.labels]
    for name, texts in (distilled.texts or {}).items():
        for row, text in zip(rows, texts, strict=True):
            row[name] = text
    if distilled.rows is not None:
        for row, index in zip(rows, distilled.rows, strict=True):
            row["row"] = int(index)
    return rows


def shown_rows(distilled: DistilledSet) -> list[dict[str, Any]]:
    """`example_rows` for people to read: without texts also `nearest`, the text nearest to each example."""
    rows = example_rows(distilled)
    if distilled.texts is None and distilled.embeddings is not None and distilled.embeddings.nearest is not None:
        for row, text in zip(rows, distilled.embeddings.nearest, strict=True):
            row["nearest"] = text
    return rows


def content_digest(distilled: DistilledSet) -> str:
    """Hex SHA-256 of what a student can see of a set: labels, texts, soft labels, embeddings, in any order of examples.

    The group of an example goes with it. Two sets with the same digest are one observation, whatever made them and
    under whichever key they are kept.
    """
    import numpy as np

    arrays = [] if distilled.soft_labels is None else [distilled.soft_labels]
    whole: list[Any] = []
    if (embeddings := distilled.embeddings) is not None:
        known, facts = arrays_of(embeddings), facts_of(embeddings)
        arrays += [array for name, array in known.items() if name not in WHOLE]
        whole = [list(known), {name: fact for name, fact in facts.items() if name not in SEEN_BY_PEOPLE}]
        whole += [[array.dtype.str, array.tolist()] for name, array in known.items() if name in WHOLE]
    fields = sorted(distilled.texts or {})
    examples = []
    for i, label in enumerate(distilled.labels):
        example = hashlib.sha256(
            canonical([int(label), *((distilled.texts or {})[name][i] for name in fields)]).encode()
        )
        for array in arrays:
            example.update(canonical([array.dtype.str, list(array.shape[1:])]).encode())
            example.update(np.ascontiguousarray(array[i]).tobytes())
        examples.append(example.hexdigest())
    shape = [fields if distilled.texts is not None else None, distilled.soft_labels is not None, whole]
    return hashlib.sha256(canonical([shape, sorted(examples)]).encode()).hexdigest()


def set_bytes(distilled: DistilledSet, level: str, n_classes: int) -> int:
    """Bytes of what a student reads of a set, by its level: embeddings, or else texts. To compare those of one league.

    Texts in UTF-8, and per example a soft label as it is, or the smallest integer that counts the classes; of the
    embedding level all arrays, padding included.
    """
    import numpy as np

    if level == "embeddings":
        assert distilled.embeddings is not None
        return sum(array.nbytes for array in arrays_of(distilled.embeddings).values())
    texts = sum(len(text.encode()) for values in (distilled.texts or {}).values() for text in values)
    soft = distilled.soft_labels
    label = np.min_scalar_type(n_classes - 1).itemsize
    return texts + (len(distilled) * label if soft is None else soft.nbytes)


def set_reports(folder: Path) -> dict[str, str]:
    """Key -> kind of the artifacts with a report that a set was made of."""
    found: dict[str, str] = read_json(folder / "set.json").get("reports", {})
    return found


def load_set(folder: Path) -> DistilledSet:
    """Read back what `save_set` wrote. UserError, in one line, when that cannot be read."""
    import numpy as np

    with _readable(folder):
        head = read_json(folder / "set.json")
        with open(folder / "examples.jsonl", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        arrays: Mapping[str, Any] = {}
        if (folder / "arrays.safetensors").exists():
            from safetensors.numpy import load_file

            arrays = load_file(folder / "arrays.safetensors")
        if "embeddings" in head:
            facts = head["embeddings"]
        else:  # of an older bench: all that it kept beside arrays
            facts = None if head["encoder"] is None else {"encoder": head["encoder"]}
        fields = head["fields"]
        copied = bool(rows) and "row" in rows[0]
        return DistilledSet(
            labels=np.array([row["label"] for row in rows], dtype=np.int64),
            texts={name: [row[name] for row in rows] for name in fields} if fields is not None else None,
            soft_labels=arrays.get("soft_labels"),
            embeddings=joined(arrays, facts) if facts is not None else None,
            rows=np.array([row["row"] for row in rows], dtype=np.int64) if copied else None,
            diagnostics=head["diagnostics"],
        )


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
        raise UserError(f"{folder} holds no readable set ({error}): delete that folder and run again") from error


def check_budget(distilled: DistilledSet, label_names: Sequence[str], dpc: int, who: str) -> None:
    """Refuse a set that is not of the size it is ranked under: dpc examples a class, or C x dpc without texts."""
    import numpy as np

    counts = np.bincount(distilled.labels, minlength=len(label_names))
    if distilled.texts is not None:
        for name, count in zip(label_names, counts, strict=True):
            if count != dpc:
                raise PluginError(f"{who} returned {count} examples of class '{name}'; dpc is {dpc}")
    elif len(distilled) > dpc * len(label_names):
        raise PluginError(f"{who} returned {len(distilled)} examples; {dpc} a class are {dpc * len(label_names)}")


def check_set(
    distilled: Any,
    fields: tuple[str, ...],
    n_classes: int,
    who: str,
    error: type[UserError] = PluginError,
    empty: bool = False,
    texts: bool = True,
) -> None:
    """Refuse a set that no student could use; `who` made it, `error` says whose mistake it is.

    empty: it has to be; texts: it may have some.
    """
    import numpy as np

    if not isinstance(distilled, DistilledSet):
        raise error(f"{who} returned {type(distilled).__name__}, not a DistilledSet")
    n = len(distilled)
    if n == 0 and not empty:
        raise error(f"{who} returned no example")
    if n and empty:
        raise error(f"{who} returned {n} examples, but its spec says examples=False")
    labels = np.asarray(distilled.labels)
    if labels.dtype != np.int64 or labels.ndim != 1:
        raise error(f"{who} returned labels of type {labels.dtype} and shape {labels.shape}; int64 [N] is needed")
    if n and (labels.min() < 0 or labels.max() >= n_classes):
        raise error(
            f"{who} returned label {labels.min() if labels.min() < 0 else labels.max()}: not in 0..{n_classes - 1}"
        )
    if distilled.texts is not None and not texts:
        raise error(f"{who} returned texts, but its spec says texts=False")
    if distilled.texts is None and distilled.embeddings is None:
        raise error(f"{who} returned a set with neither texts nor embeddings")
    if distilled.texts is not None:
        if set(distilled.texts) != set(fields):
            raise error(f"{who} returned the fields {sorted(distilled.texts)}; the task has {sorted(fields)}")
        for name, column in distilled.texts.items():
            if len(column) != n:
                raise error(f"{who} returned {len(column)} texts in '{name}' for {n} labels")
            blank = next((i for i, text in enumerate(column) if not isinstance(text, str) or not text.strip()), None)
            if blank is not None:
                raise error(f"{who} returned an empty text: field '{name}', example {blank}")
            broken = next((i for i, text in enumerate(column) if unwritable(text)), None)
            if broken is not None:
                raise error(f"{who} returned {HALF}: field '{name}', example {broken}")
    try:
        canonical(dict(distilled.diagnostics)).encode()
    except (TypeError, ValueError, RecursionError) as cause:
        raise error(f"{who} returned diagnostics that are no JSON: {one_line(str(cause), 200)}") from cause
    found = ""
    if distilled.soft_labels is not None and distilled.texts is None:
        found = "soft_labels without texts: targets of embeddings are their label_distribution"
    elif distilled.soft_labels is not None:
        found = soft_labels_defect(distilled.soft_labels, n, n_classes)
    if not found and distilled.embeddings is not None:
        found = embeddings_defect(distilled.embeddings, n, n_classes)
    if found:
        raise error(f"{who} returned {found}")
