"""The report that an artifact may carry, such as the curves and facts of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictBool, StrictInt, StrictStr, ValidationError

from bench.errors import PluginError

REPORT = "report.json"  # its name in the artifact's folder


class Curve(BaseModel):
    """y over x, both of one length, x ascending."""

    model_config = ConfigDict(extra="forbid")
    x: list[FiniteFloat]
    y: list[FiniteFloat]


class Report(BaseModel):
    """`report.json`, as docs/plugins.md describes it."""

    model_config = ConfigDict(extra="forbid")
    title: str
    facts: dict[str, StrictStr | StrictBool | StrictInt | FiniteFloat] = Field(default_factory=dict)
    curves: dict[str, Curve] = Field(default_factory=dict)
    curve_labels: dict[str, tuple[str, str]] = Field(default_factory=dict)
    texts: dict[str, list[str]] = Field(default_factory=dict)


def load_report(folder: Path, kind: str) -> dict[str, Any] | None:
    """The report of an artifact with all its parts, or None; one that no board could show is its plugin's fault."""
    file = folder / REPORT
    if not file.is_file():
        return None
    who = f"{REPORT} of the artifact '{kind}'"
    try:
        report = Report.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise PluginError(f"{who}: {f'{place}: ' if place else ''}{first['msg']}") from error
    for name, curve in report.curves.items():
        if len(curve.x) != len(curve.y) or curve.x != sorted(curve.x):
            raise PluginError(f"{who}: the curve '{name}' needs as many y as x, and x in ascending order")
    return report.model_dump(mode="json")
