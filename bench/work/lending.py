"""What plugins are lent: data that nobody can write into, and seals that show whether somebody did so all the same.

Everything that a task has loaded serves many jobs of a worker, so a plugin that wrote into it would change the results
of others. A lent copy raises at the line that tries; a `Seal` finds what went around that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

from bench.api import DistilledSet, Embeddings, Split, TaskData, TaskInfo
from bench.store.embeddings import arrays_of, facts_of
from bench.store.text import message

if TYPE_CHECKING:
    import numpy as np


class LentMapping(Mapping[str, Any]):
    """A mapping without a way to write; `copy.deepcopy` and pickle give a plain dict."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any]) -> None:
        self._items = dict(items)

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"LentMapping({self._items!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, (self._items,))


WRITES = ("read-only", "does not support item", "cannot assign to field", "cannot delete field", "WRITEABLE flag")
CHANGES = ("'tuple' object has no attribute", "'LentMapping' object has no attribute")


def refused_write(error: BaseException) -> str:
    """What to add to an error that writing into something lent may have raised, else an empty string."""
    written = any(words in message(error) for words in (*WRITES, *CHANGES))
    if isinstance(error, TypeError | ValueError | AttributeError) and written:
        return " (what a plugin is lent cannot be changed: take a copy and change that)"
    return ""


def lend_task(data: TaskData) -> TaskData:
    """A copy that cannot be written: texts as tuples, labels as read-only int64. `data` has passed `check_task`."""
    info = data.info
    own = TaskInfo(str(info.label), tuple(info.fields), tuple(info.label_names), info.metric)
    return TaskData(own, *(_split(split) for split in (data.train, data.validation, data.test)))


def lend_set(distilled: DistilledSet) -> DistilledSet:
    """A copy of a set that cannot be written: tuples, read-only arrays, and diagnostics likewise to any depth."""
    embeddings = distilled.embeddings
    if embeddings is not None:
        arrays = {name: _array(values) for name, values in arrays_of(embeddings).items()}
        facts = {name: _json(value) for name, value in facts_of(embeddings).items()}
        embeddings = Embeddings(**arrays, **facts)
    return DistilledSet(
        labels=_array(distilled.labels),
        texts=_texts(distilled.texts) if distilled.texts is not None else None,
        soft_labels=_array(distilled.soft_labels),
        embeddings=embeddings,
        rows=_array(distilled.rows),
        diagnostics=_json(distilled.diagnostics),
    )


def _split(split: Split) -> Split:
    return Split(_texts(split.texts), _array(split.labels, "int64"))


def _texts(texts: Mapping[str, Any]) -> LentMapping:
    # str() turns subclasses such as numpy's into plain strings, and gives plain ones back as they are
    return LentMapping({str(name): tuple(map(str, values)) for name, values in texts.items()})


def _array(values: Any, dtype: str | None = None) -> Any:
    """The same numbers over the memory of a bytes object, so `setflags(write=True)` is refused; None for None."""
    import numpy as np

    if values is None:
        return None
    array: np.ndarray = np.asarray(values, dtype)
    return np.ndarray(array.shape, array.dtype, array.tobytes())


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return LentMapping({name: _json(item) for name, item in value.items()})
    return tuple(map(_json, value)) if isinstance(value, list | tuple) else value


class Seal:
    """What something lent was like: a TaskData, Split, Queries, DistilledSet or any dataclass of such values.

    Tuples of strings are compared by identity, since they cannot change; arrays byte by byte. So a check costs
    microseconds for texts and less than a millisecond for the labels of a million rows.
    """

    def __init__(self, lent: Any) -> None:
        self._lent = lent
        self._before = dict(_parts("", lent))

    def broken(self) -> str:
        """The first part that is not what it was, such as "train.labels", or an empty string."""
        now = dict(_parts("", self._lent))
        for name in self._before | now:
            if name not in now or name not in self._before or not _same(self._before[name], now[name]):
                return name
        return ""


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """(name, what to compare) of every part; an attribute that was added by force is a part too."""
    import numpy as np

    if is_dataclass(value):
        for attribute, part in vars(value).items():
            yield from _parts(f"{name}.{attribute}" if name else attribute, part)
    elif isinstance(value, Mapping):
        for key in value:
            yield from _parts(f"{name}['{key}']", value[key])
    elif isinstance(value, np.ndarray):
        yield name, (str(value.dtype), value.shape, value.tobytes())
    elif isinstance(value, list):
        yield name, tuple(value)
    else:
        yield name, value


def _same(before: Any, now: Any) -> bool:
    return before is now or (type(before) is type(now) and bool(before == now))
