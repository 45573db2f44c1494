"""Letters of rows: shared if and only if two rows are not separated."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from leaderboard.groups import tie_groups

PAIRS = st.sets(st.sampled_from([*combinations(range(7), 2)]))


@given(st.tuples(st.integers(1, 7), PAIRS))
def test_two_rows_share_a_letter_if_and_only_if_they_are_not_separated(drawn: tuple[int, set[tuple[int, int]]]) -> None:
    n, pairs = drawn
    apart = {pair for pair in pairs if pair[1] < n}
    found = tie_groups(n, apart)
    assert found is not None
    for one, other in combinations(range(n), 2):
        assert (set(found[one]).isdisjoint(found[other])) == ((one, other) in apart)
    assert all(found), "each row has a letter"
    assert "a" in found[0]


def test_no_letter_is_spare() -> None:
    """A ladder of neighbours that tie, as in the textbooks: a, ab, bc, c."""
    assert tie_groups(4, [(0, 2), (0, 3), (1, 3)]) == ["a", "ab", "bc", "c"]
    assert tie_groups(3, []) == ["a"] * 3
    assert tie_groups(3, [(0, 1), (0, 2), (1, 2)]) == ["a", "b", "c"]


def test_comparisons_without_order_give_no_letters() -> None:
    """Pairs (2k, 2k + 1) apart and nothing else: each choice of one of each pair is a largest group."""
    assert tie_groups(12, [(2 * k, 2 * k + 1) for k in range(6)]) is None
