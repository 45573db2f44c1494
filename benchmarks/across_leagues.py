"""What rows of different leagues reached on the same test rows, side by side, with paired differences to one of them.

    python benchmarks/across_leagues.py OUT [--against kcenters]

A board ranks no row against one of another league: learned labels, step sizes and vectors can say more than texts.
This table does not rank either. It answers what the paper's Table 1 asks with all in one column: did the learner
trained on the one set label the test rows better than that trained on the other? Differences are paired by the
learner's seed: replicates with the same set and run number, of the same student with whatever recipe, began from the
same head (but for sets that name a head of their own). 95 % t intervals over sets, conditional on the test rows,
without a correction for many.
"""

from __future__ import annotations

import argparse

import bench
from leaderboard.board import Row, dpc_text
from leaderboard.figures import difference_text, interval_text, percent, seconds, size
from leaderboard.statistics import paired_difference


def alike(one: Row, other: Row) -> bool:
    """Whether two rows have the same student, by whatever recipe it is trained."""
    return one.student == other.student or (one.learner != "" and one.learner == other.learner)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--against", default="kcenters", help="method of the rows that others are compared with")
    options = parser.parse_args()
    board = bench.results(options.out).board().board
    rows = [row for row in board.rows if row.summary is not None and row.league and not row.outdated]
    for task, dpc in dict.fromkeys((row.task, row.dpc) for row in rows):
        here = sorted((row for row in rows if (row.task, row.dpc) == (task, dpc)), key=lambda row: -row.summary.mean)  # type: ignore[union-attr]
        print(f"\n{task}, {dpc_text(dpc)}\n")
        print(f"| league | method | student | score, % [95 %] | sets | vs {options.against} | s a set | size |")
        print("|---|---|---|---|---|---|---|---|")
        for row in here:
            assert row.summary is not None
            base = next((each for each in here if each.method == options.against and alike(each, row)), None)
            found = None if base is None or row is base else paired_difference(row.scores, base.scores)
            cells = [
                str(row.league),
                row.method,
                row.student,
                f"{percent(row.summary.mean)} {interval_text(row.summary.interval)}".strip(),
                str(row.summary.n_sets),
                difference_text(found) if found is not None else "–",
                seconds(row.cost.total) if row.cost is not None else "–",
                size(row.n_bytes) if row.n_bytes is not None else "–",
            ]
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
