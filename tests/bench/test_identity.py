"""Identity: every field of a key changes it, nothing else does."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from bench.store.identity import SCHEMA, canonical, key_of

BASE: dict[str, Any] = {
    "task": {"name": "bbc", "version": "1", "code": "c0", "params": {"rows": 5}, "assets": [{"sha256": "a"}]},
    "method": {"name": "kcenters", "version": "1", "code": "c1", "params": {"encoder": "minilm", "pooling": "cls"}},
    "dpc": 5,
    "set": 0,
    "seed": 7,
}
CHANGES: list[tuple[tuple[str, ...], Any]] = [
    (("task", "name"), "rt"),
    (("task", "version"), "2"),
    (("task", "code"), "c9"),
    (("task", "params", "rows"), 6),
    (("task", "assets"), [{"sha256": "b"}]),
    (("method", "name"), "random"),
    (("method", "version"), "2"),
    (("method", "code"), "c9"),
    (("method", "params", "encoder"), "bert-base"),
    (("method", "params", "pooling"), "mean"),
    (("dpc",), 10),
    (("dpc",), None),
    (("set",), 1),
    (("seed",), 8),
]


def changed(fields: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    head, *rest = path
    return {**fields, head: changed(fields[head], tuple(rest), value) if rest else value}


def test_each_field_changes_the_key() -> None:
    keys = [key_of(BASE), *(key_of(changed(BASE, path, value)) for path, value in CHANGES)]
    assert len(set(keys)) == len(keys)


def test_the_order_of_fields_does_not_change_the_key() -> None:
    for names in itertools.islice(itertools.permutations(BASE), 20):
        assert key_of({name: BASE[name] for name in names}) == key_of(BASE)


def test_the_schema_version_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of(BASE)
    monkeypatch.setattr("bench.store.identity.SCHEMA", SCHEMA + 1)
    assert key_of(BASE) != before


def test_canonical_json_refuses_what_json_has_not() -> None:
    assert canonical({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": float("nan")})
