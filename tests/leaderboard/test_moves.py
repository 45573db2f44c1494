"""Two folders cell by cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.store.predictions import encode
from bench.store.record import Record
from leaderboard.moves import Moves, moves
from tests.leaderboard.records import GOLD, cell, task_card
from tests.leaderboard.test_replication import store_of


def compared(tmp_path: Path, one: list[Record], other: list[Record]) -> Moves:
    card = task_card()
    return moves(store_of(tmp_path / "one", one, card), store_of(tmp_path / "other", other, card))


def shifted(records: list[Record], by: float) -> list[Record]:
    """The same replicates, whose students get so many more test rows right."""
    found = []
    for one in records:
        assert one.score is not None
        score = round(one.score + by, 4)
        labels = np.array(GOLD)
        labels[round(score * len(GOLD)) :] ^= 1
        found.append(replace(one, score=score, metrics={"accuracy": score}, predictions=encode(labels)))
    return found


def test_the_same_results_have_not_moved(tmp_path: Path) -> None:
    records = [replace(one, set_digest=f"d{one.set}") for one in cell("random")]
    (found,) = compared(tmp_path, records, records).cells
    assert (found.verdict, found.replicates, found.equal, found.equal_sets) == ("same", 10, 10, 10)


def test_what_moved_is_said_with_its_size(tmp_path: Path) -> None:
    records = cell("random")
    later = [shifted([one], 0.03 + 0.002 * (-1) ** one.set)[0] for one in records]
    (found,) = compared(tmp_path, records, later).cells
    assert (found.verdict, found.equal, found.equal_sets) == ("moved", 0, None)
    assert found.difference is not None
    assert round(found.difference.mean, 3) == 0.03


def test_a_change_within_the_noise_is_told_from_none(tmp_path: Path) -> None:
    records = cell("random")
    noise = [shifted([one], 0.004 * (-1) ** (one.set + one.run // 2))[0] for one in records]
    (found,) = compared(tmp_path, records, noise).cells
    assert (found.verdict, found.equal) == ("not separated", 0)
    (found,) = compared(tmp_path / "few", records[:4], shifted(records[:4], 0.03)).cells
    assert (found.verdict, found.replicates) == ("undecided", 4)


def test_cells_of_one_folder_and_other_data_are_named(tmp_path: Path) -> None:
    both, mine = cell("random"), cell("kcenters")
    found = compared(tmp_path, [*both, *mine], [replace(one, environment={"torch": "2.13.0"}) for one in both])
    assert found.alone == (("bbc dpc 5 kcenters minilm",), ())
    assert "torch: 2.6.0; 2.13.0" in found.environment
    assert "python: 3.11.9; not noted" in found.environment
    other = task_card(test_labels=tuple(1 - label for label in GOLD))
    turned = [replace(one, predictions=encode(1 - one.predictions.labels())) for one in both if one.predictions]
    found = moves(
        store_of(tmp_path / "a", both, task_card()),
        store_of(tmp_path / "b", [replace(one, task=replace(one.task, revision="r2")) for one in turned], other),
    )
    assert (found.cells, found.other_data) == ((), ("bbc",))
