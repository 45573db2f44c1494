"""One line of `records.jsonl`: a record as JSON, with the SHA-256 of itself as its last member."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from bench.store.identity import canonical
from bench.store.record import RECORD_SCHEMA, Record
from bench.store.typed import reason
from bench.store.upgrade import READABLE, record_from_1, unreadable

HEAD = b'{"schema":%d,' % RECORD_SCHEMA  # how a line of today begins
SEAL = "sha256"
SEAL_HEAD, SEAL_TAIL = b',"sha256":"', b'"}'
SEAL_MEMBER = SEAL_HEAD + b"%s" + SEAL_TAIL
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


def unsealed(line: bytes) -> tuple[bytes, bytes]:
    """The JSON object without the hash at its end, and that hash; empty when there is none."""
    seal = line[-SEAL_BYTES:]
    if not (seal.startswith(SEAL_HEAD) and seal.endswith(SEAL_TAIL)):
        return line, b""
    return line[:-SEAL_BYTES] + b"}", seal[len(SEAL_HEAD) : -len(SEAL_TAIL)]


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
    if found.pop(SEAL, None) is not None:  # the first lines had none
        _check_hash(*unsealed(line))
    return _typed(to_json(record_from_1(found)))


def is_record(line: bytes) -> bool:
    """Whether a line is a whole record."""
    try:
        parse_record(line)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(line: bytes) -> Record:
    body, seal = unsealed(line)
    if not seal and SEAL in _decoded(line):
        raise ValueError("not byte for byte as it was written: another program wrote it anew, so restore the file")
    record = _typed(body)
    if not seal:
        raise ValueError(f"no '{SEAL}' at its end")
    _check_hash(body, seal)
    return record


def _check_hash(body: bytes, seal: bytes) -> None:
    if hashlib.sha256(body).hexdigest().encode() != seal:
        raise ValueError("not as it was written: its own hash differs")


def _typed(body: bytes) -> Record:
    try:
        return RECORD.validate_json(body)
    except ValidationError as error:
        raise ValueError(reason(error)) from None


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        found = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        raise ValueError("nested too deeply" if "recursion" in str(error) else "not JSON") from None
    if type(found) is not dict:
        raise ValueError("no JSON object")
    return found
