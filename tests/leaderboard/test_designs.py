"""What planned cells can tell apart, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.errors import UserError
from leaderboard.board import Board, build
from leaderboard.designs import Planned, separations, smallest
from leaderboard.resolution import ASSUMED, Design, detectable
from tests.leaderboard.records import GOLD, cell, gold_labels, pocket


def planned(method: str, sets: int = 5, runs: int = 2, dpc: int | None = 5, task: str = "rt") -> Planned:
    return Planned(task, dpc, "minilm", method, 1 if method == "herding" else sets, sets * runs)


BOARD = build(pocket(), gold=gold_labels)
EMPTY = build([])
ITEMS = {"rt": len(GOLD)}


def test_a_line_for_each_block_with_where_its_spread_is_from() -> None:
    cells = [planned("random"), planned("kcenters"), planned("herding"), planned("full", dpc=None)]
    ((*place, least, source),) = smallest(cells, BOARD, ITEMS)
    assert place == ["rt", "5", "minilm", "5 x 2", "10000"]
    assert source == "3 earlier pairs"
    assert 1 < float(least) < 15
    (other,) = smallest([planned("random", dpc=3), planned("kcenters", dpc=3)], BOARD, ITEMS)
    assert other[-1] == "6 earlier pairs at other dpc"


def test_without_earlier_results_the_spread_is_assumed() -> None:
    (line,) = smallest([planned("random"), planned("kcenters")], EMPTY, {})
    least = 100 * detectable(ASSUMED, Design(5, 2, 400))
    assert line[3:] == ("5 x 2", "400 assumed", f"{least:.1f}", "assumed")


def test_more_sets_separate_less_and_few_nothing() -> None:
    lines = [smallest([planned("random", n), planned("kcenters", n)], BOARD, ITEMS)[0][-2] for n in (5, 20)]
    assert float(lines[1]) < float(lines[0])
    (few,) = smallest([planned("random", 2), planned("kcenters", 2)], BOARD, ITEMS)
    assert few[-2] == "nothing: fewer than 3 sets"


def test_a_method_alone_is_compared_with_nothing() -> None:
    assert smallest([planned("random"), planned("random", task="bbc")], BOARD, ITEMS) == []


def separated(wanted: str, board: Board = BOARD, **size: int) -> list[str]:
    methods = ("random", "kcenters", "herding")
    return separations(wanted, [planned(method, **size) for method in methods], board, ITEMS)


def test_what_would_separate_two_methods_is_said() -> None:
    head, line = separated("kcenters,herding", sets=3, runs=1)
    assert head == "\nkcenters less herding:"
    assert line.startswith("rt dpc 5 minilm: +")
    assert "in 8 of 10 cases separated by " in line
    assert " sets a method (now 3)" in line
    head, line = separated("kcenters,random", sets=200)
    assert line.endswith("this plan separates such a difference in 8 of 10 cases or more")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("random", "--separate random: name two methods of the output folder"),
        ("random,kcentres", "no method 'kcentres' in the output folder; did you mean 'kcenters'?"),
        ("random,kcenters,herding", "name two methods"),
    ],
)
def test_what_is_no_pair_is_said(wanted: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        separated(wanted)
    assert said in str(caught.value)


def test_a_pair_that_no_planned_cell_has_is_said() -> None:
    with pytest.raises(UserError, match="no planned cell has earlier results of both"):
        separations("random,kcenters", [planned("random", dpc=7)], BOARD, ITEMS)


def prepared(n: int) -> Board:
    """Earlier results of kcenters with so many preparations (0: it has none), and of random."""
    records = cell("random", n_sets=6, task="rt")
    records += [replace(one, preparation=one.set % n if n else None) for one in cell("kcenters", n_sets=6, task="rt")]
    return build(records, gold=gold_labels)


def test_preparations_have_a_line_of_their_own() -> None:
    cells = [planned("random", 6), planned("herding", 6), replace(planned("kcenters", 6), preparations=3)]
    lines = smallest(cells, prepared(3), ITEMS)
    assert [line[3] for line in lines] == ["6 x 2", "3 preparations x 4"]
    assert lines[1][-1] == "1 earlier pair"
    assert float(lines[1][-2]) > 0
    few = smallest([cells[0], replace(cells[2], preparations=2)], prepared(3), ITEMS)
    assert [line[-2] for line in few] == ["nothing: fewer than 3 preparations"]


def test_what_would_separate_is_of_preparations_where_they_are_planned_and_known() -> None:
    plan = [planned("random", 6), replace(planned("kcenters", 6), preparations=3)]
    _, line = separations("kcenters,random", plan, prepared(3), ITEMS)
    assert "preparations a method (now 3)" in line or "this plan separates" in line
    for cells, board in ((plan, prepared(0)), ([planned("random", 6), planned("kcenters", 6)], prepared(3))):
        _, line = separations("kcenters,random", cells, board, ITEMS)
        assert line.endswith("of another number of preparations than planned: nothing to go by")
