"""Accuracy against dpc with intervals: where everything stands in the drawing that templates/plot.svg makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from leaderboard.figures import mark_text, percent, score_text, seconds
from leaderboard.row import Row

WIDTH, HEIGHT = 480, 320
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 20, 46
TEXT = 15  # height of a reference line's text
Box = tuple[float, float, float, float]  # left, top, right, bottom
COLOURS = 8  # classes m0 .. m7 in board.css
LINES = 12  # of a drawing: more cannot be told apart
BESIDE = 7  # from a point to the published number beside it
CHEAP = 0.01  # seconds: what costs less is drawn here, for the axis is logarithmic
MARKERS = (
    "M-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0",
    "M-4,-4h8v8h-8z",
    "M0,-5.5L5,3.5H-5z",
    "M0,-5.5L5.5,0L0,5.5L-5.5,0z",
    "M0,5.5L5,-3.5H-5z",
)


@dataclass(frozen=True)
class Point:
    """A mean at (x, y); `low` and `high` are the ends of its interval, None without one."""

    x: float
    y: float
    low: float | None
    high: float | None
    title: str


@dataclass(frozen=True)
class Line:
    """The points of one method; class and marker are the method's, for colour alone tells nobody apart for sure."""

    method: str
    style: str
    marker: str
    points: tuple[Point, ...]
    published: tuple[Point, ...] = ()  # ends: the printed deviation


@dataclass(frozen=True)
class Text:
    """A text that starts or is centred at (x, y)."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Plot:
    """All in the units of the view box, y downwards. Labels of the y axis stand beside `grid`, of the other at `xs`."""

    title: str
    metric: str
    grid: tuple[Text, ...]
    xs: tuple[Text, ...]
    x_title: str
    levels: tuple[float, ...]
    level_texts: tuple[Text, ...]
    lines: tuple[Line, ...]
    note: str = ""  # what is not drawn
    published: str = ""  # the source of published numbers, where some are drawn
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    ground: int = HEIGHT - BOTTOM


def ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round values (steps 1, 2 or 5 x a power of ten) from at or below `low` to at or above `high`, about `most`."""
    span = max(high - low, 1e-3)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _extent(rows: Sequence[Row], lines: Mapping[str, float]) -> tuple[float, float]:
    values = list(lines.values())
    for row in rows:
        if row.summary is None:
            continue
        values += [row.summary.mean, *_published(row)]
        if row.summary.interval is not None:
            values += [row.summary.interval.low, row.summary.interval.high]
    return min(values), max(values)


def _published(row: Row) -> list[float]:
    """The published score and the ends of its deviation, cut at 0 and 1; nothing where it is of another metric."""
    if row.mark is None or row.mark.number.facts.metric != row.metric:
        return []
    score, deviation = row.mark.number.score, row.mark.number.deviation
    ends = [] if deviation is None else [max(0.0, score - deviation), min(1.0, score + deviation)]
    return [score, *ends]


def _free_box(width: float, y: float, taken: Sequence[Box]) -> Box:
    """Where a text of this width stands beside its line at `y`: the end and side that the fewest boxes cross."""
    boxes = [
        (left, top, left + width, top + TEXT)
        for top in (y - TEXT - 2, y + 2)
        for left in (LEFT + 4, WIDTH - RIGHT - 4 - width)
        if top >= TOP - 4 and top + TEXT <= HEIGHT - BOTTOM
    ]

    def crossed(box: Box) -> int:
        return sum(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken)

    return min(boxes, key=crossed)


def _present(drawn: Sequence[Row], methods: Sequence[str], baseline: str | None) -> tuple[list[str], str]:
    """The methods to draw, in the order of `methods`, and what to say when some are left out: not the baseline."""
    best: dict[str, float] = {}
    for row in drawn:
        if row.summary is not None:
            best[row.method] = max(best.get(row.method, 0.0), row.summary.mean)
    order = sorted(best, key=lambda method: (method != baseline, -best[method], method))
    kept = set(order[:LINES])
    beside = f" beside {baseline}" if baseline in kept else ""
    note = f"{LINES} of {len(best)} methods are drawn: those with the highest score{beside}."
    return [method for method in methods if method in kept], note if len(best) > LINES else ""


class _Heights:
    """The axis of scores: round ticks around all that is drawn, and where a fraction stands."""

    def __init__(self, rows: Sequence[Row], lines: Mapping[str, float]) -> None:
        marks = ticks(*_extent(rows, lines))
        self.marks = marks if len(marks) > 1 else [marks[0], marks[0] + 0.01]
        self._scale = (HEIGHT - TOP - 8 - BOTTOM) / (self.marks[-1] - self.marks[0])

    def __call__(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.marks[0]) * self._scale

    @property
    def grid(self) -> tuple[Text, ...]:
        return tuple(Text(LEFT - 7, self(value), f"{value * 100:.4g}") for value in self.marks)

    def point(self, x: float, row: Row, title: str) -> Point:
        """The mean of a row that has one, with the ends of its interval."""
        assert row.summary is not None
        interval = row.summary.interval
        ends = (self(interval.low), self(interval.high)) if interval else (None, None)
        return Point(x, self(row.summary.mean), ends[0], ends[1], title)

    def published(self, x: float, row: Row) -> Point | None:
        """The published number beside a row, where it has one of its metric."""
        found = [self(value) for value in _published(row)]
        if not found or row.mark is None:
            return None
        low, high = found[1:] or (None, None)
        return Point(x, found[0], low, high, f"published, {row.mark.number.where}: {mark_text(row)}")


def _line(method: str, methods: Sequence[str], points: Sequence[Point], published: Sequence[Point | None] = ()) -> Line:
    index = list(methods).index(method)
    marks = tuple(point for point in published if point is not None)
    return Line(method, f"m{index % COLOURS}", MARKERS[index % len(MARKERS)], tuple(points), marks)


def plot(
    rows: Sequence[Row], methods: Sequence[str], lines: Mapping[str, float], metric: str, baseline: str | None = None
) -> Plot | None:
    """One task and student: a line a method over dpc (evenly spaced), whiskers for the intervals.

    `methods` is the board's whole list, so that a method looks alike in every plot; `lines` are horizontal
    reference scores (name -> fraction); `baseline` is drawn however many are better. None when no row with a dpc has a
    score.
    """
    drawn = [row for row in rows if row.dpc is not None and row.summary is not None and not row.outdated]
    if not drawn:
        return None
    present, note = _present(drawn, methods, baseline)
    drawn = [row for row in drawn if row.method in present]
    dpcs = sorted({row.dpc for row in drawn if row.dpc is not None})
    y = _Heights(drawn, lines)
    gap = (WIDTH - LEFT - RIGHT) / len(dpcs)
    x = {dpc: LEFT + gap * (i + 0.5) for i, dpc in enumerate(dpcs)}
    step = min(14.0, 0.7 * gap / len(present))
    taken = [(float(LEFT), y(value) - 1, float(WIDTH - RIGHT), y(value) + 1) for value in lines.values()]
    series = []
    for place, method in enumerate(present):
        shift = (place - (len(present) - 1) / 2) * step
        mine = sorted((row for row in drawn if row.method == method), key=lambda row: row.dpc or 0)
        points = [
            y.point(x[row.dpc] + shift, row, f"{method}, dpc {row.dpc}: {score_text(row.summary)}")
            for row in mine
            if row.dpc is not None and row.summary is not None
        ]
        marks = [y.published(x[row.dpc] + shift + BESIDE, row) for row in mine if row.dpc is not None]
        for at in [*points, *(mark for mark in marks if mark is not None)]:
            low, high = at.y if at.low is None else at.low, at.y if at.high is None else at.high
            taken.append((at.x - 6, min(at.y - 6, high), at.x + 6, max(at.y + 6, low)))
        series.append(_line(method, methods, points, marks))
    level_texts = []
    for name, value in lines.items():
        text = f"{name} {percent(value)}"
        box = _free_box(6.2 * len(text), y(value), taken)
        taken.append(box)
        level_texts.append(Text(box[0], box[3] - 3, text))
    return Plot(
        title=f"{rows[0].task}, {rows[0].student}: {metric} against dpc",
        metric=metric,
        grid=y.grid,
        xs=tuple(Text(x[dpc], HEIGHT - BOTTOM + 20, str(dpc)) for dpc in dpcs),
        x_title="examples a class (dpc)",
        levels=tuple(y(value) for value in lines.values()),
        level_texts=tuple(level_texts),
        lines=tuple(series),
        note=note,
        published=", ".join(
            dict.fromkeys(row.mark.number.source for row in drawn if row.mark is not None and _published(row))
        ),
    )


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten from at or below `low` to at or above `high`, two at least."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def cost_plot(rows: Sequence[Row], methods: Sequence[str], metric: str, baseline: str | None = None) -> Plot | None:
    """One task and student: scores over the seconds that a set takes, a logarithmic axis; a line a method, by dpc.

    None unless two rows have a score and a known cost.
    """
    drawn = [row for row in rows if row.dpc is not None and row.summary and row.cost and not row.outdated]
    if len(drawn) < 2:
        return None
    present, note = _present(drawn, methods, baseline)
    drawn = [row for row in drawn if row.method in present]
    y = _Heights([replace(row, mark=None) for row in drawn], {})  # published numbers have no cost
    spent = {row.names: max(CHEAP, row.cost.total) for row in drawn if row.cost}
    marks = _decades(min(spent.values()), max(spent.values()))
    across = (WIDTH - LEFT - RIGHT - 16) / math.log10(marks[-1] / marks[0])

    def x(value: float) -> float:
        return LEFT + 8 + across * math.log10(value / marks[0])

    series = []
    for method in present:
        mine = sorted((row for row in drawn if row.method == method), key=lambda row: row.dpc or 0)
        points = [
            y.point(x(spent[row.names]), row, f"{method}, dpc {row.dpc}: {score_text(row.summary)}, {_paid(row)}")
            for row in mine
            if row.summary is not None
        ]
        series.append(_line(method, methods, points))
    less = "≤ " if any(row.cost is not None and row.cost.total < CHEAP for row in drawn) else ""
    return Plot(
        title=f"{rows[0].task}, {rows[0].student}: {metric} against seconds to make a set; the table has both",
        metric=metric,
        grid=y.grid,
        xs=tuple(Text(x(value), HEIGHT - BOTTOM + 20, f"{less if value == CHEAP else ''}{value:g}") for value in marks),
        x_title="seconds a set, logarithmic",
        levels=(),
        level_texts=(),
        lines=tuple(series),
        note=note,
    )


def _paid(row: Row) -> str:
    return f"{seconds(row.cost.total)} s a set" if row.cost else ""
