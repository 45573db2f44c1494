"""Checks parameters against a plugin's model and words what is wrong in one line; describes a model as rows."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticUndefined

from bench.api import Params, Spec
from bench.errors import UserError, did_you_mean
from bench.store.text import HALF

_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "greater than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
    "multiple_of": ("multiple_of", "a multiple of"),
}
_CONSTRAINTS = (
    ("ge", ">= "),
    ("gt", "> "),
    ("le", "<= "),
    ("lt", "< "),
    ("multiple_of", "multiple of "),
    ("min_length", "length >= "),
    ("max_length", "length <= "),
    ("pattern", "matches "),
)


def plain(params: Params) -> dict[str, Any]:
    """The parameters as JSON values, every default resolved."""
    return params.model_dump(mode="json")


def validate(spec: Spec, values: Mapping[str, Any], where: str = "", raw: Mapping[str, str] | None = None) -> Params:
    """The parameters of `spec`: its model's defaults, then its preset, then `values`.

    `raw` holds the text that a value was read from: where the model wants a string, the text is taken as it
    stands (a revision `1234567` is no number). `where` names the place in the error. Raises UserError.
    """
    merged = {**spec.preset, **values}
    try:
        params = spec.params.model_validate(merged)
        json.dumps(plain(params), ensure_ascii=False).encode()
        return params
    except UnicodeEncodeError:
        raise UserError(f"{where}: " * bool(where) + f"{spec.name}: a parameter holds {HALF}") from None
    except ValidationError as error:
        texts = {
            str(detail["loc"][0]): raw[str(detail["loc"][0])]
            for detail in error.errors()
            if raw and detail["type"] == "string_type" and str(detail["loc"][0]) in raw
        }
        if texts:
            return validate(spec, {**values, **texts}, where)
        raise UserError(_explain(spec.name, spec.params, error.errors()[0], where)) from None


def with_effect(spec: Spec, base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A suite's parameters `base` without those that have no effect beside what is `given` (see `Params.idle`)."""
    fields = spec.params.model_fields
    values = {**spec.preset, **base, **given}
    idle = {
        name
        for (parameter, value), names in spec.params.idle.items()
        if values.get(parameter, fields[parameter].default) == value
        for name in names
    }
    return {name: value for name, value in base.items() if name not in idle}


def check_partial(name: str, model: type[Params], values: Mapping[str, Any], where: str = "") -> None:
    """Check some of a model's parameters and ignore that others are missing. Raises UserError."""
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        details = [detail for detail in error.errors() if detail["type"] != "missing"]
        if details:
            raise UserError(_explain(name, model, details[0], where)) from None


def _explain(name: str, model: type[Params], detail: ErrorDetails, where: str) -> str:
    """One validation error of pydantic as one line."""
    prefix = f"{where}: " if where else ""
    path = ".".join(part for part in detail["loc"] if isinstance(part, str))
    at = "".join(f", value {part + 1}," for part in detail["loc"] if isinstance(part, int))
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        if not model.model_fields:
            return f"{prefix}{name} has no parameter '{path}'; it takes none"
        return f"{prefix}{name} has no parameter '{path}'{did_you_mean(path, model.model_fields)}"
    if kind == "missing":
        return f"{prefix}{name} needs the parameter '{path}': {name}[{path}=...]"
    if not path:  # a validator of the whole model
        return f"{prefix}{name}: {_message(detail)}"
    given = _short(detail["input"])
    if kind in _BOUNDS:
        limit, words = _BOUNDS[kind]
        return f"{prefix}{name}: parameter '{path}'{at} is {given}, but must be {words} {context[limit]}"
    if kind in ("too_long", "too_short"):
        few = kind == "too_short"
        words = f"at {'least' if few else 'most'} {context['min_length' if few else 'max_length']}"
        about = model.model_fields[str(detail["loc"][0])].description if len(detail["loc"]) == 1 else None
        return f"{prefix}{name}: {words} values in parameter '{path}', not {context['actual_length']}" + (
            f" ({' '.join(about.split())})" if about else ""
        )
    if kind in ("tuple_type", "list_type"):
        return f"{prefix}{name}: parameter '{path}'{at} is {given}, but must be a list: {name}[{path}=[{given}]]"
    if kind == "literal_error":
        return f"{prefix}{name}: parameter '{path}'{at} is {given}, but must be {context['expected']}"
    return f"{prefix}{name}: parameter '{path}'{at} is {given}: {_message(detail)}"


def _message(detail: ErrorDetails) -> str:
    text = " ".join(detail["msg"].split()).removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True)
class ParamRow:
    """One parameter for `bench info`: all as text, `default` as JSON or "required"."""

    name: str
    type: str
    default: str
    bounds: str
    description: str


def describe(spec: Spec) -> list[ParamRow]:
    """The parameters of a spec with this name's defaults, in the order of the model."""
    rows = []
    for name, info in spec.params.model_fields.items():
        bounds = [
            f"{sign}{getattr(part, key)}"
            for part in info.metadata
            for key, sign in _CONSTRAINTS
            if getattr(part, key, None) is not None
        ]
        rows.append(
            ParamRow(
                name=name,
                type=type_name(info.annotation),
                default=_default(spec, name),
                bounds=", ".join(bounds),
                description=" ".join((info.description or "").split()),
            )
        )
    return rows


def _default(spec: Spec, name: str) -> str:
    info = spec.params.model_fields[name]
    if name in spec.preset:
        value = spec.preset[name]
    else:
        value = info.get_default(call_default_factory=True, validated_data={})
        if value is PydanticUndefined:
            return "required"
    if isinstance(value, Params):
        value = plain(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def type_name(annotation: Any) -> str:
    """A type as a reader writes it: `int`, `str or null`, `'cls' or 'mean'`, `list of int`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(repr(arg) for arg in args)
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(arg) for arg in args)
    if annotation is type(None):
        return "null"
    if origin in (list, tuple, set, frozenset):
        inner = [type_name(arg) for arg in args if arg is not Ellipsis]
        return f"list of {' and '.join(dict.fromkeys(inner))}" if inner else "list"
    if origin is dict:
        return f"map of {type_name(args[0])} to {type_name(args[1])}"
    if origin is not None and hasattr(annotation, "__metadata__"):
        return type_name(args[0])
    return getattr(annotation, "__name__", str(annotation))
