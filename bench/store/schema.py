"""JSON Schemas of what a result folder keeps, for readers in other languages: `python -m bench.store.schema FOLDER`.

They say less than the types: a status "ok" also needs a score, and gold labels lie below the number of label names.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bench.store.line import SEAL
from bench.store.record import PlannedCell, Record, SetCard, TaskCard

KINDS = {"record": Record, "plan": list[PlannedCell], "task": TaskCard, "set": SetCard}  # name of a file -> its type
# Members that older files of this schema lack.
LATER = frozenset(
    {"n_bytes", "models", "memory", "chosen_on", "preparation", "train_copies", "distil_memory", "student_memory"}
)
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Name -> JSON Schema: of a line of `records.jsonl`, of `plan.json`, of cards of tasks and of sets."""
    found: dict[str, dict[str, Any]] = {}
    for name, kind in KINDS.items():
        found[name] = {"$schema": DIALECT} | TypeAdapter(kind).json_schema(mode="serialization")
        for part in (found[name], *found[name].get("$defs", {}).values()):
            if "properties" in part:
                part["required"] = [each for each in part["properties"] if each not in LATER]
    hexadecimal = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of the line without it"}
    found["record"]["properties"][SEAL] = hexadecimal
    found["record"]["required"].append(SEAL)
    return found


def texts() -> dict[str, str]:
    """Name -> the text of its file."""
    return {name: json.dumps(schema, indent=1, sort_keys=True) + "\n" for name, schema in schemas().items()}


if __name__ == "__main__":
    for each, text in texts().items():
        (Path(sys.argv[1]) / f"{each}.json").write_text(text, encoding="utf-8")
