"""Board -> LaTeX tables for a paper: one a league and student, methods x (task, dpc), with notes below."""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from bench.store.text import one_line, shown
from leaderboard.board import Board
from leaderboard.cells import counted
from leaderboard.columns import tells_boxes
from leaderboard.escape import latex_text
from leaderboard.figures import NOTHING, mark_text, mixed_text, percent, row_state
from leaderboard.protocol import GIVEN, SAMPLED, choice_notes, conditions
from leaderboard.row import METRICS, Row, missing
from leaderboard.statistics import FEWEST_SETS
from leaderboard.tables import UNRANKED, league_title

ABSENT = latex_text(NOTHING)  # in place of a score
NOTE = 200  # characters of a note
BOLD = {
    "none": "does not lie below zero. Each comparison stands alone: no correction for many.",
    "holm": "does not lie below zero, or does so only before Holm's correction for all pairs of the column.",
}


@dataclass(frozen=True)
class Sheet:
    """The rows of one table; no league: of a student that nothing has a score under."""

    league: str | None
    student: str
    rows: tuple[Row, ...]

    @cached_property
    def columns(self) -> dict[str, list[int]]:
        """Task -> dpc, ascending; none where only rows of all data or no data are."""
        found: dict[str, set[int]] = {}
        for row in sorted(self.rows, key=lambda row: row.task):
            found.setdefault(row.task, set()).update([] if row.dpc is None else [row.dpc])
        return {task: sorted(dpcs) for task, dpcs in found.items()}

    @cached_property
    def usual(self) -> tuple[int, int] | None:
        """Runs and different sets of most scores, of those with several sets where there are any; None without one."""
        scored = [row for row in self.rows if row.summary is not None]
        whole = [row for row in scored if row.complete and row.dpc is not None] or scored
        counts = Counter((row.summary.n_runs, row.summary.n_sets) for row in whole if row.summary is not None)
        return max(counts, key=lambda each: (each[1] > 1, counts[each], each), default=None)


@dataclass
class Notes:
    """Notes that marks in a table lead to: a letter a text, in order of their first use."""

    letters: dict[str, str] = field(default_factory=dict)
    absent: bool = False  # whether a cell has no row

    def mark(self, texts: Iterable[str]) -> str:
        r"""`\textsuperscript{a,c}`, or nothing."""
        found = [self.letters.setdefault(text, _letter(len(self.letters))) for text in texts]
        return rf"\textsuperscript{{{','.join(found)}}}" if found else ""


def _letter(number: int) -> str:
    """a, ..., z, aa, ab, ..."""
    return (_letter(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def latex(board: Board) -> str:
    """The tables as a file for `\\input`: ASCII but for its comments; booktabs is the one package that it needs."""
    options = [(f"--{kind}", value) for kind, values in board.scope.by_kind().items() for value in values]
    options += [("--correction", board.correction)] if board.correction != "none" else []
    command = shlex.join(
        ["bench", "leaderboard", "OUT", "--format", "latex", *(each for pair in options for each in pair)]
    )
    lines = [
        _comment(r"Needs \usepackage{booktabs} and no other package."),
        _comment(f"Made by `{command}`, OUT being the folder of the results."),
        *map(_comment, board.notes),
    ]
    known: Counter[str] = Counter()
    for sheet in sheets(board):
        name = re.sub("[^a-z0-9]+", "-", f"bench-{sheet.league or 'none'}-{sheet.student}".lower()).strip("-")
        known[name] += 1
        lines += ["", *_table(board, sheet, name if known[name] == 1 else f"{name}--{known[name]}")]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    """On one line, whatever the text is."""
    return f"% {shown(text)}".replace("\n", " ")


def sheets(board: Board) -> list[Sheet]:
    """In order of league and student. A row without a league stands where others of its method do, or else first."""
    of_student, of_method = defaultdict[str, set[str]](set), defaultdict[tuple[str, str], set[str]](set)
    for row in board.rows:
        if row.league is not None:
            of_student[row.student].add(row.league)
            of_method[row.student, row.method].add(row.league)
    found: dict[tuple[str | None, str], list[Row]] = defaultdict(list)
    for row in board.rows:
        leagues: Sequence[str | None] = [row.league]
        if row.league is None:
            leagues = sorted(of_method[row.student, row.method]) or sorted(of_student[row.student])[:1] or [None]
        for league in leagues:
            found[league, row.student].append(row)
    order = sorted(found, key=lambda place: (place[0] is None, place[0] or "", place[1]))
    return [Sheet(*place, tuple(found[place])) for place in order]


def _table(board: Board, sheet: Sheet, name: str) -> list[str]:
    notes = Notes()
    columns = sheet.columns
    widths = {task: max(1, len(dpcs)) for task, dpcs in columns.items()}
    body = [_line(sheet, method, notes) for method in _methods(board, sheet)]
    foot = [_foot(sheet, method, widths, notes) for method in _whole(sheet)]
    if body and foot:
        body.append(r"\midrule")
    heads = [rf"\multicolumn{{{width}}}{{c}}{{{latex_text(task)}}}" for task, width in widths.items()]
    rules, first = [], 2
    for width in widths.values():
        rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    dpcs = [f"dpc {dpc}" if dpc else "" for each in columns.values() for dpc in each or [0]]
    return [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_text(_caption(sheet))}}}",
        rf"\label{{tab:{name}}}",
        rf"\begin{{tabular}}{{l{'c' * sum(widths.values())}}}",
        r"\toprule",
        _cells(["", *heads]),
        " ".join(rules),
        _cells(["method", *dpcs]),
        r"\midrule",
        *body,
        *foot,
        r"\bottomrule",
        r"\end{tabular}",
        "",
        r"\smallskip",
        r"\begin{minipage}{\linewidth}\footnotesize\raggedright",
        *(rf"{latex_text(text)}\par" for text in _legend(board, sheet)),
        *([rf"{ABSENT}: not among these results.\par"] if notes.absent else []),
        *(rf"\textsuperscript{{{letter}}} {latex_text(text)}\par" for text, letter in notes.letters.items()),
        *(rf"{latex_text(text)}\par" for text in [*choice_notes(board), *conditions(board)]),
        r"\end{minipage}",
        r"\end{table}",
    ]


def _cells(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _methods(board: Board, sheet: Sheet) -> list[str]:
    """The methods with a dpc in the order of the board's choice, or by their mean; those with a hole in it last."""
    columns = sum(map(len, sheet.columns.values()))
    means: dict[str, list[float]] = {}
    for row in sheet.rows:
        if row.dpc is not None:
            mine = means.setdefault(row.method, [])
            mine += [row.summary.mean] if row.summary and row.complete and not row.outdated else []
    places = board.scope.places({(row.method, row.method_name) for row in (*board.rows, *board.hidden)})

    def order(method: str) -> tuple[int, bool, float, str]:
        whole = len(means[method]) == columns
        return (places.get(method, 0), not whole, -sum(means[method]) if whole else 0.0, method)

    return sorted(means, key=order)


def _whole(sheet: Sheet) -> list[str]:
    """The methods with rows of all data or no data."""
    return sorted({row.method for row in sheet.rows if row.dpc is None})


def _line(sheet: Sheet, method: str, notes: Notes) -> str:
    rows = {(row.task, row.dpc): row for row in sheet.rows if row.method == method}
    places = [(task, dpc) for task, dpcs in sheet.columns.items() for dpc in dpcs or [0]]
    return _cells([latex_text(method), *(_score(sheet, rows.get(place), notes) for place in places)])


def _foot(sheet: Sheet, method: str, widths: dict[str, int], notes: Notes) -> str:
    rows = {row.task: row for row in sheet.rows if row.method == method and row.dpc is None}
    sizes = {row.size for row in rows.values() if row.summary is not None or row.is_full}
    size = f" ({' or '.join(sorted(sizes))} data)".replace("none", "no") if sizes else ""
    scores = (
        rf"\multicolumn{{{width}}}{{c}}{{{_score(sheet, rows.get(task), notes)}}}" for task, width in widths.items()
    )
    return _cells([latex_text(method + size), *scores])


def _score(sheet: Sheet, row: Row | None, notes: Notes) -> str:
    if row is None:
        notes.absent = True
        return ABSENT
    if row.summary is None:
        said = f"{row_state(row)}: {row.reason}" if row.reason and row.applicable else row_state(row)
        return ("n/a" if not row.applicable else ABSENT) + notes.mark([one_line(said, NOTE)])
    mean = percent(row.summary.mean)
    if row.to_best in ("tie", "above"):
        mean = rf"\textbf{{{mean}}}"
    return rf"{mean}$\pm${percent(row.summary.std)}{notes.mark(_remarks(sheet, row))}"


def _remarks(sheet: Sheet, row: Row) -> list[str]:
    """How a score is not to be read like most of its table."""
    assert row.summary is not None
    found = []
    if (row.summary.n_runs, row.summary.n_sets) != sheet.usual:
        found.append(f"Over {_over(row.summary.n_runs, row.summary.n_sets)}.")
    if row.summary.n_preparations is not None:
        found.append(f"Its sets are of {row.summary.n_preparations} prepared artifacts, each one observation for bold.")
    if lack := missing(row):
        found.append(one_line(f"Incomplete: {lack}", NOTE) if not row.mixed else f"{mixed_text(row)}, so never bold.")
    if row.near_test:
        found.append("Some examples of its sets repeat test texts, word for word or nearly.")
    if row.prepared_once:
        found.append(
            "All its sets come from one prepared artifact: what preparing it again would change is not in ± or bold."
        )
    if row.mark is not None:
        found.append(f"Published ({row.mark.number.where}): {mark_text(row)}.")
    if row.outdated:
        found.append("Scored by another version of the student than its neighbours: compared with nothing, never bold.")
    if row.to_best == "undecided":
        found.append(
            "Not bold, for want of a comparison with (or of) the best of its column: fewer than "
            f"{FEWEST_SETS} different sets (or preparations) on both sides, no spread at all, or no replicate in "
            "common."
        )
    return found


def _over(runs: int, sets: int) -> str:
    if sets == 1:
        return f"{counted(runs, 'run')} on one set: what another set would change is not in ±"
    return f"{counted(runs, 'run')} on {sets} different sets"


def _caption(sheet: Sheet) -> str:
    """`Accuracy in percent of student minilm, league A (text, hard labels)`."""
    tasks: dict[str, list[str]] = {}
    for row in sorted(sheet.rows, key=lambda row: row.task):
        mine = tasks.setdefault(METRICS.get(row.metric, row.metric), [])
        mine += [row.task] if row.task not in mine else []
    names = [name if len(tasks) == 1 else f"{name} ({', '.join(mine)})" for name, mine in tasks.items()]
    metric = "; ".join(names)
    if sheet.league is None:
        return f"{metric[:1].upper()}{metric[1:]} of student {sheet.student}. {UNRANKED}: nothing has a score."
    letter, _, title = league_title(sheet.league).partition(": ")
    return f"{metric[:1].upper()}{metric[1:]} in percent of student {sheet.student}, league {letter} ({title})."


def _legend(board: Board, sheet: Sheet) -> list[str]:
    """What ± and bold say, and how many test rows there are."""
    found = []
    if sheet.usual is not None:
        found.append(f"a±b: mean and standard deviation (ddof 0), over {_over(*sheet.usual)}, unless marked.")
    if any(row.to_best is not None for row in sheet.rows):
        intervals = [row.summary.interval for row in sheet.rows if row.summary is not None]
        items = all(each.items for each in intervals if each is not None)
        blocks = {row.block for row in sheet.rows}
        more = " (rows that are not shown count too)" if any(row.block in blocks for row in board.hidden) else ""
        found.append(
            f"Bold: the best of its column, which is the complete row with the highest mean{more}, and what is not "
            "distinguishable from it: the 95 % interval of the paired difference (same learner seeds, same test rows) "
            f"{BOLD[board.correction]} {SAMPLED if items else GIVEN}"
        )
    counts = {row.task: row.scores.items.shape[1] for row in sheet.rows if row.scores.items is not None}
    if counts:
        found.append(f"Test rows: {', '.join(f'{task} {counts[task]}' for task in sorted(counts))}.")
    if tells_boxes(sheet.rows):
        boxes: dict[str, list[str]] = {}
        for row in sheet.rows:
            mine = boxes.setdefault(row.box or "not known", []) if row.summary is not None else []
            mine += [row.method] if row.method not in mine else []
        named = "; ".join(f"{box}: {', '.join(sorted(boxes[box]))}" for box in sorted(boxes))
        found.append(f"Boxes (white: made with a model that the student has too, which favours it there): {named}.")
    return found
