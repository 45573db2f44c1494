"""Filters of the page in a real browser: by keyboard, by a shared address, a hostile one, and without a script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import leaderboard.page
from bench.store.record import Record
from bench.store.results import ResultStore
from bench.store.text import shown
from leaderboard.board import Board, build
from leaderboard.filters import filters, marker
from leaderboard.page import page
from tests.leaderboard.chromium import Browser, chromium
from tests.leaderboard.conftest import write_results
from tests.leaderboard.records import cell, pocket, record, student

ODD = 'kcenters[a=1&method=random#x,b=50%, "q" <i>\'é+ ]'


def several() -> list[Record]:
    """Two tasks, two students, four methods (one with an odd name), all data on one task, a row without a league."""
    small = [one for one in pocket() if one.set < 3 and one.run == 0]
    bert = student("bert")
    other = [replace(one, student=bert, key=f"{one.key}-bert", cell=f"{one.cell}-bert") for one in small]
    odd = [
        replace(one, method=replace(one.method, label=ODD), cell=f"{one.cell}-odd", key=f"{one.key}-odd")
        for one in cell("kcenters", n_sets=3, n_runs=1, seed=3)
    ]
    return [*small, *other, *odd, record(None, method="tdd", status="not_applicable", reason="no text level")]


@pytest.fixture(scope="module")
def board() -> Board:
    return build(several())


@pytest.fixture(scope="module", params=["small", "large"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the board: as one of its size, and as one whose sections are built when they are opened."""
    folder = tmp_path_factory.mktemp("filters")
    store = write_results(folder / "out", several())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaderboard.page, "MANY", 1 if request.param == "large" else 1000)
        path = folder / "leaderboard.html"
        path.write_text(page(build(store.records(), gold=store.gold), store), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def visit(browser: Browser, written: Path, hash_: str = "") -> None:
    browser.open("about:blank")
    browser.open(written.as_uri() + hash_)


def open_all(browser: Browser) -> None:
    """Open every fold, and wait until what is built then is there."""
    browser.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    wait = """new Promise(done => { const look = () =>
        document.querySelector('.later[open] > template') ? setTimeout(look, 5) : setTimeout(done, 5); look(); })"""
    browser.call("Runtime.evaluate", expression=wait, awaitPromise=True)
    browser.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")


def rows_seen(browser: Browser) -> list[tuple[str, ...]]:
    """(section, dpc, method) of each row that can be seen in the sections' tables."""
    script = """[...document.querySelectorAll('.cellblock')].flatMap(section =>
        [...section.querySelectorAll('table.sortable tbody tr')].filter(row => row.getClientRects().length)
        .map(row => [section.querySelector('h2').firstChild.textContent.trim(),
                     row.cells[0].textContent, row.cells[1].textContent]))"""
    return [tuple(found) for found in browser.evaluate(script)]


def expected(board: Board, **chosen: set[str]) -> list[tuple[str, ...]]:
    facts = [
        {"task": row.task, "student": row.student, "dpc": row.size, "method": row.method}
        for row in board.rows
        if row.league
    ]
    kept = [one for one in facts if all(one[facet] in values for facet, values in chosen.items())]
    return [(f"{one['task']}, {one['student']}", one["dpc"], one["method"]) for one in kept]


def status(browser: Browser) -> str:
    found: str = browser.evaluate("document.querySelector('[role=status][aria-live]').textContent")
    return found


def press(browser: Browser, key: str, code: int) -> None:
    text: dict[str, Any] = {"text": " "} if key == " " else {}
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)


def test_marks_are_told_apart_and_stand_for_every_value(board: Board) -> None:
    found = filters(board)
    assert [each.facet for each in found] == ["task", "dpc", "student", "method"]
    assert list(found[1].marks) == ["5", "20", "all"]
    assert set(found[3].marks) == {row.method for row in board.rows}
    marks = [mark for each in found for mark in each.marks.values()]
    assert len(set(marks)) == len(marks)
    assert marker(found)((("dpc", "5"), ("task", "nowhere"), ("method", "random"))).split() == [
        found[1].marks["5"],
        found[3].marks["random"],
    ]


def test_by_keyboard_rows_sections_and_overview_columns_go_and_come(
    browser: Browser, written: Path, board: Board
) -> None:
    visit(browser, written)
    open_all(browser)
    assert sorted(rows_seen(browser)) == sorted(expected(board))
    every = len(board.rows)
    assert status(browser) == f"all {every} rows shown"
    browser.evaluate("document.querySelector('#filters summary').focus()")
    press(browser, "Tab", 9)
    assert browser.evaluate("[document.activeElement.name, document.activeElement.value]") == ["task", "bbc"]
    press(browser, " ", 32)
    assert sorted(rows_seen(browser)) == sorted(expected(board, task={"bbc"}))
    seen = len(expected(board, task={"bbc"})) + 1
    assert status(browser) == f"{seen} of {every} rows shown, {every - seen} hidden"
    heads = """[...document.querySelectorAll('.overview:not(.transfer *) thead th')]
        .filter(head => head.getClientRects().length).map(head => head.textContent)"""
    assert set(browser.evaluate(heads)) == {"method", "bbc 5", "bbc 20", "mean"}
    cells = (
        "[...document.querySelector('.overview tbody tr').cells].filter(cell => cell.getClientRects().length).length"
    )
    assert browser.evaluate(cells) == 4
    assert browser.evaluate("location.hash") == "#task=bbc"
    browser.evaluate("document.getElementById('reset').focus()")
    press(browser, " ", 32)
    assert sorted(rows_seen(browser)) == sorted(expected(board))
    assert browser.evaluate("document.querySelectorAll('#filters :checked').length") == 0


@pytest.mark.parametrize(
    "chosen",
    [
        {"dpc": {"20", "all"}, "student": {"bert"}},
        {"method": {"random", ODD}},
        {"task": {"rt"}, "dpc": {"5"}, "student": {"minilm"}, "method": {"herding"}},
    ],
    ids=["dpc and student", "an odd name", "one row"],
)
def test_a_shared_address_shows_the_same(
    browser: Browser, written: Path, board: Board, chosen: dict[str, set[str]]
) -> None:
    pairs = [(facet, value) for facet, values in chosen.items() for value in sorted(values)]
    visit(browser, written, f"#{urlencode(pairs)}")
    open_all(browser)
    assert sorted(rows_seen(browser)) == sorted(expected(board, **chosen))
    browser.evaluate("document.querySelector('#filters [value=\"bert\"]').click()")
    browser.evaluate("document.querySelector('#filters [value=\"bert\"]').click()")
    address = browser.evaluate("location.href")
    browser.open("about:blank")
    browser.open(address)
    open_all(browser)
    assert sorted(rows_seen(browser)) == sorted(expected(board, **chosen)), "as the page itself wrote it"


@pytest.mark.parametrize(
    "address",
    [
        "#task=nowhere&method=",
        "#task=<img src=x onerror=alert(1)>&__proto__=x&constructor=bbc",
        "#%E0%A4%A&%&=&&method=%00",
        "#method=random'];alert(1)//",
        "#" + "task=x&" * 5000,
    ],
)
def test_an_address_that_names_nothing_here_does_nothing(
    browser: Browser, written: Path, board: Board, address: str
) -> None:
    visit(browser, written, address)
    assert status(browser) == f"all {len(board.rows)} rows shown"
    assert browser.named("Runtime.exceptionThrown") == []
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    assert browser.evaluate("document.title") == "Leaderboard: pocket"


def test_a_filter_changes_no_figure(browser: Browser, written: Path) -> None:
    texts = """[...document.querySelectorAll('.cellblock table.sortable tbody tr')]
        .filter(row => row.cells[1].textContent === 'kcenters').map(row => row.textContent)"""
    visit(browser, written)
    open_all(browser)
    before = browser.evaluate(texts)
    visit(browser, written, "#method=kcenters")
    open_all(browser)
    assert browser.evaluate(texts) == before
    assert "stay those of the whole board" in browser.evaluate("document.getElementById('filters').textContent")


def test_lines_of_drawings_and_classes_of_a_row_follow_its_method(browser: Browser, written: Path) -> None:
    visit(browser, written, "#task=bbc&student=bert&method=herding")
    open_all(browser)
    seen = """(kind => [...document.querySelectorAll(kind)].filter(part => part.getClientRects().length).length)"""
    assert browser.evaluate(f"{seen}('.cellblock .legend li')") == 1
    assert browser.evaluate(f"{seen}('.cellblock polyline')") == 1
    assert browser.evaluate(f"{seen}('.classes details')") == 2
    assert browser.evaluate(f"{seen}('#sets details:not(.later)')") == 2


def test_an_address_that_changes_is_followed(browser: Browser, written: Path, board: Board) -> None:
    visit(browser, written, "#task=rt")
    browser.evaluate("location.hash = '#task=bbc&dpc=all'")
    open_all(browser)
    assert sorted(rows_seen(browser)) == sorted(expected(board, task={"bbc"}, dpc={"all"}))


def test_without_a_script_a_board_is_all_there_or_says_what_it_lacks(
    browser: Browser, written: Path, board: Board
) -> None:
    large = "This board is large" in written.read_text(encoding="utf-8")
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        visit(browser, written, "#task=bbc")
        document = browser.call("DOM.getDocument", depth=-1)["root"]["nodeId"]

        def count(selector: str) -> int:
            found = browser.call("DOM.querySelectorAll", nodeId=document, selector=selector)
            return len(found["nodeIds"])

        assert count(".cellblock table.sortable tbody tr") == (0 if large else len(expected(board)))
        assert count(".cellblock table.matrix") == (0 if large else len(expected(board)))
        assert count("noscript p") == large
        assert count(".overview tbody tr") > 4
        assert count("#filters[hidden]") == 1
        assert count("tr[hidden], section[data-rows][hidden]") == 0
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_a_long_list_can_be_searched(browser: Browser, tmp_path: Path) -> None:
    records = [
        replace(one, method=replace(one.method, label=f"random[n={n}]"), cell=f"{n}", key=f"{one.key}-{n}")
        for n in range(14)
        for one in cell("random", n_sets=1, n_runs=1, seed=n)
    ]
    store = write_results(tmp_path / "out", records)
    (tmp_path / "page.html").write_text(page(build(store.records(), gold=store.gold), store), encoding="utf-8")
    visit(browser, tmp_path / "page.html")
    assert browser.evaluate("document.querySelectorAll('.facet').length") == 1, "one value leaves nothing to choose"
    browser.evaluate("document.querySelector('.facet').open = true")
    browser.evaluate("document.querySelector('[type=search]').focus()")
    browser.call("Input.insertText", text="N=1")
    labels = "[...document.querySelectorAll('.options label')].filter(each => each.getClientRects().length).length"
    assert browser.evaluate(labels) == 5, "1, 10, 11, 12, 13"
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", windowsVirtualKeyCode=13, text="\r")
    assert browser.evaluate("location.href") == (tmp_path / "page.html").as_uri()


def test_what_is_packed_obeys_as_little_as_the_rest(browser: Browser, tmp_path: Path) -> None:
    evil = "random[\u202edrow]<img src=x onerror=\"document.title='pwned'\">\ud800"
    records = [
        replace(one, method=replace(one.method, label=evil), cell="evil", key=f"{one.key}-evil")
        for one in cell("random", n_sets=3, n_runs=1)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaderboard.page, "MANY", 1)
        text = shown(page(build(records), ResultStore(tmp_path)))
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    visit(browser, tmp_path / "page.html")
    open_all(browser)
    name = browser.evaluate("document.querySelector('.cellblock table.sortable tbody th').textContent")
    assert name == shown(evil)
    assert "\\u202e" in name
    assert "\\ud800" in name
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    assert browser.evaluate("document.title") == "Leaderboard: pocket"


def test_on_paper_stands_how_many_rows_are_hidden_and_no_control(browser: Browser, written: Path, board: Board) -> None:
    visit(browser, written, "#task=rt")
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        visible = "document.getElementById('shown').checkVisibility()"
        assert browser.evaluate(visible)
        assert status(browser).endswith(f"{len(board.rows) - len(expected(board, task={'rt'}))} hidden")
        controls = "[...document.querySelectorAll('#filters input, button#reset')].some(each => each.checkVisibility())"
        assert not browser.evaluate(controls)
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
