"""Batches under a token budget: a partition, within the budget, with little padding, in the promised order."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.batching import longest_first, shortest_first

LENGTHS = st.lists(st.integers(1, 300), max_size=200)
Split = Callable[[np.ndarray, int], list[np.ndarray]]


@pytest.mark.parametrize("split", [longest_first, shortest_first])
@given(lengths=LENGTHS, budget=st.integers(1, 3000))
def test_batches_partition_the_rows_within_the_budget(split: Split, lengths: list[int], budget: int) -> None:
    groups = split(np.array(lengths, dtype=np.int64), budget)
    assert sorted(row for group in groups for row in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[row] for row in group) <= budget
    order = [lengths[row] for group in groups for row in group]
    assert order == sorted(lengths, reverse=split is longest_first)


@pytest.mark.parametrize("split", [longest_first, shortest_first])
@given(lengths=LENGTHS, budget=st.integers(1, 3000))
def test_no_batch_could_take_the_next_row(split: Split, lengths: list[int], budget: int) -> None:
    groups = split(np.array(lengths, dtype=np.int64), budget)
    for group, after in itertools.pairwise(groups):
        longest = max(lengths[row] for row in (*group, after[0]))
        assert (len(group) + 1) * longest > budget


@pytest.mark.parametrize("split", [longest_first, shortest_first])
def test_rows_of_equal_length_keep_their_order(split: Split) -> None:
    groups = split(np.array([5, 2, 5, 2, 5]), 10)
    assert [group.tolist() for group in groups] == (
        [[0, 2], [4, 1], [3]] if split is longest_first else [[1, 3], [0, 2], [4]]
    )


@given(lengths=st.lists(st.integers(1, 64), min_size=1, max_size=80), budget=st.integers(1, 1000))
def test_rows_that_are_all_padded_to_one_length(lengths: list[int], budget: int) -> None:
    groups = shortest_first(np.array(lengths), budget, padded_to=64)
    assert {len(group) for group in groups[:-1]} <= {max(1, budget // 64)}
    np.testing.assert_array_equal(np.concatenate(groups), np.argsort(lengths, kind="stable"))


@pytest.mark.parametrize("split", [longest_first, shortest_first])
def test_sorting_leaves_little_padding(split: Split) -> None:
    lengths = np.random.default_rng(0).integers(5, 60, size=2000)
    padded = sum(len(group) * lengths[group].max() for group in split(lengths, 1024))
    assert padded / lengths.sum() < 1.02
