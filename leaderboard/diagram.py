"""Mean ranks over tasks with what is not separated: where everything stands in the drawing of templates/ranks.svg.

As the critical-difference diagram of Demsar 2006, with a line a method, so that long names stand on a narrow page.
"""

from __future__ import annotations

from dataclasses import dataclass

from leaderboard.mean_ranks import MeanRanks

WIDTH, LEFT, RIGHT = 480, 196, 60  # beside the axis: names, and bars of what is not separated
TOP, STEP, FOOT = 58, 22, 10
NAME = 28  # characters of a name that fit
MOST = 30  # methods: more are for the table alone
BAR = 8  # between two bars


@dataclass(frozen=True)
class Dot:
    """A method at its mean rank; `name` is cut, `title` whole."""

    x: float
    y: float
    name: str
    title: str
    method: str


@dataclass(frozen=True)
class Bar:
    """From the first to the last of methods that are not separated."""

    x: float
    top: float
    bottom: float
    title: str


@dataclass(frozen=True)
class Diagram:
    """All in the units of the view box, y downwards."""

    title: str
    ticks: tuple[tuple[float, str], ...]
    dots: tuple[Dot, ...]
    bars: tuple[Bar, ...]
    critical: tuple[float, float]  # the ends of a line as long as the critical difference
    critical_text: str
    height: int
    width: int = WIDTH
    left: int = LEFT
    right: int = WIDTH - RIGHT
    axis: int = TOP - 14


def diagram(found: MeanRanks) -> Diagram | None:
    """None where so few tasks separate nothing, or methods are too many to draw."""
    k = len(found.methods)
    if found.powerless or k > MOST:
        return None
    across = (WIDTH - LEFT - RIGHT) / (k - 1)

    def x(rank: float) -> float:
        return LEFT + across * (rank - 1)

    ys = [TOP + STEP * (place + 0.5) for place in range(k)]
    runs = together(found)
    columns = _columns(runs)
    wide = min(BAR, (RIGHT - 20) / (max(columns, default=0) + 1))
    bars = [
        Bar(
            WIDTH - RIGHT + 16 + wide * column,
            ys[first] - STEP / 3,
            ys[last] + STEP / 3,
            f"not separated: {', '.join(found.methods[first : last + 1])}",
        )
        for column, (first, last) in zip(columns, runs, strict=True)
    ]
    return Diagram(
        title=f"Mean ranks over {found.n_tasks} tasks, 1 is best; a bar joins methods that are not separated",
        ticks=tuple((x(rank), str(rank)) for rank in range(1, k + 1, 1 + (k - 1) // 12)),
        dots=tuple(
            Dot(x(rank), y, _cut(method), f"{method}: mean rank {rank:.2f}", method)
            for method, rank, y in zip(found.methods, found.ranks, ys, strict=True)
        ),
        bars=tuple(bars),
        critical=(x(1), x(1 + found.critical)),
        critical_text=f"critical difference {found.critical:.2f}",
        height=TOP + STEP * k + FOOT,
    )


def together(found: MeanRanks) -> list[tuple[int, int]]:
    """First and last places of the largest runs of two methods or more of which no two are separated."""
    k, apart = len(found.methods), found.apart
    ends = [min((j - 1 for i, j in apart if i == first), default=k - 1) for first in range(k)]
    runs = [(first, last) for first, last in enumerate(ends) if last > first]
    return [run for place, run in enumerate(runs) if not any(other[1] >= run[1] for other in runs[:place])]


def _columns(runs: list[tuple[int, int]]) -> list[int]:
    """A column for each, the first one where it crosses none before it."""
    ends: list[int] = []  # the last place of each column
    found = []
    for first, last in runs:
        column = next((number for number, end in enumerate(ends) if end < first), len(ends))
        ends[column : column + 1] = [last]
        found.append(column)
    return found


def _cut(name: str) -> str:
    return name if len(name) <= NAME else f"{name[: NAME - 1]}…"
