"""What the sets were made of, on the page: complete, once for all sets that share it, and safe against its texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from bench.store.record import Record
from bench.store.results import ResultStore
from leaderboard.board import build
from leaderboard.page import page
from leaderboard.reports import HEIGHT, WIDTH, curve, reports
from tests.leaderboard.conftest import EVIL
from tests.leaderboard.records import pocket
from tests.leaderboard.test_page import Links


def with_reports(store: ResultStore, keys: dict[str, list[str]]) -> ResultStore:
    """Sets of the methods named are rewritten to have been made of the artifacts with these keys."""
    for path in (store.out / "sets").iterdir():
        found = store.set(path.stem)
        assert found is not None
        content: dict[str, Any] = {"kind": "model", "title": f"model {EVIL}", "facts": {EVIL: EVIL, "n": 3}}
        content |= {"curves": {EVIL: {"x": [1, 2, 4], "y": [0.5, 0.125, 0.25]}}, "curve_labels": {EVIL: [EVIL, EVIL]}}
        content |= {"texts": {EVIL: [EVIL, "a text"]}}
        path.unlink()
        mine = {key: {"key": key, **content} for key in keys.get(found.method, [])}
        store.put_set(path.stem, replace(found, reports=tuple(mine)), mine)
    return store


def test_each_report_is_shown_once_with_its_methods(results: Callable[[Iterable[Record]], ResultStore]) -> None:
    one, two = "ab" * 32, "cd" * 32
    store = with_reports(results(pocket()), {"random": [one], "kcenters": [one, two]})
    text = reports(build(store.records()), store)
    heads = re.findall(r"<summary>.*?<small>(.*?)</small></summary>", text)
    shown = {head.split()[-1]: set(head.partition(";")[0].split(", ")) for head in heads}
    assert shown == {one[:12]: {"random", "kcenters"}, two[:12]: {"kcenters"}}
    assert len(heads) == 2
    assert text.count("<polyline") == 2
    assert text.count("<li>a text</li>") == 2
    assert text.count('<th scope="row">n</th><td>3</td>') == 2


def test_its_texts_stay_texts(results: Callable[[Iterable[Record]], ResultStore]) -> None:
    store = with_reports(results(pocket()), {"random": ["ab" * 32]})
    text = page(build(store.records()), store)
    assert "What the sets were made of" in text
    assert text.count("<script>") == 1, "the page's own"
    assert "<img" not in text
    links = Links()
    links.feed(text)
    assert (links.found, links.open) == ([], [])


def test_without_reports_there_is_no_section(results: Callable[[Iterable[Record]], ResultStore]) -> None:
    store = results(pocket())
    assert "What the sets were made of" not in page(build(store.records()), store)


def test_a_curve_stays_inside_and_keeps_its_shape() -> None:
    svg = curve("loss", [1, 3, 9], [0.5, 0.125, 0.25], ("step", "nats"))
    found = re.search(r'points="([^"]+)"', svg)
    assert found
    points = [tuple(map(float, point.split(","))) for point in found[1].split()]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    xs, ys = zip(*points, strict=True)
    assert (xs[1] - xs[0]) / (xs[2] - xs[0]) == 2 / 8
    assert ys[0] < ys[2] < ys[1], "the largest value stands highest"
    assert "lowest 0.125, step 1 to 9" in svg
    assert re.findall(r">([^<>]+)</text>", svg) == ["loss, nats", "0.125", "0.5", "1", "step", "9"]


def test_a_curve_of_one_point_or_one_value_is_drawn() -> None:
    assert 'points="58.0,128.0"' in curve("loss", [5], [0.5], ())
    assert curve("loss", [1, 2], [0.5, 0.5], ()).count('class="grid"') == 1
    assert curve("loss", [], [], ()) == ""
