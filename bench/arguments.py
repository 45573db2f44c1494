"""What somebody wrote in Python where the command line has its own checks: refused in one line, or as it is meant."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.errors import UserError

Selection = str | Iterable[str] | None


def _listed(value: Any) -> list[Any]:
    """What several values came as, or one by itself: a text is one, and a mapping, whose values would be dropped."""
    alone = isinstance(value, str | bytes | Path | Mapping) or not isinstance(value, Iterable)
    return [value] if alone else list(value)


def joined(selection: Selection, name: str = "selection") -> str | None:
    """A selection as the grammar reads it."""
    if selection is None or isinstance(selection, str):
        return selection
    found = _listed(selection)
    if not all(isinstance(each, str) for each in found):
        raise UserError(
            f"{name} is {selection!r:.60}: write a text, such as 'random,kcenters[pooling=cls]', or a list of texts"
        )
    return ",".join(found)


def whole(value: Any, name: str, least: int = 1) -> int | None:
    """A whole number of any type that is one, numpy's too; None stays."""
    if value is None:
        return None
    try:
        found = operator.index(value)
    except TypeError:
        found = least - 1
    if found < least or isinstance(value, bool):
        raise UserError(f"{name} is {value!r:.60}, but must be a whole number >= {least}")
    return found


def numbers(dpc: Any) -> tuple[int, ...] | None:
    """dpc as a tuple of whole numbers; None stays."""
    if dpc is None:
        return None
    return tuple(number for each in _listed(dpc) if (number := whole(each, "dpc")) is not None)


def seconds(timeout: Any) -> float | None:
    """A limit in seconds; None stays."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 1 <= timeout < math.inf:
        raise UserError(f"timeout is {timeout!r:.60}, but must be a number of seconds >= 1")
    return float(timeout)


def flag(value: Any, name: str) -> bool:
    """True or False, and nothing else that could be taken for one."""
    if not isinstance(value, bool):
        raise UserError(f"{name} is {value!r:.60}, but must be True or False")
    return value


def path_of(value: Any, name: str) -> str | Path:
    """A path that is a text or a Path, and not empty."""
    if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
        raise UserError(f"{name} is {value!r:.60}, but must be a path")
    return value


def maybe_path(value: Any, name: str) -> str | Path | None:
    """`path_of`; None stays."""
    return None if value is None else path_of(value, name)


def paths(value: Any, name: str) -> tuple[str | Path, ...]:
    """One path, or several."""
    return tuple(path_of(each, name) for each in _listed(value))


def folder_of(value: str | Path) -> Path:
    """The absolute path of an output folder. UserError for what is no path."""
    try:
        return Path(path_of(value, "out")).expanduser().absolute()
    except RuntimeError as error:
        raise UserError(f"out is {str(value)!r}: {error}") from None
