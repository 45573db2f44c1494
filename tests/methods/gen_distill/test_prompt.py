"""Prompts as they stand before the model, what is read of their continuation, and which rows they hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.api import Split, TaskInfo, TrainData, UserError
from methods.gen_distill.prompt import COPY, CUT, EMPTY, FORM, Prompt, one_line, prompt_rows

ONE = Prompt(
    TaskInfo("news", ("text",), ("sport", "big\nbusiness")),
    1,
    {"text": ["Shares fell.\nBonds rose. ", "The airline\r\nflew  more."]},
)
TWO = Prompt(
    TaskInfo("nli", ("premise", "hypo\nthesis"), ("yes",)),
    0,
    {"premise": ["A dog runs.", "It rains."], "hypo\nthesis": ["An animal\nmoves.", "It is wet."]},
)


def test_a_prompt_of_texts() -> None:
    assert ONE.text == "Label: big business\n\ntext: Shares fell. Bonds rose.\ntext: The airline flew more.\ntext:"
    assert ONE.examples == ["text: Shares fell. Bonds rose.", "text: The airline flew more."]


def test_a_prompt_of_pairs() -> None:
    assert TWO.text == (
        "Label: yes\n\npremise: A dog runs.\nhypo thesis: An animal moves.\n\n"
        "premise: It rains.\nhypo thesis: It is wet.\n\npremise:"
    )


@pytest.mark.parametrize("prompt", [ONE, TWO], ids=["one", "two"])
def test_what_continues_a_prompt_is_one_more_example(prompt: Prompt) -> None:
    texts = tuple(f"new {name}\nand more" for name in "ab"[: prompt.lines])
    written = prompt.continued(texts)
    assert prompt.read(written, False) == tuple(map(one_line, texts))
    assert (prompt.text + written).endswith(prompt._example(texts) + "\n")


@pytest.mark.parametrize(
    ("written", "ended", "found"),
    [
        (" A bank won.\n", False, ("A bank won.",)),
        (" A bank won.\n\n\nLabel: sport\n\ntext: no", False, ("A bank won.",)),  # a token of several line breaks
        (" A  bank\twon.\r\n", False, ("A bank won.",)),
        (" A bank won.", True, ("A bank won.",)),
        (" A bank won.", False, CUT),
        ("", False, CUT),
        ("\n", False, EMPTY),
        ("\n A bank won.\n", False, EMPTY),
        ("  \t \n", False, EMPTY),
        ("", True, EMPTY),
        (" The AIRLINE flew more.\n", False, COPY),
        (" Shares fell. Bonds rose.", True, COPY),
        (" Shares fell.\n", False, ("Shares fell.",)),  # a part of a row is no copy
    ],
)
def test_reading_a_text(written: str, ended: bool, found: object) -> None:
    assert ONE.read(written, ended) == found


@pytest.mark.parametrize(
    ("written", "ended", "found"),
    [
        (" Snow falls.\nhypo thesis: It is cold.\n", False, ("Snow falls.", "It is cold.")),
        (" Snow falls.\nhypo thesis: It is cold.\n\npremise:", False, ("Snow falls.", "It is cold.")),
        (" Snow falls.\nhypo thesis: It is cold.", True, ("Snow falls.", "It is cold.")),
        (" Snow falls.\nhypo thesis: It is", False, CUT),
        (" Snow falls.\n", False, CUT),
        (" Snow falls.\n", True, FORM),
        (" Snow falls.", True, FORM),
        (" Snow falls.\n\n", False, FORM),
        (" Snow falls.\npremise: It is cold.\n", False, FORM),
        ("\nhypo thesis: It is cold.\n", False, EMPTY),
        (" Snow falls.\nhypo thesis: \n", False, EMPTY),
        (" it rains.\nhypo thesis: It is  wet.\n", False, COPY),
        (" It rains.\nhypo thesis: An animal moves.\n", False, ("It rains.", "An animal moves.")),
    ],
)
def test_reading_a_pair(written: str, ended: bool, found: object) -> None:
    assert TWO.read(written, ended) == found


# -- which rows


def data_of(texts: list[str], labels: list[int]) -> TrainData:
    split = Split({"text": texts}, np.array(labels, dtype=np.int64))
    return TrainData(TaskInfo("t", ("text",), ("a", "b")), split, Split({"text": []}, np.array([], dtype=np.int64)))


def many(n: int = 40) -> TrainData:
    """Texts of 1 to n letters in both classes."""
    return data_of(["x" * (1 + i // 2) + "yz"[i % 2] for i in range(2 * n)], [i % 2 for i in range(2 * n)])


def test_rows_are_of_their_class_and_of_moderate_length() -> None:
    data = many()
    for seed in range(20):
        found = prompt_rows(data, 6, seed)
        for label, rows in enumerate(found):
            assert len(set(rows.tolist())) == 6
            assert (data.train.labels[rows] == label).all()
            assert all(11 <= len(data.train.texts["text"][row]) <= 32 for row in rows)  # the middle half of 2 .. 41


def test_rows_follow_the_seed_and_all_can_come() -> None:
    data = many(8)
    assert all(np.array_equal(a, b) for a, b in zip(prompt_rows(data, 3, 5), prompt_rows(data, 3, 5), strict=True))
    seen = {tuple(prompt_rows(data, 3, seed)[0]) for seed in range(200)}
    assert len({row for rows in seen for row in rows}) == 4  # half of 8
    assert len(seen) == 4 * 3 * 2  # in any order


def test_rows_of_a_class_do_not_depend_on_the_others() -> None:
    data = many()
    labels = data.train.labels
    other = [text + "!" * (1000 * label) for text, label in zip(data.train.texts["text"], labels, strict=True)]
    changed = replace(data, train=Split({"text": other}, labels))
    assert np.array_equal(prompt_rows(data, 6, 1)[0], prompt_rows(changed, 6, 1)[0])


def test_equal_and_empty_texts_are_no_examples() -> None:
    texts = ["one text", "One  text", "other", " ", "third one", "one text"]
    data = data_of([*texts, "b1", "b2", "b3"], [0] * 6 + [1] * 3)
    assert sorted(prompt_rows(data, 3, 0)[0].tolist()) == [0, 2, 4]
    with pytest.raises(UserError, match="class 'a' has 3 different train texts, fewer than prompt_rows=4: choose a"):
        prompt_rows(data, 4, 0)
