"""Groups of replicates."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from leaderboard.scores import connected


@given(st.lists(st.frozensets(st.integers(0, 7), max_size=3), min_size=1, max_size=9))
def test_connected_are_the_components_of_the_graph(members: list[frozenset[int]]) -> None:
    n = len(members)
    edges = np.zeros((n + 8, n + 8))
    for place, mine in enumerate(members):
        edges[place, [n + each for each in mine]] = 1
    _, components = connected_components(csr_array(edges), directed=False)
    found = connected(members)
    assert all((found[i] == found[j]) == (components[i] == components[j]) for i in range(n) for j in range(n))
    assert all(found[i] == min(j for j in range(n) if found[j] == found[i]) for i in range(n))
