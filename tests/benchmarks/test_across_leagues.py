"""The table over leagues of the kept folder: figures of its records, differences of replicates with one seed."""

from __future__ import annotations

import json
import runpy
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "leaderboard" / "results" / "embedding-level"


def table(lines: list[str]) -> list[dict[str, str]]:
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


class Replicates:
    """Of one task, dpc and method: the score of each set and run, and the sets' digests."""

    def __init__(self) -> None:
        self.scores: dict[tuple[int, int], float] = {}
        self.digests: dict[int, str] = {}

    @property
    def mean(self) -> str:
        return f"{100 * np.mean(list(self.scores.values())):.1f}"

    @property
    def distinct(self) -> bool:
        """Whether no two sets are equal: only then are all replicates of equal weight in a difference."""
        return len(set(self.digests.values())) == len(self.digests)


def replicates() -> dict[tuple[str, int, str], Replicates]:
    planned = json.loads((KEPT / "results" / "plan.json").read_text(encoding="utf-8"))
    label = {cell["key"]: cell["method"] for cell in planned}  # as the last run named it, which may be a later one
    found: dict[tuple[str, int, str], Replicates] = defaultdict(Replicates)
    for line in (KEPT / "results" / "records.jsonl").read_text(encoding="utf-8").splitlines():
        r = json.loads(line)
        if r["status"] == "ok":
            one = found[r["task"]["label"], r["dpc"], label[r["cell"]]]
            one.scores[r["set"], r["run"]], one.digests[r["set"]] = r["score"], r["set_digest"]
    return found


def test_both_tables_have_the_figures_of_the_records(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["across_leagues.py", str(KEPT)])
    runpy.run_path(str(ROOT / "benchmarks" / "across_leagues.py"), run_name="__main__")
    head, wide, *parts = capsys.readouterr().out.split("\n\n")
    assert head == "In brackets: the difference to kcenters."
    overview = table(wide.splitlines())
    alone = {name.strip(): table(lines.splitlines()) for name, lines in zip(parts[::2], parts[1::2], strict=True)}
    found, compared = replicates(), 0
    for (task, dpc, method), own in found.items():
        (row,) = [row for row in alone[f"{task}, dpc {dpc}"] if row["method"] == method]
        (cells,) = [row for row in overview if row["method"] == method]
        score, _, difference = cells[f"{task}, dpc {dpc}"].partition(" ")
        assert score == row["score, % [95 %]"].split(" ")[0] == own.mean
        assert difference.strip("()") == row["vs kcenters"].replace("–", "")
        base = found[task, dpc, "kcenters"]
        if method != "kcenters" and own.distinct and base.distinct and own.scores.keys() == base.scores.keys():
            mean = np.mean([own.scores[each] - base.scores[each] for each in own.scores])
            assert row["vs kcenters"].split(" ")[0] == f"{100 * mean:+.1f}"
            compared += 1
    assert compared > 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no results in nowhere: make some with `bench run --out nowhere`"),
        (
            [str(KEPT), "--against", "kcentres"],
            f"no finished row of 'kcentres' in {KEPT} to compare with; --against one",
        ),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["across_leagues.py", *arguments])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "benchmarks" / "across_leagues.py"), run_name="__main__")
    assert str(caught.value).startswith(said)
