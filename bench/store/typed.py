"""Types of what is kept as JSON: every field is there, of its type and in its range, and nothing else is."""

from __future__ import annotations

import json
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

T = TypeVar("T")
CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
SHOWN = 40  # characters of a wrong value in a reason


@dataclass_transform(kw_only_default=True, frozen_default=True)
def typed(kind: type[T]) -> type[T]:
    """A class as a frozen dataclass that checks its fields when it is made; ValidationError for a wrong one."""
    made: type[T] = dataclass(config=CONFIG, frozen=True, slots=True, kw_only=True)(kind)  # type: ignore[assignment]
    return made


def reason(error: ValidationError) -> str:
    """The first thing that is wrong, in a few words: `no 'task.label'`, `'run' is -1: should be ...`."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"no '{place}'"
    if first["type"] == "unexpected_keyword_argument":
        return f"'{place}' is no field of it"
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    if first["type"] == "json_invalid":
        return "nested too deeply" if "recursion" in first["ctx"]["error"] else "not JSON"
    return f"'{place}' is {shown(first['input'])}: {first['msg'].removeprefix('Input ')}"


def shown(value: Any) -> str:
    """A JSON value as it is written, cut when it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
