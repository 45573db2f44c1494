"""Accuracy against dpc with intervals, as inline SVG whose colours come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from leaderboard.board import Row
from leaderboard.render import percent, score_text

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


def style_of(index: int) -> str:
    """CSS class of the method at this place of the board's method list."""
    return f"m{index % COLOURS}"


def marker(index: int) -> str:
    """SVG path of the method's marker around the origin: colour alone tells nobody apart for sure."""
    return MARKERS[index % len(MARKERS)]


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


def _axes(dpcs: Sequence[int], marks: Sequence[float], x: Mapping[int, float], scale: float, metric: str) -> list[str]:
    parts = []
    for value in marks:
        y = HEIGHT - BOTTOM - (value - marks[0]) * scale
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 5:.1f}" text-anchor="end">{value * 100:.4g}</text>')
    parts += [f'<text x="{x[dpc]:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{dpc}</text>' for dpc in dpcs]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="axis" x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">examples a class (dpc)</text>'
    )
    parts.append(f'<text class="axis" x="{LEFT}" y="{TOP - 6}">{escape(metric)}, %</text>')
    return parts


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


def plot(rows: Sequence[Row], methods: Sequence[str], lines: Mapping[str, float], metric: str) -> str:
    """SVG of one task and student: a line a method over dpc (evenly spaced), whiskers for the intervals.

    `methods` is the board's whole list, so that a method looks alike in every plot; `lines` are horizontal
    reference scores (name -> fraction). Empty text when no row with a dpc has a score.
    """
    drawn = [row for row in rows if row.dpc is not None and row.summary is not None and not row.outdated]
    if not drawn:
        return ""
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

    title = f"{rows[0].task}, {rows[0].student}: {metric} against dpc"
    parts = [f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    parts += _axes(dpcs, marks, x, scale, metric)
    for value in lines.values():
        parts.append(f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
    taken = [(float(LEFT), y(value) - 1, float(WIDTH - RIGHT), y(value) + 1) for value in lines.values()]
    for place, method in enumerate(present):
        index = list(methods).index(method)
        shift = (place - (len(present) - 1) / 2) * step
        points = [(row.dpc, row.summary) for row in drawn if row.method == method and row.dpc and row.summary]
        points.sort(key=lambda point: point[0])
        at = [(x[dpc] + shift, y(summary.mean)) for dpc, summary in points]
        parts.append(f'<g class="{style_of(index)}">')
        if len(at) > 1:
            parts.append(f'<polyline points="{" ".join(f"{px:.1f},{py:.1f}" for px, py in at)}"/>')
        for (dpc, summary), (px, py) in zip(points, at, strict=True):
            interval = summary.interval
            ends = (interval.low, interval.high) if interval else (summary.mean, summary.mean)
            taken.append((px - 6, min(py - 6, y(ends[1])), px + 6, max(py + 6, y(ends[0]))))
            label = f"{method}, dpc {dpc}: {score_text(summary)}"
            parts.append(f"<g><title>{escape(label)}</title>")
            if interval is not None:
                low, high = y(interval.low), y(interval.high)
                parts.append(
                    f'<path class="whisker" d="M{px:.1f},{low:.1f}V{high:.1f}M{px - 4:.1f},{low:.1f}h8'
                    f'M{px - 4:.1f},{high:.1f}h8"/>'
                )
            parts.append(f'<path class="point" transform="translate({px:.1f},{py:.1f})" d="{marker(index)}"/></g>')
        parts.append("</g>")
    for name, value in lines.items():
        text = f"{name} {percent(value)}"
        box = _free_box(6.2 * len(text), y(value), taken)
        taken.append(box)
        parts.append(f'<text class="level" x="{box[0]:.1f}" y="{box[3] - 3:.1f}">{escape(text)}</text>')
    parts.append("</svg>")
    return "".join(parts)


def legend(rows: Sequence[Row], methods: Sequence[str]) -> str:
    """HTML list of the methods in a plot, with their markers."""
    shown = {row.method for row in rows if row.dpc is not None and row.summary is not None and not row.outdated}
    items = [
        f'<li><svg class="key {style_of(i)}" viewBox="-7 -7 14 14" aria-hidden="true"><path class="point" '
        f'd="{marker(i)}"/></svg>{escape(method)}</li>'
        for i, method in enumerate(methods)
        if method in shown
    ]
    return f'<ul class="legend">{"".join(items)}</ul>' if items else ""
