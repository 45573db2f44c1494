"""What the artifacts behind the distilled sets tell of themselves, as HTML: facts, curves, sample texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from leaderboard.board import Board
from leaderboard.samples import SETS_SHOWN

if TYPE_CHECKING:
    from bench.store.results import ResultStore

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 24, 22


def curve(name: str, xs: Sequence[float], ys: Sequence[float], labels: Sequence[str]) -> str:
    """SVG of y over x; its axes name the ends of x, the lowest and the highest y. Empty text without points.

    labels: those of the x and of the y axis, or nothing.
    """
    if not ys:
        return ""
    low, high = min(ys), max(ys)
    across = (WIDTH - LEFT - RIGHT) / ((xs[-1] - xs[0]) or 1)
    up = (HEIGHT - TOP - BOTTOM) / ((high - low) or 1)
    ground, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    x_label, y_label = labels or ("step", "")
    title = f"{name}, {y_label}" if y_label else name
    spoken = f"{title}: from {ys[0]:.4g} to {ys[-1]:.4g}, lowest {low:.4g}, {x_label} {xs[0]:g} to {xs[-1]:g}"
    parts = [f'<svg class="curve m0" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(spoken)}">']
    parts.append(f'<text x="6" y="14">{escape(title)}</text>')
    for value in dict.fromkeys((low, high)):
        y = ground - (value - low) * up
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="axis" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for x, text, anchor in (
        (LEFT, f"{xs[0]:g}", "start"),
        ((LEFT + right) / 2, x_label, "middle"),
        (right, f"{xs[-1]:g}", "end"),
    ):
        parts.append(f'<text class="axis" x="{x:g}" y="{HEIGHT - 6}" text-anchor="{anchor}">{escape(text)}</text>')
    points = (f"{LEFT + (x - xs[0]) * across:.1f},{ground - (y - low) * up:.1f}" for x, y in zip(xs, ys, strict=True))
    parts.append(f'<polyline points="{" ".join(points)}"/></svg>')
    return "".join(parts)


def _report(report: Mapping[str, Any], methods: Sequence[str]) -> str:
    curves = "".join(
        curve(name, points["x"], points["y"], report["curve_labels"].get(name, ()))
        for name, points in report["curves"].items()
    )
    facts = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(str(value))}</td></tr>'
        for name, value in report["facts"].items()
    )
    texts = "".join(
        f"<h4>{escape(heading)}</h4><ul>{''.join(f'<li>{escape(text)}</li>' for text in lines)}</ul>"
        for heading, lines in report["texts"].items()
    )
    return (
        f"<details><summary>{escape(report['title'])} <small>{escape(', '.join(methods))}; "
        f"bench info {escape(report['key'][:12])}</small></summary>"
        + (f'<div class="curves">{curves}</div>' if curves else "")
        + (f'<div class="scroll"><table class="facts"><tbody>{facts}</tbody></table></div>' if facts else "")
        + f"{texts}</details>"
    )


def reports(board: Board, store: ResultStore) -> str:
    """A fold-out for each report of the board's sets (of the first three of a cell, as their texts)."""
    found: dict[str, dict[str, Any]] = {}
    methods: dict[str, dict[str, None]] = {}
    for row in board.rows:
        for set_key in row.set_keys[:SETS_SHOWN]:
            for report in store.reports(set_key):
                found[report["key"]] = report
                methods.setdefault(report["key"], {})[row.method] = None
    folds = "".join(_report(report, list(methods[key])) for key, report in found.items())
    return f'<section id="reports"><h2>What the sets were made of</h2>{folds}</section>' if folds else ""
