"""DD-Ranking's numbers against values worked out from published SST-2 rows."""

from __future__ import annotations

import pytest

from leaderboard.dd_ranking import dd_ranking

FULL = 0.927
RANDOM = (0.581, 0.643, 0.703)  # dpc 5, 10, 20


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.708, 0.759, 0.798), (0.2498, 0.2580, 0.2618)),  # K-centers
        ((0.725, 0.763, 0.803), (0.2568, 0.2597, 0.2639)),  # gen-distill
        ((0.772, 0.799, 0.824), (0.2767, 0.2749, 0.2728)),  # CondenseLM
    ],
)
def test_lrs_of_published_rows(scores: tuple[float, ...], expected: tuple[float, ...]) -> None:
    for score, random, lrs in zip(scores, RANDOM, expected, strict=True):
        assert dd_ranking(score, random, FULL).lrs == pytest.approx(lrs, abs=5e-5)


def test_ends_and_signs() -> None:
    assert dd_ranking(0.7, 0.5, 0.9) == (
        pytest.approx(0.2),
        pytest.approx(0.2),
        pytest.approx(dd_ranking(0.5, 0.5, 0.5).lrs),
    )
    best, worst = dd_ranking(1.0, 0.0, 1.0), dd_ranking(0.0, 1.0, 1.0)
    assert (best.hlr, best.ior) == (0.0, 1.0)
    assert (worst.hlr, worst.ior) == (1.0, -1.0)
    assert worst.lrs == 0.0
    assert best.lrs < 1.0, "alpha = 1 would need a score above all data"
