"""What older versions wrote -> schema 2. Each takes the JSON object as it was read and returns a new one."""

from __future__ import annotations

from typing import Any

from bench.store.record import RECORD_SCHEMA

READABLE = (1, RECORD_SCHEMA)


def unreadable(schema: Any) -> str:
    """Why something of another schema is not read."""
    return f"schema {schema!r}, this bench reads {' and '.join(map(str, READABLE))}"


def record_from_1(old: dict[str, Any]) -> dict[str, Any]:
    """A record of schema 1: what it did not note is null."""
    new = {"set_digest": None, "near_test": None, "metrics_code": None} | old | {"schema": 2}
    if isinstance(old.get("student"), dict):
        new["student"] = {"key": None} | old["student"]
    if isinstance(old.get("time"), dict):
        new["time"] = {"made_of": None} | old["time"]
    return new


def task_card_from_1(old: dict[str, Any]) -> dict[str, Any]:
    """A task card of schema 1, which had no number."""
    return old | {"schema": 2}


def set_card_from_1(old: dict[str, Any]) -> dict[str, Any]:
    """A set card of schema 1, which had no number: what it did not note is null, and it had no reports."""
    unknown: dict[str, Any] = {
        "set_digest": None,
        "near_test": None,
        "made_of": None,
        "environment": None,
        "reports": [],
    }
    return unknown | old | {"schema": 2}
