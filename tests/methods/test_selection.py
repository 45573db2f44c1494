"""The selection rules against fixed values, brute force and straightforward implementations."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from methods import selection
from methods.selection import (
    distance_to_nearest,
    farthest_first,
    herding_mean,
    herding_welling,
    k_center_greedy,
    kmeans_medoids,
    nearest,
)

# Whole numbers keep every sum exact, so that ties are ties and "lowest index" is well defined.
POINTS = arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.integers(-6, 6).map(float))


def mean_error(X: np.ndarray, rows: np.ndarray) -> float:
    return float(np.linalg.norm(X[rows].mean(0) - X.mean(0)))


class TestHerdingMean:
    X = np.random.default_rng(0).standard_normal((200, 5))

    def test_fixed_values(self) -> None:
        rows = herding_mean(self.X, 20)
        assert rows[:10].tolist() == [61, 0, 161, 28, 77, 90, 22, 93, 65, 153]
        errors = [mean_error(self.X, rows[:k]) for k in (1, 5, 10, 20)]
        assert errors == pytest.approx([0.744776, 0.144818, 0.074710, 0.043041], abs=5e-7)

    def test_float32_rows_give_the_same(self) -> None:
        assert herding_mean(self.X.astype(np.float32), 20).tolist() == herding_mean(self.X, 20).tolist()

    @given(X=POINTS, data=st.data())
    def test_greedy_condition_by_brute_force(self, X: np.ndarray, data: st.DataObject) -> None:
        k = data.draw(st.integers(1, len(X)))
        X = X * len(X)  # whole-numbered means
        mu, total, expected = X.mean(0), np.zeros(X.shape[1]), []
        for step in range(1, k + 1):
            cost = [np.inf if row in expected else ((total + X[row] - step * mu) ** 2).sum() for row in range(len(X))]
            expected.append(int(np.argmin(cost)))
            total += X[expected[-1]]
        assert herding_mean(X, k).tolist() == expected

    def test_first_is_nearest_to_the_mean_and_all_have_no_error(self) -> None:
        X = self.X[:30]
        rows = herding_mean(X, 30)
        assert rows[0] == np.linalg.norm(X - X.mean(0), axis=1).argmin()
        assert sorted(rows.tolist()) == list(range(30))
        assert mean_error(X, rows) == pytest.approx(0, abs=1e-15)


class TestHerdingWelling:
    X = np.random.default_rng(0).standard_normal((200, 5))

    def test_fixed_values_with_repeats(self) -> None:
        rows = herding_welling(self.X, 20)
        assert rows[:10].tolist() == [47, 9, 154, 151, 47, 9, 196, 9, 47, 88]
        errors = [mean_error(self.X, rows[:5]), mean_error(self.X, rows)]
        assert errors == pytest.approx([0.549862, 0.095111], abs=5e-7)

    def test_without_repeats_it_agrees_up_to_the_first_repeat(self) -> None:
        rows = herding_welling(self.X, 20, repeats=False)
        assert rows[:4].tolist() == [47, 9, 154, 151]
        assert len(set(rows.tolist())) == 20

    @given(X=POINTS, repeats=st.booleans(), data=st.data())
    def test_the_published_update_step_by_step(self, X: np.ndarray, repeats: bool, data: st.DataObject) -> None:
        k = data.draw(st.integers(1, len(X)))
        X = X * len(X)
        mu = X.mean(0)
        weights, expected = mu.copy(), []
        for _ in range(k):
            score = X @ weights
            if not repeats:
                score[expected] = -np.inf
            expected.append(int(score.argmax()))
            weights += mu - X[expected[-1]]
        assert herding_welling(X, k, repeats).tolist() == expected


class TestKCenterGreedy:
    X = np.random.default_rng(1).standard_normal((14, 2))

    @staticmethod
    def radius(X: np.ndarray, rows: np.ndarray | tuple[int, ...]) -> float:
        return float(np.linalg.norm(X[:, None] - X[list(rows)][None], axis=2).min(1).max())

    def test_fixed_values_and_the_factor_two_for_every_start(self) -> None:
        best = min(combinations(range(14), 3), key=lambda rows: self.radius(self.X, rows))
        optimum = self.radius(self.X, best)
        assert best == (0, 12, 13)
        assert optimum == pytest.approx(1.0155485, abs=5e-8)
        rows = k_center_greedy(self.X, 3, start=0)
        assert rows.tolist() == [0, 12, 1]
        assert self.radius(self.X, rows) == pytest.approx(1.5268777, abs=5e-8)
        ratios = [self.radius(self.X, k_center_greedy(self.X, 3, start)) / optimum for start in range(14)]
        assert [min(ratios), max(ratios)] == pytest.approx([1.0356, 1.8510], abs=5e-5)

    @given(X=POINTS, data=st.data())
    def test_each_step_takes_the_farthest(self, X: np.ndarray, data: st.DataObject) -> None:
        k = data.draw(st.integers(1, len(X)))
        expected = [data.draw(st.integers(0, len(X) - 1))]
        while len(expected) < k:
            distance = ((X[:, None] - X[expected][None]) ** 2).sum(2).min(1)
            distance[expected] = -1
            expected.append(int(distance.argmax()))
        assert k_center_greedy(X, k, expected[0]).tolist() == expected

    @settings(max_examples=40, deadline=None)
    @given(X=POINTS.filter(lambda X: len(X) >= 3), k=st.integers(1, 3), data=st.data())
    def test_at_most_twice_the_optimum(self, X: np.ndarray, k: int, data: st.DataObject) -> None:
        optimum = min(self.radius(X, rows) for rows in combinations(range(len(X)), k))
        start = data.draw(st.integers(0, len(X) - 1))
        assert self.radius(X, k_center_greedy(X, k, start)) <= 2 * optimum + 1e-9


class TestKMeansMedoids:
    X = np.random.default_rng(4).standard_normal((300, 6)).astype(np.float32)

    @pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
    @pytest.mark.parametrize("k", [1, 5, 20])
    def test_equal_to_the_rule_written_out(self, k: int, seed: int) -> None:
        from sklearn.cluster import KMeans

        fitted = KMeans(n_clusters=k, n_init=1, random_state=seed).fit(self.X)
        expected = []
        for cluster in range(k):
            members = [row for row in range(len(self.X)) if fitted.labels_[row] == cluster]
            centre = np.mean([self.X[row].astype(np.float64) for row in members], axis=0)
            distance = [np.linalg.norm(self.X[row].astype(np.float64) - centre) for row in members]
            expected.append(members[int(np.argmin(distance))])
        found = kmeans_medoids(self.X, k, seed)
        assert found.indices.tolist() == expected
        assert found.filled == 0

    def test_one_cluster_is_the_row_nearest_to_the_mean_and_n_clusters_are_all_rows(self) -> None:
        one = kmeans_medoids(self.X, 1, seed=0).indices
        assert one.tolist() == [int(np.linalg.norm(self.X - self.X.mean(0), axis=1).argmin())]
        every = kmeans_medoids(self.X[:40], 40, seed=0)
        assert sorted(every.indices.tolist()) == list(range(40))
        assert every.filled == 0

    def test_same_seed_same_rows_and_seeds_differ(self) -> None:
        sets = [tuple(sorted(kmeans_medoids(self.X, 5, seed).indices.tolist())) for seed in (0, 0, 1, 2, 3)]
        assert sets[0] == sets[1]
        assert len(set(sets)) > 2

    def test_row_order_does_not_matter_where_clusters_are_clear(self) -> None:
        rng = np.random.default_rng(0)
        X = np.concatenate([centre + rng.standard_normal((20, 3)) for centre in 100 * np.eye(3)])
        order = rng.permutation(len(X))
        straight = set(kmeans_medoids(X, 3, seed=1).indices.tolist())
        assert {int(order[row]) for row in kmeans_medoids(X[order], 3, seed=5).indices} == straight

    def test_ties_go_to_the_lowest_index(self) -> None:
        X = np.array([[0.0], [2.0], [0.0], [2.0], [100.0], [100.0]])
        assert sorted(kmeans_medoids(X, 2, seed=0).indices.tolist()) == [0, 4]

    def test_fewer_distinct_points_than_clusters_are_filled(self) -> None:
        X = np.repeat(np.array([[0.0, 0], [5, 0], [9, 0]]), 4, axis=0)
        found = kmeans_medoids(X, 7, seed=0)
        assert found.filled == 4
        assert len(set(found.indices.tolist())) == 7
        assert {tuple(X[row]) for row in found.indices[:3]} == {(0, 0), (5, 0), (9, 0)}
        assert kmeans_medoids(X, 7, seed=0).indices.tolist() == found.indices.tolist()
        same = kmeans_medoids(np.ones((6, 3)), 4, seed=0)
        assert (same.indices.tolist(), same.filled) == ([0, 1, 2, 3], 3)

    @settings(max_examples=40, deadline=None)
    @given(X=POINTS, data=st.data())
    def test_k_different_rows_whatever_the_points(self, X: np.ndarray, data: st.DataObject) -> None:
        k = data.draw(st.integers(1, len(X)))
        found = kmeans_medoids(X, k, data.draw(st.integers(0, 2**32 - 1)))
        assert len(set(found.indices.tolist())) == k
        assert found.indices.min() >= 0
        assert found.indices.max() < len(X)
        assert found.filled == max(0, k - len({tuple(row) for row in X}))

    def test_it_runs_on_one_thread_and_leaves_the_rest_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_info, threadpool_limits

        def threads() -> list[int]:
            return [pool["num_threads"] for pool in threadpool_info()]

        inside: list[int] = []
        fit = KMeans.fit
        monkeypatch.setattr(KMeans, "fit", lambda model, X: inside.extend(threads()) or fit(model, X))
        generator = np.random.get_state()[1].tobytes()
        with threadpool_limits(2):
            before = threads()
            kmeans_medoids(self.X, 5, seed=0)
            assert threads() == before
        assert set(inside) == {1}
        assert max(before) == 2
        assert np.random.get_state()[1].tobytes() == generator


class TestChunks:
    """Chunk boundaries must not show: one row a chunk gives what one chunk gives."""

    X = np.random.default_rng(8).standard_normal((50, 7)).astype(np.float32)

    def results(self) -> list[list[int]]:
        return [
            herding_mean(self.X, 9).tolist(),
            herding_welling(self.X, 9).tolist(),
            k_center_greedy(self.X, 9, 3).tolist(),
            kmeans_medoids(self.X, 9, 3).indices.tolist(),
            [nearest(self.X, np.full(7, 0.1))],
        ]

    def test_same_results(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = self.results()
        distances = distance_to_nearest(self.X, np.array([1, 2, 3]))
        monkeypatch.setattr(selection, "CHUNK_VALUES", 1)
        assert self.results() == whole
        np.testing.assert_allclose(distance_to_nearest(self.X, np.array([1, 2, 3])), distances, atol=1e-6)

    def test_against_plain_distances(self) -> None:
        picked = np.array([1, 20, 33])
        plain = np.linalg.norm(self.X[:, None].astype(np.float64) - self.X[picked], axis=2).min(1)
        np.testing.assert_allclose(distance_to_nearest(self.X, picked), plain, atol=1e-6)
        assert nearest(self.X, self.X[17]) == 17

    def test_inputs_are_not_changed(self) -> None:
        before = self.X.tobytes()
        self.results()
        assert self.X.tobytes() == before


def test_duplicates_are_taken_in_order_when_nothing_else_is_left() -> None:
    X = np.zeros((5, 2))
    assert farthest_first(X, [2], 4) == [0, 1, 3, 4]
    assert herding_mean(X, 5).tolist() == [0, 1, 2, 3, 4]
    assert herding_welling(X, 3).tolist() == [0, 0, 0]
    assert herding_welling(X, 3, repeats=False).tolist() == [0, 1, 2]


@pytest.mark.parametrize("k", [0, 6])
def test_impossible_k_is_refused(k: int) -> None:
    X = np.ones((5, 2))
    for select in (
        lambda: kmeans_medoids(X, k, 0),
        lambda: k_center_greedy(X, k, 0),
        lambda: herding_mean(X, k),
        lambda: herding_welling(X, k, repeats=False),
    ):
        with pytest.raises(ValueError, match="k must be"):
            select()
