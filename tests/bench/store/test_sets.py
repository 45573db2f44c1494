"""Distilled sets survive a round trip, and what no student could use is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.api import DistilledSet, Embeddings
from bench.errors import UserError
from bench.store.sets import check_set, content_digest, load_set, save_set

EMBEDDINGS = Embeddings(
    np.zeros((4, 3, 5), np.float32), np.ones((4, 3), np.int64), np.ones((4, 2), np.float32), "minilm"
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


def test_arrays_survive_bit_by_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    embeddings = Embeddings(
        rng.standard_normal((4, 3, 5)).astype(np.float32),
        np.ones((4, 3), np.int64),
        rng.random((4, 2)).astype(np.float32),
        "minilm",
        np.array([0.1, 0.2], np.float32),
    )
    soft = rng.random((4, 2)).astype(np.float32)
    save_set(tmp_path, DistilledSet(np.array([0, 1, 0, 1]), None, soft, embeddings))
    back = load_set(tmp_path)
    assert back.texts is None
    assert back.embeddings is not None
    assert back.embeddings.encoder == "minilm"
    np.testing.assert_array_equal(back.soft_labels, soft)
    for name in ("inputs_embeds", "attention_mask", "label_distribution", "step_sizes"):
        np.testing.assert_array_equal(getattr(back.embeddings, name), getattr(embeddings, name))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"labels": np.array([], dtype=np.int64)}, "no example"),
        ({"labels": np.array([0.0, 1.0])}, "int64"),
        ({"labels": np.array([0, 2])}, "label 2"),
        ({"labels": np.array([0, -1])}, "label -1"),
        ({"texts": None}, "neither texts nor embeddings"),
        ({"texts": {"other": ["a", "b"]}}, "fields"),
        ({"texts": {"text": ["a"]}}, "1 texts"),
        ({"texts": {"text": ["a", " "]}}, "example 1"),
        ({"soft_labels": np.ones((2, 3), np.float32)}, r"\(2, 3\)"),
    ],
)
def test_useless_sets_are_refused(changes: dict[str, Any], line: str) -> None:
    good: dict[str, Any] = {"labels": np.array([0, 1]), "texts": {"text": ["a", "b"]}}
    check_set(DistilledSet(**good), ("text",), 2, "m")
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
