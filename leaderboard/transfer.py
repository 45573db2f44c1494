"""One distilled set under several students: methods x students of a task and dpc. It describes, and tests nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from leaderboard.board import Board
from leaderboard.box import EMBEDDED
from leaderboard.ranks import rank_ranges
from leaderboard.row import Row

Rank = tuple[int, int]
Student = tuple[str, str]  # league, label: a column
Read = tuple[str, str]  # method, content of a set
Cells = Mapping[tuple[str, Student], Row]  # by method (of all data: by task) and student


@dataclass(frozen=True)
class Line:
    """A method's rows, one a column; None where it has no score. `defects`: why it is neither ranked nor averaged."""

    method: str
    rows: tuple[Row | None, ...]
    same_sets: bool  # those under all students that scored it
    defects: tuple[str, ...]
    ranks: tuple[Rank | None, ...]  # under each student, among the lines without a defect
    mean: float | None = None  # over `Transfer.outside`


@dataclass(frozen=True)
class Transfer:
    """The methods that at least two students scored. `outside`: columns of one league under which no ranked
    line is a white box."""

    task: str
    dpc: int
    students: tuple[Student, ...]
    lines: tuple[Line, ...]
    outside: tuple[int, ...]
    alone: tuple[str, ...]  # methods that one of these students alone scored
    full: tuple[Row | None, ...]  # the rows of all data, one a column

    @property
    def leagues(self) -> tuple[str, ...]:
        return tuple(sorted({league for league, _ in self.students}))

    @property
    def averaged(self) -> bool:
        """Whether a mean over black-box students says more than a column."""
        return len(self.outside) > 1


def transfers(board: Board) -> list[Transfer]:
    """In order of task and dpc; nothing where no method has a score under two students.

    Rows that are hidden by choice are compared too, and left out in the end.
    """
    full = {(row.task, (row.league or "", row.student)): row for row in board.rows if row.is_full}
    found = [_transfer(full, *place) for place in _places(board)]
    return _shown(found, board) if board.hidden else found


def are_transferred(board: Board) -> bool:
    """Whether there are `transfers`; without a choice that hides rows, nothing is compared for it."""
    return bool(transfers(board)) if board.hidden else next(_places(board), None) is not None


def _places(board: Board) -> Iterator[tuple[str, int, list[Student], Mapping[str, int], Cells]]:
    """Task, dpc, students that are shown together, how many of them scored each method, and their rows."""
    places: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in (*board.rows, *board.hidden):
        if row.dpc is not None and row.league is not None and row.summary is not None:
            places[row.task, row.dpc].append(row)
    for (task, dpc), rows in sorted(places.items()):
        cells = {(row.method, (row.league or "", row.student)): row for row in rows}
        for students in _together(rows):
            methods = sorted({method for method, student in cells if student in students})
            counts = {method: sum((method, student) in cells for student in students) for method in methods}
            if max(counts.values()) > 1:
                yield task, dpc, students, counts, cells


def _shown(found: Sequence[Transfer], board: Board) -> list[Transfer]:
    """What is left of some tables without the rows that are hidden by choice."""
    mine = {(row.task, row.dpc, row.method) for row in board.rows}
    kept = [
        replace(
            each,
            lines=tuple(line for line in each.lines if (each.task, each.dpc, line.method) in mine),
            alone=tuple(method for method in each.alone if (each.task, each.dpc, method) in mine),
        )
        for each in found
    ]
    return [each for each in kept if each.lines]


def _together(rows: Sequence[Row]) -> list[list[Student]]:
    """The columns of each table: students of one league with a common method, and of others that read its texts."""
    read: dict[Student, set[Read]] = defaultdict(set)
    for row in rows:
        read[row.league or "", row.student].update((row.method, content) for content in row.contents)
    groups: list[list[Student]] = []
    for one in sorted(read):
        mine = [group for group in groups if any(_joined(one, other, read) for other in group)]
        groups = [group for group in groups if group not in mine] + [[*(each for group in mine for each in group), one]]
    return groups


def _joined(one: Student, other: Student, read: Mapping[Student, set[Read]]) -> bool:
    if one[0] == other[0]:
        return not {method for method, _ in read[one]}.isdisjoint(method for method, _ in read[other])
    return EMBEDDED not in (one[0], other[0]) and not read[one].isdisjoint(read[other])


def _transfer(
    full: Cells, task: str, dpc: int, students: list[Student], counts: Mapping[str, int], cells: Cells
) -> Transfer:
    shared = [method for method in counts if counts[method] > 1]
    columns = sorted(student for student in students if any((method, student) in cells for method in shared))
    lines = [_line(method, columns, tuple(cells.get((method, student)) for student in columns)) for method in shared]
    lines, outside = _compared(lines, columns)
    return Transfer(
        task=task,
        dpc=dpc,
        students=tuple(columns),
        lines=tuple(lines),
        outside=outside,
        alone=tuple(m for m in counts if counts[m] == 1 and any((m, student) in cells for student in columns)),
        full=tuple(full.get((task, student)) for student in columns),
    )


def _line(method: str, students: Sequence[Student], rows: tuple[Row | None, ...]) -> Line:
    same = len({row.contents for row in rows if row is not None}) == 1
    defects = []
    for (_, student), row in zip(students, rows, strict=True):
        if row is None:
            defects.append(f"no score under {student}")
        elif not row.complete:
            defects.append(f"{row.ok}/{row.planned} under {student}")
        elif row.outdated:
            defects.append(f"another version of {student}")
    if not same:
        defects.append("not the same sets")
    return Line(method, rows, same, tuple(defects), (None,) * len(rows))


def _compared(lines: Sequence[Line], students: Sequence[Student]) -> tuple[list[Line], tuple[int, ...]]:
    """The lines with ranks and means, best first, and the columns that the means are over: of one league."""
    whole = [[row for row in line.rows if row is not None] for line in lines if not line.defects]
    columns = [[rows[column] for rows in whole] for column in range(len(students))]
    boxes = [{row.box for row in column} for column in columns]
    found_outside = [place for place, found in enumerate(boxes) if "black" in found and "white" not in found]
    leagues = Counter(students[place][0] for place in found_outside)
    league = max(sorted(leagues), key=leagues.__getitem__, default="")  # scores of two are measured in two ways
    outside = tuple(place for place in found_outside if students[place][0] == league)
    ranks: list[list[Rank | None]] = [
        [*rank_ranges([row.scores for row in column])] if len(column) > 1 else [None] * len(column)
        for column in columns
    ]
    places = iter(range(len(whole)))
    found = []
    for line in lines:
        if line.defects:
            found.append(line)
            continue
        place = next(places)
        over = [whole[place][column] for column in outside]
        known = all(row.box is not None for row in over)
        scores = [row.summary.mean for row in over if row.summary is not None]
        mean = sum(scores) / len(scores) if scores and known else None
        found.append(replace(line, ranks=tuple(each[place] for each in ranks), mean=mean))
    return sorted(found, key=lambda line: _order(line, len(outside) > 1)), outside


def _order(line: Line, averaged: bool) -> tuple[bool, bool, float, str]:
    """Sort key: defects last; by the mean, or else by the first student's score."""
    first = line.rows[0]
    score = line.mean if averaged else first.summary.mean if first is not None and first.summary is not None else None
    return (bool(line.defects), score is None, -(score or 0.0), line.method)
