"""Sentences beside the tables: what is missing or marked, how to read the figures, how they were measured."""

from __future__ import annotations

from dataclasses import dataclass

from leaderboard.board import Board
from leaderboard.cells import counted
from leaderboard.figures import ONE_RUN, ONE_SET, OTHER_SETS, OUTDATED, OVERLAP, PREPARED, UNKNOWN, WHITE
from leaderboard.statistics import FEWEST_SETS
from leaderboard.transfer import are_transferred

SAMPLED = (
    "Sets and test rows are both taken as samples: what other sets and what other test rows would change is in it, "
    "each part with the Student quantile of its own number."
)
CORRECTED = {
    "none": "Each comparison stands alone: no correction for many.",
    "holm": "Verdicts are corrected (Holm) for the comparisons within a task, student and dpc, ranks for all pairs "
    "there; intervals are not.",
}
GIVEN = "Intervals, verdicts and ranks hold for these test rows: what other test rows would change is not in them."


@dataclass(frozen=True)
class Remarks:
    """A titled list of lines. `urgent`: whoever reads the figures should know it first."""

    title: str
    lines: tuple[str, ...]
    urgent: bool = False


def remarks(board: Board) -> list[Remarks]:
    """What the rows alone do not say; only lists that have a line."""
    found = [
        Remarks("Sets that repeat test texts", board.overlaps, urgent=True),
        Remarks("Holes", board.holes, urgent=True),
        Remarks("Not applicable", board.not_applicable),
        Remarks("Notes", (*choice_notes(board), *board.notes)),
    ]
    return [one for one in found if one.lines]


def choice_notes(board: Board) -> list[str]:
    """What is not shown, and that it is compared all the same; nothing when all is shown."""
    n = len(board.hidden) + board.n_elsewhere
    if not n:
        return []
    asked = "; ".join(f"{kind} {', '.join(values)}" for kind, values in board.scope.by_kind().items())
    notes = [f"Only a part of these results, by choice ({asked}): {counted(n, 'row')} not shown."]
    blocks = {row.block for row in board.rows}
    if methods := sorted({row.method for row in board.hidden if row.block in blocks}):
        notes.append(
            "Ranks, verdicts and corrections are among all methods of these results, also those that are not shown: "
            f"{', '.join(methods)}."
        )
    return notes


def protocol(board: Board, page: bool = False) -> Remarks:
    """How to read the figures, and under which conditions they were measured; one sentence or two a line.

    page: also of the columns that a page alone has.
    """
    shown = [part for row in board.rows for part in (row.summary, row.difference) if part is not None]
    items = all(part.interval.items for part in shown if part.interval is not None)
    lines = [
        "a±b: mean and standard deviation (ddof 0) over runs, in percent.",
        "[low, high]: 95 % interval of the mean. Runs that trained on one distilled set, or on equal ones, count as "
        f"one observation: scores are averaged per set first. {SAMPLED if items else GIVEN}",
        f"{ONE_SET} one set only: what another set would change is not in the interval.",
    ]
    if any(part.interval is not None and part.interval.over == "items" for part in shown):
        lines.append(
            f"{ONE_RUN} a single run, or runs that all agree: only what other test rows would change is in it."
        )
    if board.baseline is not None:
        lines.append(
            f"vs {board.baseline}: paired difference (replicates with the same learner seed, on the same test rows) "
            "with its 95 % interval; above and below are separated from it, tie is not; undecided: neither "
            f"side has {FEWEST_SETS} different sets (or preparations), or there is no spread at all. "
            f"{CORRECTED[board.correction]}"
        )
    if any(part.interval is None for part in shown):
        lines.append("No interval: nothing was repeated at random (a single run), or all sets or runs score the same.")
    lines += [
        "rank: from 1 + the rows that are separated above to the number of rows less those separated below, by "
        "paired differences within task, student and dpc; rows there that share a letter are not separated (a tie, or "
        "undecided).",
        "ok: replicates that finished, of those planned; only these enter a figure. A star marks an incomplete cell.",
    ]
    if any(row.near_test for row in board.rows):
        lines.append(f"{OVERLAP} some examples of its sets repeat test texts, word for word or nearly.")
    if any(row.summary is not None and row.summary.n_preparations is not None for row in board.rows):
        lines.append(
            "sets, 6 of 3: six sets of three prepared artifacts (generators trained with three seeds, say). Those of "
            "one count as one observation, like the runs of one set, so what preparing it again would change is in the "
            "interval and in verdicts, which need three preparations."
        )
    if any(row.prepared_once for row in board.rows):
        lines.append(
            f"{PREPARED} all its sets come from one prepared artifact (a trained generator, say): what preparing it "
            "again would change is not in the interval, nor in a verdict."
        )
    unknown = dict.fromkeys(row.method for row in board.rows if row.prepared_once is None)
    if unknown:
        lines.append(
            f"Whether all their sets come from one prepared artifact ({PREPARED}) was not noted (older records, "
            f"imported sets) of: {', '.join(unknown)}."
        )
    if any(row.outdated for row in board.rows):
        lines.append(f"{OUTDATED} scored by another version of the student than its neighbours: compared with nothing.")
    if any(row.box in ("white", "black") for row in board.rows):
        lines.append(
            "box: white, the set was made with a pretrained model whose weights the student has too, which favours it; "
            "black, with other models only; none, with no pretrained model; – not known (older records, imported "
            "sets). Models are told apart by their weights, not by what they were trained on."
        )
    if are_transferred(board):
        lines += [
            "Transfer: a league stands beside each student; scores of two leagues are measured in two ways. "
            f"{WHITE.strip()}: white box, {UNKNOWN} not known, no mark: black box or no model. (1–3): the rank under "
            f"that student among the rows that all students scored whole, on the same sets; {OTHER_SETS} not the same "
            "sets.",
            "Transfer describes: no difference between students is tested, and a mean over students holds for these "
            "students alone.",
        ]
    if any(row.cost is not None for row in board.rows):
        lines.append(
            "s a set: seconds to make a set, all in: distilling it, and its share of what was prepared for several (a "
            "trained generator, say) and of the frozen features, each shared out over the sets here that use it."
        )
    if page and any(row.distil_memory or row.student_memory for row in board.rows):
        lines.append(
            "peak memory: the most that was resident in a worker while it made a set, or what sets are made of, and "
            "while the student trained: libraries, and what earlier jobs left there, included. A machine must have it."
        )
    if page and any(row.chosen_on is not None for row in board.rows):
        lines.append("chosen on: the rows that a method chose its sets or settings by, as it says itself.")
    if page and any(row.train_share is not None for row in board.rows):
        lines.append("train copies: the part of the examples whose texts are those of a train row, word for word.")
    if any(row.gap is not None for row in board.rows):
        lines.append(f"gap closed: (score - {board.baseline}) / (all data - {board.baseline}).")
    if any(row.equivalent is not None for row in board.rows):
        lines.append(
            "as random dpc: how many random examples a class train as well, between the measured sizes along the "
            "logarithm of their number; [low, high]: the sizes that the paired 95 % interval does not reject, each by "
            "itself (no correction). Beyond the measured sizes it is open (≤, >)."
        )
    if any(row.mark is not None for row in board.rows):
        lines.append(
            f"{board.ledger}: the published number of the method on this task at this dpc, ranked nowhere; its student "
            "beside it, and its own name where it is a variant. `bench compare` says in which fields one that is "
            "not comparable differs."
        )
    elif board.ledger is not None:
        lines.append(f"{board.ledger} has no number of these methods on these tasks at these dpc.")
    if board.references:
        lines.append(
            "reference: a row of another league, whose sets hold less: to see where the others stand, ranked nowhere "
            "here and compared with nothing. A student beside it is another recipe of the one here."
        )
    return Remarks("How to read this", (*lines, *conditions(board)))


def conditions(board: Board) -> list[str]:
    """Suites, seeds and versions that the records name."""
    seeds = ", ".join(map(str, board.base_seeds))
    return [
        f"Suite {', '.join(board.suites)}; base seed {seeds}; newest record {board.finished}.",
        *(f"Measured with {environment}." for environment in board.environments),
    ]
