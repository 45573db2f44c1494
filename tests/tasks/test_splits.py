"""Splits and caps by hash: stable, nested, disjoint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.api import TaskInfo, UserError
from tasks.splits import Row, assemble, balanced, capped, clean, part, rank, unique, without_repeats

ROWS = [Row((f"text {i}",), i % 3 if i < 30 else 0, "train") for i in range(60)]


def test_hashes_are_fixed_for_all_time() -> None:
    # int.from_bytes(sha256(b"row\0a\0b").digest()[:8], "big")
    assert rank("row", "a", "b") == 2970260434043593779
    assert rank("row", "a", "b") != rank("row", "ab") != rank("split", "a", "b")
    assert [part(name, 0.12, 0.18) for name in ("a", "b", "e")] == ["train", "train", "test"]


def test_parts_have_about_their_share() -> None:
    found = [part(str(i), 0.12, 0.18) for i in range(5000)]
    assert found.count("validation") / 5000 == pytest.approx(0.12, abs=0.02)
    assert found.count("test") / 5000 == pytest.approx(0.18, abs=0.02)


@given(st.integers(0, 70), st.integers(0, 70), st.randoms())
def test_caps_nest_and_do_not_depend_on_the_order(one: int, other: int, random: object) -> None:
    small, large = sorted((one, other))
    shuffled = random.sample(ROWS, len(ROWS))  # type: ignore[attr-defined]
    assert balanced(ROWS, small) == balanced(shuffled, large)[:small]
    assert set(capped(ROWS, small)) <= set(capped(shuffled, large))
    assert len(capped(ROWS, small)) == min(small, 60)


def test_balanced_takes_the_classes_in_turn_until_one_is_empty() -> None:
    labels = [row.label for row in balanced(ROWS, None)]
    assert labels[:30] == [0, 1, 2] * 10
    assert labels[30:] == [0] * 30


def test_capped_keeps_the_order_of_the_rows() -> None:
    kept = capped(ROWS, 20)
    assert kept == [row for row in ROWS if row in kept]
    assert capped(ROWS, None) == ROWS


def test_unique_drops_what_contradicts_itself() -> None:
    rows = [
        Row(("Twice in train",), 0, "train"),
        Row(("twice in TRAIN",), 0, "train"),
        Row(("two splits",), 0, "train"),
        Row(("two splits",), 0, "test"),
        Row(("two labels",), 0, "train"),
        Row(("two labels",), 1, "train"),
        Row(("two labels",), 0, "train"),
    ]
    assert unique(rows) == rows[:1]
    assert without_repeats([rows[0], rows[2]], [rows[3]]) == rows[:1]


def test_a_class_without_rows_is_named() -> None:
    info = TaskInfo("sample", ("text",), ("no", "yes"))
    rows = [Row((f"{split} {label}",), label, split) for split in ("train", "validation", "test") for label in (0, 1)]
    data = assemble(info, rows, "sample.csv")
    assert data.validation.texts == {"text": ["validation 0", "validation 1"]}
    assert data.validation.labels.tolist() == [0, 1]
    with pytest.raises(UserError, match=r"sample\.csv: class 'yes' has no row in the test split"):
        assemble(info, rows[:-1], "sample.csv")


def test_clean() -> None:
    assert clean(" a\t b\n\nc ") == "a b c"
