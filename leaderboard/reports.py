"""What the artifacts behind the distilled sets tell of themselves, as HTML: facts, curves, sample texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from leaderboard.board import Board

if TYPE_CHECKING:
    from bench.store.results import ResultStore

WIDTH, HEIGHT = 320, 110
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 20, 18


def report_keys(board: Board, store: ResultStore) -> dict[str, list[str]]:
    """Key of each report -> the methods of this board whose sets name it, in the board's order."""
    found: dict[str, list[str]] = {}
    for row in board.rows:
        for set_key in row.set_keys:
            for key in (store.set(set_key) or {}).get("reports", []):
                methods = found.setdefault(key, [])
                if row.method not in methods:
                    methods.append(row.method)
    return found


def curve(name: str, points: Mapping[str, Sequence[float]], labels: Sequence[str] = ()) -> str:
    """A small SVG line; its ends and its lowest value are written out. Empty text without points."""
    xs, ys = points["x"], points["y"]
    if not ys:
        return ""
    low, high = min(ys), max(ys)
    across = (WIDTH - LEFT - RIGHT) / max(1e-12, xs[-1] - xs[0])
    up = (HEIGHT - TOP - BOTTOM) / max(1e-12, high - low)
    dots = " ".join(
        f"{LEFT + (x - xs[0]) * across:.1f},{HEIGHT - BOTTOM - (y - low) * up:.1f}" for x, y in zip(xs, ys, strict=True)
    )
    ends = f"{ys[0]:.4g} to {ys[-1]:.4g}, lowest {low:.4g}"
    span = f"{labels[0] if labels else 'step'} {xs[0]:g} to {xs[-1]:g}"
    return (
        f'<svg class="curve m0" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}: {escape(ends)}">'
        f'<text x="{LEFT}" y="13">{escape(name)}: {escape(ends)}</text>'
        f'<polyline points="{dots}"/><text class="axis" x="{LEFT}" y="{HEIGHT - 4}">{escape(span)}</text></svg>'
    )


def _report(report: Mapping[str, Any], methods: Sequence[str]) -> str:
    facts = "".join(
        f'<tr><th scope="row">{escape(str(name))}</th><td class="number">{escape(str(value))}</td></tr>'
        for name, value in report.get("facts", {}).items()
    )
    labels = report.get("curve_labels", {})
    curves = "".join(curve(name, points, labels.get(name, ())) for name, points in report.get("curves", {}).items())
    texts = "".join(
        f'<h4>{escape(heading)}</h4><ul class="examples">'
        + "".join(f"<li><p>{escape(text)}</p></li>" for text in lines)
        + "</ul>"
        for heading, lines in report.get("texts", {}).items()
    )
    return (
        f"<details><summary>{escape(report['title'])} <small>{escape(', '.join(methods))}, "
        f"{escape(report['key'][:12])}</small></summary>"
        f'<div class="curves">{curves}</div>'
        f'<div class="scroll"><table><tbody>{facts}</tbody></table></div>{texts}</details>'
    )


def reports(board: Board, store: ResultStore) -> str:
    """A fold-out a report."""
    parts = []
    for key, methods in report_keys(board, store).items():
        report = store.report(key)
        if report is not None:
            parts.append(_report(report, methods))
    return f'<section id="reports"><h2>Trained for these sets</h2>{"".join(parts)}</section>' if parts else ""
