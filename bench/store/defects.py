"""What is wrong with the numbers of a set, in words: soft labels, and every field of the embedding level."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.api import Embeddings
from bench.store.identity import canonical
from bench.store.text import HALF, one_line, unwritable

if TYPE_CHECKING:
    import numpy as np

SUM = 1e-4  # by which the sum of a distribution may miss one


def soft_labels_defect(labels: Any, n: int, n_classes: int) -> str:
    """Soft labels are [n, n_classes], floating, and each row a distribution."""
    import numpy as np

    if not isinstance(labels, np.ndarray) or labels.dtype.kind != "f":
        return f"soft labels of type {_type(labels)}; a float array is needed"
    if labels.shape != (n, n_classes):
        return f"soft labels of shape {labels.shape}; ({n}, {n_classes}) is needed"
    return _distribution_defect("soft labels", labels)


def embeddings_defect(embeddings: Any, n: int, n_classes: int) -> str:
    """The first defect of an embedding level of n examples, as `bench.api.Embeddings` describes it."""
    if not isinstance(embeddings, Embeddings):
        return f"{type(embeddings).__name__} as embeddings, not Embeddings"
    return (
        _facts_defect(embeddings)
        or _inputs_defect(embeddings, n)
        or _targets_defect(embeddings, n, n_classes)
        or _steps_defect(embeddings, n)
        or _attention_defect(embeddings)
        or _nearest_defect(embeddings, n)
    )


def _facts_defect(embeddings: Embeddings) -> str:
    if not isinstance(embeddings.encoder, str) or not embeddings.encoder.strip() or unwritable(embeddings.encoder):
        return f"encoder {embeddings.encoder!r:.60}: the reference of an asset is needed"
    if not _whole(embeddings.layer):
        return f"layer {embeddings.layer!r:.60}: an integer from 0 is needed"
    if embeddings.head_seed is not None and not _whole(embeddings.head_seed):
        return f"head_seed {embeddings.head_seed!r:.60}: an integer from 0, or None, is needed"
    if embeddings.trained_layers is not None and not (_whole(embeddings.trained_layers) and embeddings.trained_layers):
        return f"trained_layers {embeddings.trained_layers!r:.60}: an integer from 1, or None, is needed"
    weight = embeddings.attention_weight
    if type(weight) not in {float, int} or not math.isfinite(weight) or weight < 0:
        return f"attention_weight {weight!r:.60}: a finite number from 0 is needed"
    for name in ("unrestricted", "scratch"):
        if type(value := getattr(embeddings, name)) is not bool:
            return f"{name} {value!r:.60}: True or False is needed"
    identity = embeddings.encoder_identity
    if identity is not None and not isinstance(identity, Mapping):
        return f"encoder_identity of type {type(identity).__name__}; a mapping, or None, is needed"
    try:
        canonical(None if identity is None else dict(identity)).encode()
    except (TypeError, ValueError, RecursionError) as cause:
        return f"an encoder_identity that is no JSON: {one_line(str(cause), 200)}"
    return ""


def _inputs_defect(embeddings: Embeddings, n: int) -> str:
    import numpy as np

    inputs, mask = embeddings.inputs_embeds, embeddings.attention_mask
    if found := _array_defect("inputs_embeds", inputs, "float32", (n, None, None), "N, L, d"):
        return found
    if 0 in inputs.shape:
        return f"inputs_embeds of shape {inputs.shape}: texts without a position"
    if found := _array_defect("attention_mask", mask, "int64", inputs.shape[:2], "N, L"):
        return found
    wrong = ((mask != 0) & (mask != 1)).any(1) | (np.diff(mask, axis=1) > 0).any(1)
    if wrong.any():
        return f"an attention_mask that is not ones and then zeros: example {_first(wrong)}"
    if (empty := mask[:, 0] == 0).any():
        return f"a text of length zero: attention_mask, example {_first(empty)}"
    return _finite_defect("inputs_embeds", inputs)


def _targets_defect(embeddings: Embeddings, n: int, n_classes: int) -> str:
    targets = embeddings.label_distribution
    if found := _array_defect("label_distribution", targets, "float32", (n, n_classes), "N, C"):
        return found
    if embeddings.unrestricted:
        return _finite_defect("label_distribution", targets)
    return _distribution_defect("label_distribution", targets)


def _steps_defect(embeddings: Embeddings, n: int) -> str:
    import numpy as np

    rates, groups = embeddings.step_sizes, embeddings.groups
    if rates is not None:
        if found := _array_defect("step_sizes", rates, "float32", (None,), "T"):
            return found
        if len(rates) == 0:
            return "no step size: step_sizes has one a step, or is None"
        if (wrong := ~np.isfinite(rates) | (rates <= 0)).any():
            step = _first(wrong)
            return f"the step size {rates[step]}, not above 0: step_sizes, step {step}"
    if groups is None:
        return ""
    if found := _array_defect("groups", groups, "int64", (n,), "N"):
        return found
    if (wrong := groups < 0).any():
        return f"the group {groups[_first(wrong)]}: groups, example {_first(wrong)}"
    present = np.unique(groups)
    if (wrong := present != np.arange(len(present))).any():
        return f"no example of group {_first(wrong)} of {groups.max() + 1}: groups"
    if rates is not None and len(rates) < len(present):
        return f"{len(present)} groups and {len(rates)} step sizes: no step reads group {len(rates)}"
    return ""


def _attention_defect(embeddings: Embeddings) -> str:
    """Rows of queries that stand behind a text's end are in no loss, but must be distributions all the same."""
    import numpy as np

    labels, mask = embeddings.attention_labels, embeddings.attention_mask
    if labels is None:
        return ""
    n, length = mask.shape
    shape = (n, None, None, None, length)
    if found := _array_defect("attention_labels", labels, "float32", shape, "N, layers, heads, rows, L"):
        return found
    if 0 in labels.shape or labels.shape[3] not in {1, length}:
        return f"attention_labels of shape {labels.shape}: layers, heads, and 1 or {length} rows are needed"
    behind = np.where(mask[:, None, None, None, :] == 0, labels, 0)
    if (wrong := (behind != 0).reshape(n, -1).any(1)).any():
        return f"attention_labels for a key behind the end of the text: example {_first(wrong)}"
    return _distribution_defect("attention_labels", labels)


def _nearest_defect(embeddings: Embeddings, n: int) -> str:
    nearest = embeddings.nearest
    if nearest is None:
        return ""
    if not isinstance(nearest, list | tuple) or len(nearest) != n:
        count = f"{len(nearest)} texts" if isinstance(nearest, list | tuple) else type(nearest).__name__
        return f"{count} as nearest texts of {n} examples"
    for index, text in enumerate(nearest):
        if not isinstance(text, str):
            return f"a nearest text of type {type(text).__name__}: example {index}"
        if unwritable(text):
            return f"{HALF}: nearest texts, example {index}"
    return ""


def _array_defect(name: str, value: Any, dtype: str, shape: tuple[int | None, ...], axes: str) -> str:
    """Whether it is an array of this type and shape; None: any length."""
    import numpy as np

    if not isinstance(value, np.ndarray) or value.dtype != dtype:
        return f"{name} of type {_type(value)}; an array of {dtype} [{axes}] is needed"
    fits = len(value.shape) == len(shape) and all(
        want in (None, have) for have, want in zip(value.shape, shape, strict=True)
    )
    if fits:
        return ""
    wanted = ", ".join(
        axis if size is None else f"{axis} = {size}" for axis, size in zip(axes.split(", "), shape, strict=True)
    )
    return f"{name} of shape {value.shape}; [{wanted}] is needed"


def _finite_defect(name: str, values: np.ndarray) -> str:
    import numpy as np

    wrong = ~np.isfinite(values).reshape(len(values), -1).all(1)
    return f"a number that is not finite: {name}, example {_first(wrong)}" if wrong.any() else ""


def _distribution_defect(name: str, values: np.ndarray) -> str:
    """Whether the last axis is finite, not negative, and sums to one."""
    import numpy as np

    if found := _finite_defect(name, values):
        return found
    lowest = values.reshape(len(values), -1).min(axis=1)
    if lowest.min() < 0:
        return f"a negative number: {name}, example {int((lowest < 0).argmax())}"
    sums: np.ndarray = values.sum(-1, dtype=np.float64).reshape(len(values), -1)
    misses = np.abs(sums - 1).max(axis=1)
    if (misses > SUM).any():
        row = int((misses > SUM).argmax())
        total = sums[row, np.abs(sums[row] - 1).argmax()]
        return f"numbers that sum to {total:.6g}, not 1: {name}, example {row}"
    return ""


def _first(wrong: np.ndarray) -> int:
    return int(wrong.argmax())


def _whole(value: Any) -> bool:
    return type(value) is int and value >= 0


def _type(value: Any) -> str:
    """`float64` of a numpy array, else the name of the class."""
    return str(value.dtype) if type(value).__module__ == "numpy" else type(value).__name__
