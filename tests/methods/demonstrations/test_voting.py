"""Fast vote-k against the sums written out in whole numbers, and its graph against sorted cosines."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from methods.demonstrations import voting
from methods.demonstrations.voting import fast_vote_k, most_votes, nearest_rows

# Unit vectors whose products tie often, exactly but for rounding: 0.6 x 0.8 + 0.8 x 0.6 and the like.
CIRCLE = np.array([[1, 0], [0.6, 0.8], [0.8, 0.6], [0, 1], [-0.6, 0.8], [-1, 0], [0.6, -0.8]])


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    X = np.random.default_rng(seed).standard_normal((n, d)) + 0.5
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def sorted_neighbours(X: np.ndarray, k: int) -> list[list[int]]:
    """The literal rule: all others by falling cosine, the lowest index first where they agree."""
    found = []
    for row in range(len(X)):
        cosines = {other: round(float(np.dot(X[row], X[other])), 9) for other in range(len(X)) if other != row}
        found.append(sorted(sorted(cosines, key=lambda other: (-cosines[other], other))[:k]))
    return found


def literal_vote_k(nearest: list[list[int]], count: int) -> list[int]:
    """The formulas of the paper, with fractions: score(u) = sum of s(v) over v in U with an edge (v, u)."""
    selected: list[int] = []
    while len(selected) < count:
        best, where = Fraction(-1), -1
        for u in range(len(nearest)):
            if u in selected:
                continue
            score = Fraction(0)
            for v in range(len(nearest)):
                if v not in selected and u in nearest[v]:
                    score += Fraction(1, 10 ** sum(one in nearest[v] for one in selected))
            if score > best:
                best, where = score, u
        selected.append(where)
    return selected


class TestNearestRows:
    @pytest.mark.parametrize("k", [1, 4, 38, 39])
    def test_against_sorted_cosines(self, k: int) -> None:
        X = unit(40, 6)
        assert nearest_rows(X, k).tolist() == sorted_neighbours(X, k)

    @given(rows=st.lists(st.integers(0, len(CIRCLE) - 1), min_size=2, max_size=14), data=st.data())
    def test_ties_go_to_the_lowest_index(self, rows: list[int], data: st.DataObject) -> None:
        X = CIRCLE[rows]
        k = data.draw(st.integers(1, len(X) - 1))
        assert nearest_rows(X, k).tolist() == sorted_neighbours(X, k)

    def test_float32_rows_give_the_same(self) -> None:
        X = unit(200, 16).astype(np.float32)
        assert nearest_rows(X, 9).tolist() == nearest_rows(X.astype(np.float64), 9).tolist()

    def test_repeated_rows_are_neighbours_but_never_of_themselves(self) -> None:
        X = np.repeat(unit(3, 5), 4, axis=0)
        found = nearest_rows(X, 3)
        for row in range(12):
            block = range(row // 4 * 4, row // 4 * 4 + 4)
            assert found[row].tolist() == [other for other in block if other != row]
        assert nearest_rows(np.ones((5, 1)), 2).tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]]

    def test_chunks_do_not_show(self, monkeypatch: pytest.MonkeyPatch) -> None:
        X = np.concatenate([unit(60, 7), unit(60, 7)])
        whole = nearest_rows(X, 11)
        for values in (1, 7 * 120 + 5):
            monkeypatch.setattr(voting, "CHUNK_VALUES", values)
            np.testing.assert_array_equal(nearest_rows(X, 11), whole)

    def test_not_all_pairs_are_held_at_once(self) -> None:
        X = unit(6000, 4).astype(np.float32)
        tracemalloc.start()
        found = nearest_rows(X, 20)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found.shape == (6000, 20)
        assert peak < 8 * 6000 * 6000 / 2

    @pytest.mark.parametrize("k", [0, 5])
    def test_impossible_k_is_refused(self, k: int) -> None:
        with pytest.raises(ValueError, match=r"k must be in 1\.\.4"):
            nearest_rows(unit(5, 3), k)


class TestFastVoteK:
    def test_by_hand(self) -> None:
        """1 has three votes. Then 2 has the vote of 1 alone, who is selected, and so none; 4 and 5 have one each."""
        nearest = np.array([[1], [2], [1], [1], [5], [4]])
        assert fast_vote_k(nearest, 3).tolist() == [1, 4, 0]

    def test_votes_received_count_not_votes_given(self) -> None:
        """Rows 1 to 4 vote for 5; with the edges the other way round all would have the same."""
        assert fast_vote_k(np.array([[1], [5], [5], [5], [5], [0]]), 1).tolist() == [5]

    def test_an_answered_vote_counts_a_tenth(self) -> None:
        """1 has five votes, second to 0, who answers them all: 0.5. So 11 with 3, 10 with 2, 12 with 0.1 + 0.1 + 1."""
        out = {0: [11, 12], 1: [11, 12], 2: [11, 12], 8: [2, 11], 9: [2, 12], 10: [0, 13], 11: [8, 9], 12: [9, 10]}
        nearest = np.array([(out | {13: [8, 10]}).get(row, [0, 1]) for row in range(14)])
        assert fast_vote_k(nearest, 4).tolist() == [0, 11, 10, 12]

    @given(n=st.integers(2, 11), data=st.data())
    def test_against_the_sums_written_out(self, n: int, data: st.DataObject) -> None:
        k = data.draw(st.integers(1, n - 1))
        others = [[other for other in range(n) if other != row] for row in range(n)]
        nearest = [data.draw(st.permutations(others[row]))[:k] for row in range(n)]
        assert fast_vote_k(np.array(nearest), n).tolist() == literal_vote_k(nearest, n)

    def test_against_the_sums_of_real_neighbours(self) -> None:
        nearest = nearest_rows(unit(90, 5, seed=1), 12)
        assert fast_vote_k(nearest, 40).tolist() == literal_vote_k(nearest.tolist(), 40)

    def test_row_order_does_not_matter(self) -> None:
        X = unit(150, 4, seed=2)
        order = np.random.default_rng(3).permutation(len(X))
        straight = fast_vote_k(nearest_rows(X, 10), 4)  # so few that no two rows tie
        assert order[fast_vote_k(nearest_rows(X[order], 10), 4)].tolist() == straight.tolist()

    def test_dense_places_come_first_and_then_others(self) -> None:
        rng = np.random.default_rng(4)
        X = np.concatenate(
            [
                centre + 0.1 * rng.standard_normal((size, 3))
                for centre, size in zip(np.eye(3), (30, 20, 40), strict=True)
            ]
        )
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        picked = fast_vote_k(nearest_rows(X, 15), 3)
        assert sorted(np.digitize(picked, [30, 50]).tolist()) == [0, 1, 2]

    def test_all_rows_once_and_the_graph_is_left_alone(self) -> None:
        nearest = nearest_rows(unit(30, 4), 5)
        nearest.setflags(write=False)
        assert sorted(fast_vote_k(nearest, 30).tolist()) == list(range(30))

    def test_with_all_others_as_neighbours_only_the_index_decides(self) -> None:
        """Why the method refuses it."""
        assert fast_vote_k(nearest_rows(unit(8, 4), 7), 5).tolist() == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("count", [0, 5])
    def test_impossible_count_is_refused(self, count: int) -> None:
        with pytest.raises(ValueError, match=r"count must be in 1\.\.4"):
            fast_vote_k(nearest_rows(unit(4, 3), 2), count)


class TestMostVotes:
    def test_what_floating_point_cannot_tell_apart(self) -> None:
        levels, votes = np.array([0, 17]), np.array([[1, 1, 0], [0, 1, 9]])
        assert 1 + 10.0**-17 == 1
        assert most_votes(levels, votes, np.arange(3)) == 1
        assert most_votes(levels, votes[:, ::-1], np.arange(3)) == 1

    def test_a_tie_that_floating_point_would_break(self) -> None:
        levels, votes = np.array([1, 2]), np.array([[1, 0, 0], [2, 12, 11]])
        assert 1 + 2 * 0.1 < 12 * 0.1
        assert most_votes(levels, votes, np.arange(3)) == 0
        assert most_votes(levels, votes[:, ::-1], np.arange(3)) == 1

    def test_votes_that_floating_point_would_lose(self) -> None:
        """The votes that count whole are for a row that is no candidate; beside them 10^-321 has three digits."""
        levels = np.array([0, 320, 321, 330])
        votes = np.array([[5, 0, 0], [0, 1, 0], [0, 0, 10], [0, 0, 1]])
        assert most_votes(levels, votes, np.array([1, 2])) == 2

    def test_no_votes_at_all(self) -> None:
        assert most_votes(np.array([1]), np.array([[4, 0, 0]]), np.array([1, 2])) == 1
