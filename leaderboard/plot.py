"""Accuracy against dpc with intervals: where everything stands in the drawing that templates/plot.svg makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leaderboard.board import Row
from leaderboard.figures import percent, score_text

WIDTH, HEIGHT = 480, 320
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 20, 46
TEXT = 15  # height of a reference line's text
Box = tuple[float, float, float, float]  # left, top, right, bottom
COLOURS = 8  # classes m0 .. m7 in board.css
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


@dataclass(frozen=True)
class Text:
    """A text that starts or is centred at (x, y)."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Plot:
    """All in the units of the view box, y downwards. Labels of the y axis stand beside `grid`."""

    title: str
    metric: str
    grid: tuple[Text, ...]
    dpcs: tuple[Text, ...]
    levels: tuple[float, ...]
    level_texts: tuple[Text, ...]
    lines: tuple[Line, ...]
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
        values.append(row.summary.mean)
        if row.summary.interval is not None:
            values += [row.summary.interval.low, row.summary.interval.high]
    return min(values), max(values)


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


def plot(rows: Sequence[Row], methods: Sequence[str], lines: Mapping[str, float], metric: str) -> Plot | None:
    """One task and student: a line a method over dpc (evenly spaced), whiskers for the intervals.

    `methods` is the board's whole list, so that a method looks alike in every plot; `lines` are horizontal
    reference scores (name -> fraction). None when no row with a dpc has a score.
    """
    drawn = [row for row in rows if row.dpc is not None and row.summary is not None and not row.outdated]
    if not drawn:
        return None
    dpcs = sorted({row.dpc for row in drawn if row.dpc is not None})
    marks = ticks(*_extent(drawn, lines))
    if len(marks) == 1:
        marks = [marks[0], marks[0] + 0.01]
    scale = (HEIGHT - TOP - 8 - BOTTOM) / (marks[-1] - marks[0])
    gap = (WIDTH - LEFT - RIGHT) / len(dpcs)
    x = {dpc: LEFT + gap * (i + 0.5) for i, dpc in enumerate(dpcs)}
    present = [method for method in methods if any(row.method == method for row in drawn)]
    step = min(14.0, 0.7 * gap / len(present))

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - marks[0]) * scale

    taken = [(float(LEFT), y(value) - 1, float(WIDTH - RIGHT), y(value) + 1) for value in lines.values()]
    series = []
    for place, method in enumerate(present):
        index = list(methods).index(method)
        shift = (place - (len(present) - 1) / 2) * step
        mine = [(row.dpc, row.summary) for row in drawn if row.method == method and row.dpc and row.summary]
        points = []
        for dpc, summary in sorted(mine, key=lambda point: point[0]):
            ends = (y(summary.interval.low), y(summary.interval.high)) if summary.interval else (None, None)
            title = f"{method}, dpc {dpc}: {score_text(summary)}"
            points.append(Point(x[dpc] + shift, y(summary.mean), ends[0], ends[1], title))
        for at in points:
            low, high = at.y if at.low is None else at.low, at.y if at.high is None else at.high
            taken.append((at.x - 6, min(at.y - 6, high), at.x + 6, max(at.y + 6, low)))
        series.append(Line(method, f"m{index % COLOURS}", MARKERS[index % len(MARKERS)], tuple(points)))
    level_texts = []
    for name, value in lines.items():
        text = f"{name} {percent(value)}"
        box = _free_box(6.2 * len(text), y(value), taken)
        taken.append(box)
        level_texts.append(Text(box[0], box[3] - 3, text))
    return Plot(
        title=f"{rows[0].task}, {rows[0].student}: {metric} against dpc",
        metric=metric,
        grid=tuple(Text(LEFT - 7, y(value), f"{value * 100:.4g}") for value in marks),
        dpcs=tuple(Text(x[dpc], HEIGHT - BOTTOM + 20, str(dpc)) for dpc in dpcs),
        levels=tuple(y(value) for value in lines.values()),
        level_texts=tuple(level_texts),
        lines=tuple(series),
    )
