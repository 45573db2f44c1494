"""What rows of different leagues reached on the same test rows, side by side, with paired differences to one of them.

    python benchmarks/across_leagues.py OUT [--against kcenters]

First all tasks in one table, a column a task and dpc: percent, and the difference to the row compared with. Then each
task by itself, with intervals of the scores and what a set takes.

A board ranks no row against one of another league: learned labels, step sizes and vectors can say more than texts.
This table does not rank either. It answers what the paper's Table 1 asks with all in one column: did the learner
trained on the one set label the test rows better than that trained on the other? Differences are paired by the
learner's seed: replicates with the same set and run number, of the same student with whatever recipe, began from the
same head (but for sets that name a head of their own). 95 % t intervals over sets, conditional on the test rows,
without a correction for many.
"""

from __future__ import annotations

import argparse
import sys
from statistics import fmean

import bench
from leaderboard.figures import difference_text, interval_text, percent, seconds, size
from leaderboard.row import Row, dpc_text
from leaderboard.statistics import Difference, paired_difference


def alike(one: Row, other: Row) -> bool:
    """Whether two rows have the same student, by whatever recipe it is trained."""
    return one.student == other.student or (one.learner != "" and one.learner == other.learner)


def compared(row: Row, against: str, rows: list[Row]) -> Difference | None:
    """The row's difference to the row of the method `against` with a student alike, None where there is none."""
    found = (each for each in rows if each.method == against and alike(each, row))
    base = next((each for each in found if (each.task, each.dpc) == (row.task, row.dpc)), None)
    return None if base is None or row is base else paired_difference(row.scores, base.scores)


def mean(row: Row) -> float:
    assert row.summary is not None
    return row.summary.mean


def overview(rows: list[Row], against: str) -> list[str]:
    """The lines of one table of all rows: what has most cells first, then by the mean of its cells."""
    places = list(dict.fromkeys((row.task, row.dpc) for row in rows))
    lines: dict[tuple[str, str, str], dict[tuple, Row]] = {}
    for row in rows:
        lines.setdefault((str(row.league), row.method, row.student), {})[row.task, row.dpc] = row
    head = ["league", "method", "student", *(f"{task}, {dpc_text(dpc)}" for task, dpc in places)]
    found = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for names, cells in sorted(lines.items(), key=lambda item: (-len(item[1]), -fmean(map(mean, item[1].values())))):
        texts = []
        for place in places:
            cell = cells.get(place)
            difference = None if cell is None else compared(cell, against, rows)
            tail = "" if difference is None else f" ({difference_text(difference)})"
            texts.append("–" if cell is None else f"{percent(mean(cell))}{tail}")
        found.append(f"| {' | '.join([*names, *texts])} |")
    return found


def one_task(rows: list[Row], against: str) -> list[str]:
    """The lines of the table of one task and dpc, best first."""
    found = [
        f"| league | method | student | score, % [95 %] | sets | vs {against} | s a set | size |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=mean, reverse=True):
        assert row.summary is not None
        difference = compared(row, against, rows)
        cells = [
            str(row.league),
            row.method,
            row.student,
            f"{percent(row.summary.mean)} {interval_text(row.summary.interval)}".strip(),
            str(row.summary.n_sets),
            difference_text(difference) if difference is not None else "–",
            seconds(row.cost.total) if row.cost is not None else "–",
            size(row.n_bytes) if row.n_bytes is not None else "–",
        ]
        found.append(f"| {' | '.join(cells)} |")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--against", default="kcenters", help="method of the rows that others are compared with")
    options = parser.parse_args()
    try:
        board = bench.results(options.out).board().board
    except bench.UserError as error:
        sys.exit(str(error))
    rows = [row for row in board.rows if row.summary is not None and row.league and not row.outdated]
    methods = list(dict.fromkeys(row.method for row in rows))
    if options.against not in methods:
        sys.exit(f"no finished row of '{options.against}' in {options.out} to compare with; --against one of {methods}")
    print(f"In brackets: the difference to {options.against}.\n")
    print("\n".join(overview(rows, options.against)))
    for task, dpc in dict.fromkeys((row.task, row.dpc) for row in rows):
        print(f"\n{task}, {dpc_text(dpc)}\n")
        print("\n".join(one_task([row for row in rows if (row.task, row.dpc) == (task, dpc)], options.against)))


if __name__ == "__main__":
    main()
