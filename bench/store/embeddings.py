"""The embedding level of a set as arrays and JSON, field by field, so that none can be forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from bench.api import Embeddings

if TYPE_CHECKING:
    import numpy as np

WHOLE = frozenset({"step_sizes"})  # arrays of the set; the first axis of every other is over examples
NEEDED = ("inputs_embeds", "attention_mask", "label_distribution")  # arrays that no set is without
SEEN_BY_PEOPLE = frozenset({"nearest"})  # fields that no student reads


def arrays_of(embeddings: Embeddings) -> dict[str, np.ndarray]:
    """Name -> array of the fields that hold one, in their order."""
    import numpy as np

    return {name: value for name, value in _items(embeddings) if isinstance(value, np.ndarray)}


def facts_of(embeddings: Embeddings) -> dict[str, Any]:
    """Name -> JSON of all other fields, those that are None too."""
    arrays = arrays_of(embeddings)
    return {name: plain(value) for name, value in _items(embeddings) if name not in arrays}


def joined(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Embeddings:
    """What `arrays_of` and `facts_of` took apart; `arrays` may hold others. TypeError: a field is missing."""
    own: dict[str, Any] = {one.name: arrays[one.name] for one in fields(Embeddings) if one.name in arrays}
    return Embeddings(**own, **facts)


def contiguous(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same numbers as safetensors needs them: it writes the memory of an array, whatever its strides say."""
    import numpy as np

    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def plain(value: Any) -> Any:
    """The same JSON in dicts and lists."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _items(embeddings: Embeddings) -> list[tuple[str, Any]]:
    return [(one.name, getattr(embeddings, one.name)) for one in fields(embeddings)]
