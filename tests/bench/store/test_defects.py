"""What no learner could train on is named with its field and example; what the papers make is accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bench.api import DistilledSet, Embeddings
from bench.errors import PluginError
from bench.store.defects import embeddings_defect
from bench.store.sets import check_set
from tests.bench.store.test_sets import WHOLE

GOOD = replace(WHOLE, unrestricted=False)


def put(name: str, *index: int, value: Any) -> dict[str, np.ndarray]:
    """The field with another number at one place."""
    array = np.array(getattr(GOOD, name))
    array[index] = value
    return {name: array}


def attention(rows: int) -> np.ndarray:
    """Even attention on the tokens of each example, for 2 layers of 3 heads."""
    even = GOOD.attention_mask / GOOD.attention_mask.sum(1, keepdims=True)
    return np.tile(even[:, None, None, None].astype(np.float32), (1, 2, 3, rows, 1))


def test_whole_sets_are_accepted() -> None:
    for one in (
        GOOD,
        WHOLE,
        replace(GOOD, attention_labels=attention(1)),
        replace(GOOD, attention_labels=attention(3)),
        replace(GOOD, attention_weight=0, nearest=("a", "b", "c", "d")),
        replace(GOOD, unrestricted=True, label_distribution=np.full((4, 2), -7, np.float32)),
        replace(GOOD, step_sizes=None),
        Embeddings(GOOD.inputs_embeds, GOOD.attention_mask, GOOD.label_distribution, "minilm"),
    ):
        check_set(DistilledSet(np.array([0, 0, 1, 0]), embeddings=one), ("text",), 2, "m")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"inputs_embeds": GOOD.inputs_embeds.astype(np.float64)},
            "inputs_embeds of type float64; an array of float32 [N",
        ),
        ({"inputs_embeds": torch.zeros(4, 3, 5)}, "inputs_embeds of type Tensor; an array of float32 [N, L, d]"),
        ({"inputs_embeds": GOOD.inputs_embeds[:3]}, "inputs_embeds of shape (3, 3, 5); [N = 4, L, d] is needed"),
        ({"inputs_embeds": GOOD.inputs_embeds[:, 0]}, "inputs_embeds of shape (4, 5)"),
        ({"inputs_embeds": GOOD.inputs_embeds[:, :0], "attention_mask": GOOD.attention_mask[:, :0]}, "without a posi"),
        (put("inputs_embeds", 2, 1, 4, value=np.nan), "not finite: inputs_embeds, example 2"),
        (put("inputs_embeds", 3, 2, 0, value=-np.inf), "not finite: inputs_embeds, example 3"),
        ({"attention_mask": GOOD.attention_mask.astype(bool)}, "attention_mask of type bool; an array of int64 [N, L]"),
        ({"attention_mask": GOOD.attention_mask[:, :2]}, "attention_mask of shape (4, 2); [N = 4, L = 3]"),
        (put("attention_mask", 2, value=[1, 0, 1]), "not ones and then zeros: example 2"),
        (put("attention_mask", 1, value=[2, 0, 0]), "not ones and then zeros: example 1"),
        (put("attention_mask", 3, value=[0, 0, 0]), "a text of length zero: attention_mask, example 3"),
        (put("attention_mask", 0, value=[0, 1, 1]), "not ones and then zeros: example 0"),
        ({"label_distribution": np.ones((4, 3), np.float32)}, "label_distribution of shape (4, 3); [N = 4, C = 2]"),
        (put("label_distribution", 1, 1, value=0.001), "sum to 1.001, not 1: label_distribution, example 1"),
        (put("label_distribution", 1, value=[-0.5, 1.5]), "a negative number: label_distribution, example 1"),
        (put("label_distribution", 0, 0, value=np.nan), "not finite: label_distribution, example 0"),
        (put("label_distribution", 0, 0, value=np.inf) | {"unrestricted": True}, "not finite: label_distribution"),
        ({"step_sizes": np.array([], np.float32)}, "no step size"),
        ({"step_sizes": np.array(0.1, np.float32)}, "step_sizes of shape (); [T]"),
        ({"step_sizes": 0.1}, "step_sizes of type float; an array of float32 [T]"),
        (put("step_sizes", 1, value=0), "the step size 0.0, not above 0: step_sizes, step 1"),
        (put("step_sizes", 0, value=np.nan), "the step size nan, not above 0: step_sizes, step 0"),
        (put("groups", 1, value=-1), "the group -1: groups, example 1"),
        ({"groups": np.array([0, 2, 0, 2])}, "no example of group 1 of 3: groups"),
        ({"groups": np.array([1, 1, 1, 1])}, "no example of group 0 of 2: groups"),
        ({"groups": np.arange(4)}, "4 groups and 2 step sizes: no step reads group 2"),
        ({"groups": np.zeros(3, np.int64)}, "groups of shape (3,); [N = 4]"),
        ({"attention_labels": attention(2)}, "attention_labels of shape (4, 2, 3, 2, 3): layers, heads, and 1 or 3"),
        ({"attention_labels": attention(1)[..., :2]}, "attention_labels of shape (4, 2, 3, 1, 2)"),
        ({"attention_labels": attention(1)[:, :0]}, "attention_labels of shape (4, 0, 3, 1, 3)"),
        (put("attention_labels", 2, 0, 0, 0, value=[0.5, 0.5, 0]), "a key behind the end of the text: example 2"),
        (put("attention_labels", 0, 0, 0, 0, value=[0.5, 0.4, 0]), "sum to 0.9, not 1: attention_labels, example 0"),
        (put("attention_labels", 1, 0, 0, 0, value=[2, -1, 0]), "a negative number: attention_labels, example 1"),
        ({"layer": -1}, "layer -1: an integer from 0"),
        ({"layer": True}, "layer True: an integer from 0"),
        ({"layer": 1.0}, "layer 1.0: an integer from 0"),
        ({"head_seed": -3}, "head_seed -3"),
        ({"attention_weight": float("nan")}, "attention_weight nan"),
        ({"attention_weight": -1.0}, "attention_weight -1.0"),
        ({"attention_weight": np.float32(1)}, "attention_weight np.float32(1.0)"),
        ({"unrestricted": 1}, "unrestricted 1: True or False"),
        ({"scratch": None}, "scratch None: True or False"),
        ({"trained_layers": 0}, "trained_layers 0: an integer from 1"),
        ({"encoder": ""}, "encoder ''"),
        ({"encoder": None}, "encoder None"),
        ({"encoder_identity": ["a"]}, "encoder_identity of type list"),
        ({"encoder_identity": {"a": np.ones(2)}}, "encoder_identity that is no JSON"),
        ({"encoder_identity": {"a": float("nan")}}, "encoder_identity that is no JSON"),
        ({"nearest": ["a"]}, "1 texts as nearest texts of 4 examples"),
        ({"nearest": "abcd"}, "str as nearest texts of 4 examples"),
        ({"nearest": ["a", "b", None, "d"]}, "a nearest text of type NoneType: example 2"),
        ({"nearest": ["a", "b", "c", "\ud800"]}, "no character: nearest texts, example 3"),
    ],
)
def test_a_defect_is_one_line_that_says_where(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(PluginError) as caught:
        check_set(DistilledSet(np.array([0, 1, 0, 1]), embeddings=replace(GOOD, **changes)), ("text",), 2, "the method")
    assert str(caught.value).startswith("the method returned ")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [1e-5, 1e-3])
def test_sums_may_miss_one_by_rounding_alone(error: float) -> None:
    """float32 softmax over many classes misses one by 1e-6; 1e-3 is somebody's mistake."""
    values: Callable[[float], np.ndarray] = lambda e: np.tile(np.array([0.5 + e, 0.5], np.float32), (4, 1))  # noqa: E731
    found = embeddings_defect(replace(GOOD, label_distribution=values(error)), 4, 2)
    assert bool(found) == (error > 1e-4)
