"""Identity: the canonical JSON of all that can change an artifact's content, and its hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

SCHEMA = 1  # of keys and artifacts; raise it when their meaning changes (records: bench.store.record)


def canonical(value: Any) -> str:
    """JSON with sorted keys and no blanks; NaN and infinity are refused, because they have no JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def key_of(fields: Any) -> str:
    """Hex SHA-256 of the canonical JSON of `fields` and of the schema version."""
    return hashlib.sha256(canonical({"schema": SCHEMA, "fields": fields}).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
