"""Distilled sets survive a round trip, and what no student could use is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.api import DistilledSet, Embeddings
from bench.errors import PluginError, UserError
from bench.store.difference import difference
from bench.store.embeddings import plain
from bench.store.sets import check_budget, check_set, content_digest, load_set, save_set, set_bytes
from bench.work.lending import LentMapping, lend_set

EMBEDDINGS = Embeddings(
    np.zeros((4, 3, 5), np.float32), np.ones((4, 3), np.int64), np.ones((4, 2), np.float32), "minilm"
)
WHOLE = Embeddings(  # every field has a value that is not its default
    np.arange(60, dtype=np.float32).reshape(4, 3, 5),
    np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]]),
    np.array([[0.5, 0.5], [1, 0], [0.25, 0.75], [0, 1]], np.float32),
    "minilm",
    np.array([0.1, 0.2], np.float32),
    1,
    {"sha256": ["ab", 1]},
    True,
    np.array([0, 1, 0, 1]),
    np.eye(3, dtype=np.float32)[np.array([2, 1, 0, 0])[:, None, None, None]],
    0.5,
    7,
    True,
    2,
    ["a goal", "é <b>", "", "x"],
)
texts = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: bool(text.strip()))


@given(st.lists(st.tuples(texts, texts, st.integers(0, 2), st.integers(0, 10**6)), min_size=1, max_size=8))
def test_text_sets_survive(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int, int]]) -> None:
    first, second, labels, sources = zip(*rows, strict=True)
    made = DistilledSet(
        labels=np.array(labels, dtype=np.int64),
        texts={"premise": list(first), "hypothesis": list(second)},
        rows=np.array(sources, dtype=np.int64),
        diagnostics={"note": first[0]},
    )
    folder = tmp_path_factory.mktemp("set")
    save_set(folder, made)
    back = load_set(folder)
    assert back.texts == made.texts
    assert back.labels.tolist() == list(labels)
    assert back.rows is not None
    assert back.rows.tolist() == list(sources)
    assert back.diagnostics == made.diagnostics
    assert back.soft_labels is None
    assert back.embeddings is None


def test_the_digest_is_of_the_content_alone(tmp_path: Path) -> None:
    """Equal examples in any order, from any rows: one digest; anything that a student could see: another."""
    rng = np.random.default_rng(0)
    labels, texts = np.array([0, 1, 1]), {"a": ["x", "y", "z"], "b": ["1", "2", "3"]}
    soft = rng.random((3, 2)).astype(np.float32)
    vectors = Embeddings(soft[:, None], np.ones((3, 1), np.int64), soft, "minilm", np.array([0.1], np.float32))
    whole = DistilledSet(labels, texts, soft, vectors)
    turned = [2, 0, 1]
    save_set(
        tmp_path,
        DistilledSet(
            labels[turned],
            {name: [texts[name][i] for i in turned] for name in "ba"},
            soft[turned],
            Embeddings(soft[turned, None], vectors.attention_mask, soft[turned], "minilm", vectors.step_sizes),
            rows=np.array([7, 8, 9]),
            diagnostics={"seed": 1},
        ),
    )
    assert content_digest(load_set(tmp_path)) == content_digest(whole)
    others = [
        replace(whole, labels=np.array([1, 1, 1])),
        replace(whole, texts={**texts, "a": ["x", "y", "w"]}),
        replace(whole, texts={"a": texts["b"], "b": texts["a"]}),
        replace(whole, texts={"a": texts["a"]}),
        replace(whole, texts={**texts, "b": ["2", "1", "3"]}),
        replace(whole, texts=None),
        replace(whole, soft_labels=soft[::-1].copy()),
        replace(whole, soft_labels=None),
        replace(whole, embeddings=None),
        *(
            replace(whole, embeddings=replace(vectors, **{name: value}))
            for name, value in (
                ("inputs_embeds", soft[:, None] + 1e-7),
                ("attention_mask", np.zeros((3, 1), np.int64)),
                ("label_distribution", soft[::-1].copy()),
                ("encoder", "bert-base"),
                ("step_sizes", None),
            )
        ),
        DistilledSet(np.array([0, 1, 1, 1]), {"a": ["x", "y", "z", "z"], "b": ["1", "2", "3", "3"]}),
        DistilledSet(labels, texts),
        DistilledSet(labels, {"a": ["x1", "y", "z"], "b": ["", "2", "3"]}),
    ]
    found = [content_digest(one) for one in (whole, *others)]
    assert len(set(found)) == len(found)


def kept(folder: Path, embeddings: Embeddings) -> Embeddings:
    folder.mkdir(exist_ok=True)
    save_set(folder, whole_of(embeddings))
    found = load_set(folder).embeddings
    assert found is not None
    return found


def changed(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case np.ndarray():
            return np.roll(value, 1, axis=0)
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case list():
            return value[::-1]
    return {**value, "more": 1}


@pytest.mark.parametrize("name", [field.name for field in fields(Embeddings)])
def test_no_field_of_the_embedding_level_is_forgotten(tmp_path: Path, name: str) -> None:
    """What keeps, lends, compares and identifies a set knows every field, also one that is added later."""
    value = getattr(WHOLE, name)
    (default,) = (field.default for field in fields(Embeddings) if field.name == name)
    assert isinstance(value, np.ndarray) or value != default, "a default would hide that it is lost"
    one, other = (whole_of(each) for each in (WHOLE, replace(WHOLE, **{name: changed(value)})))
    assert difference(one, one) == ""
    assert difference(one, other) == f"embeddings.{name}"
    assert (content_digest(one) == content_digest(other)) == (name == "nearest"), "nearest texts are for people alone"
    for way in (kept(tmp_path / "set", other.embeddings), lend_set(other).embeddings):  # type: ignore[arg-type]
        found, wanted = getattr(way, name), changed(value)
        if isinstance(wanted, np.ndarray):
            assert (found.dtype, found.shape, found.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())
        else:
            assert json.dumps(plain(found)) == json.dumps(wanted)
    assert difference(lend_set(load_set(tmp_path / "set")), other) == ""


def test_lent_fields_cannot_be_written() -> None:
    lent: Any = lend_set(whole_of(WHOLE)).embeddings
    for field in fields(Embeddings):
        match getattr(lent, field.name):
            case np.ndarray() as array:
                assert not array.flags.writeable, field.name
            case str() | int() | float():
                pass
            case value:
                assert isinstance(value, tuple | LentMapping), field.name


def test_none_survives(tmp_path: Path) -> None:
    found = kept(tmp_path, EMBEDDINGS)
    assert difference(whole_of(found), whole_of(EMBEDDINGS)) == ""
    assert (found.step_sizes, found.groups, found.encoder_identity, found.nearest) == (None,) * 4


@pytest.mark.parametrize("order", ["F", "strided", "big-endian"])
def test_arrays_survive_whatever_their_layout(tmp_path: Path, order: str) -> None:
    values = WHOLE.inputs_embeds
    laid = {
        "F": np.asfortranarray(values),
        "strided": np.repeat(values, 2, axis=1)[:, ::2],
        "big-endian": values.astype(">f4"),
    }[order]
    found = kept(tmp_path, replace(WHOLE, inputs_embeds=laid)).inputs_embeds
    np.testing.assert_array_equal(found, values)


def test_a_group_belongs_to_its_example() -> None:
    """The same examples in another order, groups with them: one digest; groups alone in another order: another."""
    labels, turned = np.array([0, 1, 0, 1]), [2, 0, 3, 1]
    mixed = {
        field.name: getattr(WHOLE, field.name)[turned]
        for field in fields(Embeddings)
        if isinstance(getattr(WHOLE, field.name), np.ndarray) and field.name != "step_sizes"
    }
    whole = DistilledSet(labels, None, None, WHOLE)
    assert content_digest(DistilledSet(labels[turned], None, None, replace(WHOLE, **mixed))) == content_digest(whole)
    del mixed["groups"]
    assert content_digest(DistilledSet(labels[turned], None, None, replace(WHOLE, **mixed))) != content_digest(whole)


def test_sets_of_an_older_bench_load(tmp_path: Path) -> None:
    """Before, `set.json` said only which encoder an embedding level is of."""
    save_set(tmp_path, whole_of(EMBEDDINGS))
    head = json.loads((tmp_path / "set.json").read_text())
    for old in ({"encoder": "minilm"}, {"encoder": None}):
        older = {name: value for name, value in head.items() if name != "embeddings"} | old
        if old["encoder"] is None:
            older["fields"] = []
        (tmp_path / "set.json").write_text(json.dumps(older))
        found = load_set(tmp_path).embeddings
        assert (found is None) == (old["encoder"] is None)
        if found is not None:
            assert difference(whole_of(found), whole_of(EMBEDDINGS)) == ""


def whole_of(embeddings: Embeddings) -> DistilledSet:
    return DistilledSet(np.array([0, 1, 0, 1]), None, None, embeddings)


def test_the_budget_of_a_set_without_texts_is_its_total() -> None:
    """Learned labels need not be shared evenly; texts do."""
    vectors = DistilledSet(np.array([0, 0, 0, 1]), embeddings=WHOLE)
    check_budget(vectors, ("a", "b"), 2, "m")
    with pytest.raises(PluginError, match="4 examples; 1 a class are 2"):
        check_budget(vectors, ("a", "b"), 1, "m")
    with pytest.raises(PluginError, match="3 examples of class 'a'; dpc is 2"):
        check_budget(replace(vectors, texts={"text": list("abcd")}), ("a", "b"), 2, "m")


def test_bytes_of_what_a_student_reads() -> None:
    """By hand: UTF-8 and a byte a label; float32 soft labels in their place; every array, padding included."""
    texts = DistilledSet(np.array([0, 1]), {"a": ["é", "xy"], "b": ["1", "2"]}, embeddings=WHOLE)
    assert set_bytes(texts, "texts", 2) == set_bytes(texts, "texts", 256) == 2 + 2 + 2 + 2 * 1
    assert set_bytes(texts, "texts", 257) == 2 + 2 + 2 + 2 * 2
    soft = replace(texts, soft_labels=np.full((2, 3), 1 / 3, np.float32))
    assert set_bytes(soft, "texts", 3) == 6 + 2 * 3 * 4
    inputs, mask, targets, rates, groups, attention = 4 * 60, 8 * 12, 4 * 8, 4 * 2, 8 * 4, 4 * 4 * 3
    assert set_bytes(texts, "embeddings", 2) == inputs + mask + targets + rates + groups + attention


ONE_EACH = Embeddings(np.zeros((2, 3, 4), np.float32), np.ones((2, 3), np.int64), np.eye(2, dtype=np.float32), "minilm")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"labels": np.array([], dtype=np.int64)}, "no example"),
        ({"labels": np.array([0.0, 1.0])}, "int64"),
        ({"labels": np.array([0, 2])}, "label 2"),
        ({"labels": np.array([0, -1])}, "label -1"),
        ({"texts": None}, "neither texts nor embeddings"),
        (
            {"texts": None, "embeddings": ONE_EACH, "soft_labels": np.eye(2, dtype=np.float32)},
            "soft_labels without texts: targets of embeddings are their label_distribution",
        ),
        ({"texts": {"other": ["a", "b"]}}, "fields"),
        ({"texts": {"text": ["a"]}}, "1 texts"),
        ({"texts": {"text": ["a", " "]}}, "example 1"),
        ({"soft_labels": np.ones((2, 3), np.float32)}, r"\(2, 3\)"),
        ({"soft_labels": [[1, 0], [0, 1]]}, "soft labels of type list; a float array"),
        ({"soft_labels": np.eye(2, dtype=np.int64)}, "soft labels of type int64"),
        ({"soft_labels": np.array([[1, 0], [0.6, 0.3]])}, "sum to 0.9, not 1: soft labels, example 1"),
        ({"soft_labels": np.array([[1.5, -0.5], [1, 0]])}, "a negative number: soft labels, example 0"),
        ({"soft_labels": np.array([[1, 0], [1, np.nan]])}, "not finite: soft labels, example 1"),
        ({"embeddings": 3}, "int as embeddings"),
    ],
)
def test_useless_sets_are_refused(changes: dict[str, Any], line: str) -> None:
    good: dict[str, Any] = {"labels": np.array([0, 1]), "texts": {"text": ["a", "b"]}}
    check_set(DistilledSet(**good), ("text",), 2, "m")
    check_set(DistilledSet(**(good | {"texts": None, "embeddings": ONE_EACH})), ("text",), 2, "m")
    with pytest.raises(UserError, match=line):
        check_set(DistilledSet(**(good | changes)), ("text",), 2, "m")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("set.json", "{"),
        ("set.json", "{}"),
        ("set.json", "[]"),
        ("examples.jsonl", '{"label": 0, "text": '),
        ("examples.jsonl", '{"lbel": 0}'),
        ("examples.jsonl", '{"label": "one"}'),
        ("examples.jsonl", "1"),
        ("examples.jsonl", "\udcff"),
        ("arrays.safetensors", "no header"),
    ],
)
def test_a_set_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, content: str) -> None:
    save_set(tmp_path, DistilledSet(np.array([0, 1, 0, 1]), {"text": ["a", "b", "c", "d"]}, None, EMBEDDINGS))
    (tmp_path / name).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"delete (it|that folder) and run again"):
        load_set(tmp_path)
