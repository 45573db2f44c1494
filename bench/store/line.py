"""One line of `records.jsonl`: a record as JSON, with the SHA-256 of itself as its last member."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bench.store.identity import canonical
from bench.store.record import RECORD_SCHEMA, Record
from bench.store.typed import reason
from bench.store.upgrade import READABLE, record_from_1, unreadable

HEAD = b'{"schema":%d,' % RECORD_SCHEMA  # how a line of today begins
SEAL = "sha256"
SEAL_MEMBER = b',"sha256":"%s"}'
SEAL_BYTES = len(SEAL_MEMBER % bytes(64))

RECORD = TypeAdapter(Record)


def line_of(record: Record) -> bytes:
    """The line that keeps a record, without its end. ValueError for a parameter that has no JSON."""
    fields = RECORD.dump_python(record)
    del fields["schema"]
    return sealed(HEAD + canonical(fields).encode()[1:])


def sealed(body: bytes) -> bytes:
    """A JSON object with the SHA-256 of itself as its last member."""
    return body[:-1] + SEAL_MEMBER % hashlib.sha256(body).hexdigest().encode()


def parse_record(line: bytes) -> Record:
    """The record of one line. Raises ValueError with the reason, in a few words, when it is no whole record."""
    if line.startswith(HEAD):
        return _parsed(line)
    found = _decoded(line)
    schema = found.get("schema")
    if schema == RECORD_SCHEMA:
        return _parsed(line)
    if schema not in READABLE:
        raise ValueError(unreadable(schema))
    if found.pop(SEAL, None) is not None and not _is_sealed(line):
        raise ValueError(CHANGED)
    return _typed(canonical(record_from_1(found)).encode())


CHANGED = "not as it was written: its own hash differs"


def _parsed(line: bytes) -> Record:
    has_seal = line[-SEAL_BYTES:].startswith(SEAL_MEMBER[:11])
    record = _typed(line[:-SEAL_BYTES] + b"}" if has_seal else line)
    if not has_seal:
        raise ValueError(f"no '{SEAL}' at its end")
    if not _is_sealed(line):
        raise ValueError(CHANGED)
    return record


def _is_sealed(line: bytes) -> bool:
    return sealed(line[:-SEAL_BYTES] + b"}") == line


def _typed(body: bytes) -> Record:
    try:
        return RECORD.validate_json(body)
    except ValidationError as error:
        raise ValueError(reason(error)) from None


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        found = STRICT.decode(line.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError:
        raise ValueError("not JSON") from None
    if type(found) is not dict:
        raise ValueError("no JSON object")
    return found


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no number")


STRICT = json.JSONDecoder(parse_constant=_refuse_constant)
