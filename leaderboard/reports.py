"""What the artifacts behind the distilled sets tell of themselves, for the page: facts, curves, sample texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.store.results import ResultStore
from leaderboard.board import Board
from leaderboard.samples import SETS_SHOWN

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 24, 22


@dataclass(frozen=True)
class Curve:
    """y over x in the units of the view box, y downwards; its axes name the ends of x, the lowest and the highest y."""

    title: str
    spoken: str  # for those who cannot see it
    points: tuple[tuple[float, float], ...]
    grid: tuple[tuple[float, str], ...]  # (y, text)
    x_texts: tuple[tuple[float, str, str], ...]  # (x, text, anchor)
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT


@dataclass(frozen=True)
class Report:
    """The report of one artifact, and the methods whose sets were made of it."""

    title: str
    key: str
    methods: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    curves: tuple[Curve, ...]
    texts: tuple[tuple[str, tuple[str, ...]], ...]


def curve(name: str, xs: Sequence[float], ys: Sequence[float], labels: Sequence[str]) -> Curve | None:
    """The drawing of y over x, x ascending; None without points. labels: those of the x and of the y axis, or none."""
    if not ys:
        return None
    low, high = min(ys), max(ys)
    across = (WIDTH - LEFT - RIGHT) / ((xs[-1] - xs[0]) or 1)
    up = (HEIGHT - TOP - BOTTOM) / ((high - low) or 1)
    ground, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    x_label, y_label = labels or ("step", "")
    title = f"{name}, {y_label}" if y_label else name
    return Curve(
        title=title,
        spoken=f"{title}: from {ys[0]:.4g} to {ys[-1]:.4g}, lowest {low:.4g}, {x_label} {xs[0]:g} to {xs[-1]:g}",
        points=tuple((LEFT + (x - xs[0]) * across, ground - (y - low) * up) for x, y in zip(xs, ys, strict=True)),
        grid=tuple((ground - (value - low) * up, f"{value:.3g}") for value in dict.fromkeys((low, high))),
        x_texts=(
            (LEFT, f"{xs[0]:g}", "start"),
            ((LEFT + right) / 2, x_label, "middle"),
            (right, f"{xs[-1]:g}", "end"),
        ),
    )


def reports(board: Board, store: ResultStore, most: int = SETS_SHOWN) -> list[Report]:
    """Each report of the board's sets once (of the first `most` of a cell, as their texts)."""
    found = {}
    methods: dict[str, dict[str, None]] = {}
    sets = dict.fromkeys((set_key, row.method) for row in board.rows for set_key in row.set_keys[:most])
    for set_key, method in sets:  # each once, whatever number of students trained on it
        for report in store.reports(set_key):
            found[report["key"]] = report
            methods.setdefault(report["key"], {})[method] = None
    return [
        Report(
            title=report["title"],
            key=key,
            methods=tuple(methods[key]),
            facts=tuple((name, str(value)) for name, value in report["facts"].items()),
            curves=tuple(
                drawn
                for name, points in report["curves"].items()
                if (drawn := curve(name, points["x"], points["y"], report["curve_labels"].get(name, ())))
            ),
            texts=tuple((heading, tuple(lines)) for heading, lines in report["texts"].items()),
        )
        for key, report in found.items()
    ]
