"""How parts are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REPORT = "report.json"


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Write finite JSON values."""
    file.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def write_part(folder: Path, report: dict[str, Any], max_tokens: int) -> None:
    """Write what all generators have: the report, and the most tokens of a text, start and end included."""
    write_json(folder / "stage.json", {"max_tokens": max_tokens})
    write_json(folder / REPORT, report)


def max_tokens_of(folder: Path) -> int:
    """Most tokens of a text of a finished generator, start and end included."""
    return int(json.loads((folder / "stage.json").read_text(encoding="utf-8"))["max_tokens"])
