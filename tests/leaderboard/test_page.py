"""The HTML page: opened in a real browser without a network, sorted by clicks, safe against its texts."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

import leaderboard.page
from bench.store.record import Record
from bench.store.results import ResultStore
from leaderboard.board import build
from leaderboard.page import page
from leaderboard.samples import ROWS_SHOWN, _spread
from tests.leaderboard.chromium import Browser, chromium
from tests.leaderboard.conftest import EVIL, write_results
from tests.leaderboard.records import cell, pocket, record, set_card, task_card, times
from tests.leaderboard.test_board import broken

ROOT = Path(__file__).parents[2]
DETAILS = "document.querySelectorAll('.cellblock')[0]"


def board_records() -> list[Record]:
    records = pocket()
    records[0] = broken(records[0], reason=f"broke: {EVIL}")
    return [*records, record(None, method="tdd", status="not_applicable", reason="the set has no text level")]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "out"
    store = write_results(out, board_records())
    path = out / "leaderboard.html"
    path.write_text(page(build(store.records()), store), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        found.open(written.as_uri())
        yield found


def column(browser: Browser, number: int) -> list[str]:
    """Texts of one column of the first task's table, top to bottom."""
    script = f"[...{DETAILS}.querySelectorAll('table.sortable tbody tr')].map(row => row.cells[{number}].textContent)"
    found: list[str] = browser.evaluate(script)
    return found


def click(browser: Browser, number: int) -> str:
    """Click a column's head as a mouse does; the sort order that the head then announces."""
    button = f"{DETAILS}.querySelectorAll('thead button')[{number}]"
    browser.evaluate(f"{button}.scrollIntoView({{block: 'center', inline: 'center'}})")
    place = browser.evaluate(f"(box => [box.x + 8, box.y + 8])({button}.getBoundingClientRect())")
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)
    found: str = browser.evaluate(f"{DETAILS}.querySelectorAll('thead th')[{number}].getAttribute('aria-sort')")
    return found


def test_numbers_sort_as_numbers(browser: Browser) -> None:
    assert click(browser, 2) == "descending"
    means = [float(text.split("±")[0]) for text in column(browser, 2) if "±" in text]
    assert len(means) == 7
    assert means == sorted(means, reverse=True)
    assert click(browser, 2) == "ascending"
    assert [float(text.split("±")[0]) for text in column(browser, 2) if "±" in text] == sorted(means)
    assert click(browser, 4) == "ascending", "the best rank first"
    assert column(browser, 4)[-1] == "–", "a row without a rank, all data, stays last"
    assert click(browser, 4) == "descending"
    assert column(browser, 4)[-1] == "–"


def test_a_cell_without_a_score_stands_apart_from_the_leagues(browser: Browser) -> None:
    rows = (
        "[...document.querySelectorAll('.unranked tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    state = "not applicable: the set has no text level"
    assert browser.evaluate(rows) == [["bbc", "minilm", "5", "tdd", state, "n/a"]]


def test_dpc_sorts_by_size_and_all_data_above(browser: Browser) -> None:
    assert click(browser, 0) == "ascending"
    assert column(browser, 0) == [*["5"] * 3, *["20"] * 3, "all"]


def test_words_sort_and_other_heads_are_cleared(browser: Browser) -> None:
    assert click(browser, 1) == "ascending"
    names = column(browser, 1)
    assert names == sorted(names)
    assert len(set(names)) == 4
    assert browser.evaluate(f"{DETAILS}.querySelectorAll('[aria-sort]').length") == 1


def test_nothing_leaves_the_page_and_nothing_fails(browser: Browser, written: Path) -> None:
    asked = {event["request"]["url"] for event in browser.named("Network.requestWillBeSent")}
    assert asked == {written.as_uri()}
    assert browser.named("Runtime.exceptionThrown") == []
    assert [event["entry"]["text"] for event in browser.named("Log.entryAdded")] == []


def test_texts_stay_texts_in_the_browser(browser: Browser) -> None:
    assert browser.evaluate("document.title") == "Leaderboard: pocket"
    assert browser.evaluate("document.querySelectorAll('script').length") == 1
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    assert EVIL in browser.evaluate("document.querySelector('.examples').textContent")
    assert EVIL in browser.evaluate("document.querySelector('.holes').textContent")
    assert browser.evaluate("document.querySelector('.label').textContent") == "busi<b>ness"


def test_a_script_that_is_not_ours_does_not_run(browser: Browser) -> None:
    browser.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.foreign = 1'}))"
    )
    assert browser.evaluate("window.foreign === undefined")


def test_plot_has_a_point_with_whisker_for_each_scored_cell(browser: Browser) -> None:
    svg = f"{DETAILS}.querySelector('svg.plot')"
    assert browser.evaluate(f"{svg}.querySelectorAll('.point').length") == 6
    assert browser.evaluate(f"{svg}.querySelectorAll('.whisker').length") == 6
    assert browser.evaluate(f"{svg}.querySelectorAll('polyline').length") == 3
    levels = browser.evaluate(f"[...{svg}.querySelectorAll('text.level')].map(text => text.textContent)")
    assert [text.rpartition(" ")[0] for text in levels] == ["full", "largest class"]
    assert levels[1].endswith("50.0")
    inside = f"[...{svg}.querySelectorAll('.point, .whisker, text')].every(part => {{ \
        const a = part.getBoundingClientRect(), b = {svg}.getBoundingClientRect(); \
        return a.left >= b.left - 1 && a.right <= b.right + 1 && a.top >= b.top - 1 && a.bottom <= b.bottom + 1; }})"
    assert browser.evaluate(inside)


def test_reference_texts_cross_no_whisker_and_not_each_other(browser: Browser) -> None:
    crossings = f"""(() => {{
        const svg = {DETAILS}.querySelector('svg.plot');
        const boxes = kind => [...svg.querySelectorAll(kind)].map(part => part.getBoundingClientRect());
        const texts = boxes('text.level'), others = boxes('.whisker, .point');
        const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
        return texts.flatMap((a, i) => [...others, ...texts.slice(i + 1)].filter(b => meet(a, b))).length;
    }})()"""
    assert browser.evaluate(crossings) == 0


def test_long_names_wrap_and_the_overview_needs_no_scrolling(
    browser: Browser, written: Path, results: Callable[[Iterable[Record]], ResultStore], tmp_path: Path
) -> None:
    label = "bbc[test_rows=100,train_rows=300,validation_rows=50]"
    records = pocket(("bbc", "rt"), (2, 5, 20))
    store = results(replace(one, task=replace(one.task, label=f"{one.task.name}{label[3:]}")) for one in records)
    path = tmp_path / "long.html"
    path.write_text(page(build(store.records()), store), encoding="utf-8")
    browser.call("Emulation.setDeviceMetricsOverride", width=1100, height=800, deviceScaleFactor=1, mobile=False)
    try:
        browser.open(path.as_uri())
        widths = browser.evaluate("(box => [box.scrollWidth, box.clientWidth])(document.querySelector('.scroll'))")
        assert widths[0] <= widths[1]
        head = browser.evaluate("document.querySelectorAll('.overview thead th')[1].textContent")
        assert head == f"{label} 2", "the breaks add no letter"
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")
        browser.open(written.as_uri())


def test_fits_a_phone_and_both_colour_schemes(browser: Browser) -> None:
    grounds = {}
    browser.call("Emulation.setDeviceMetricsOverride", width=360, height=780, deviceScaleFactor=2, mobile=True)
    try:
        for scheme in ("light", "dark"):
            browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            grounds[scheme] = browser.evaluate("getComputedStyle(document.body).backgroundColor")
            assert browser.evaluate("document.documentElement.scrollWidth <= 360")
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")
    light, dark = (sum(map(int, re.findall(r"\d+", grounds[scheme])[:3])) for scheme in ("light", "dark"))
    assert light > 600
    assert dark < 150


def test_rarely_needed_columns_unfold_by_keyboard_also_without_a_script(
    browser: Browser, written: Path, results: Callable[[Iterable[Record]], ResultStore], tmp_path: Path
) -> None:
    store = results(replace(one, time=times(distil_s=one.run + 0.5, made_of=())) for one in pocket())
    path = tmp_path / "costs.html"
    path.write_text(page(build(store.records()), store), encoding="utf-8")
    heads = f"[...{DETAILS}.querySelectorAll('.sortable thead th')].filter(head => head.checkVisibility()).length"
    browser.call("Emulation.setDeviceMetricsOverride", width=360, height=780, deviceScaleFactor=2, mobile=True)
    try:
        browser.open(path.as_uri())
        few = browser.evaluate(heads)
        browser.evaluate(f"{DETAILS}.querySelector('.more input').focus()")
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key=" ", windowsVirtualKeyCode=32, text=" ")
        assert browser.evaluate(heads) == few + 1
        column = f"[...{DETAILS}.querySelectorAll('td.folded')].map(cell => cell.textContent)"
        assert set(browser.evaluate(column)) == {"1.5"}, "seconds a set"
        assert browser.evaluate("document.documentElement.scrollWidth <= 360")
        assert browser.evaluate(f"{DETAILS}.querySelectorAll('svg.plot')[1].getAttribute('aria-label')") == (
            "bbc, minilm: accuracy against seconds to make a set; the table has both"
        )
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")
        browser.open(written.as_uri())
    style = (ROOT / "leaderboard" / "templates" / "board.css").read_text(encoding="utf-8")
    assert ".more:not(:has(:checked)) + .scroll .folded { display: none; }" in style, "no script does it"


class Links(HTMLParser):
    """Everything in a page that could make a browser ask for something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, name) for name, _ in attrs if name in {"src", "href", "srcset", "action", "data"}]
        if tag not in {"meta", "wbr", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_file_refers_to_nothing_and_its_tags_match(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert links.found == []
    assert links.open == []
    assert "@import" not in text
    assert "url(" not in text


def test_the_policy_allows_the_own_script_and_nothing_else(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert unescape(policy) == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_size_is_bounded_by_what_is_shown(results: Callable[[Iterable[Record]], ResultStore]) -> None:
    store = results(pocket())
    text = page(build(store.records()), store)
    assert text.count("<h4>") == 2 * 2 * (3 + 3 + 1), "three sets of a cell at most, one of a deterministic method"
    assert text.count('class="label"') == 28 * 10
    assert len(text) < 300_000


def test_a_large_board_takes_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaderboard.page, "MANY", 1)
    sizes, rows = [], []
    for n_tasks in (1, 5):
        records = [
            one
            for task in range(n_tasks)
            for dpc in (1, 5, 10, 20)
            for method in ("random", "kcenters", "herding")
            for one in cell(method, n_sets=3, n_runs=1, dpc=dpc, task=f"task-{task}", seed=task)
        ]
        store = write_results(tmp_path / str(n_tasks), records)
        board = build(store.records())
        sizes.append(len(page(board, store)))
        rows.append(len(board.rows))
    assert (sizes[1] - sizes[0]) / (rows[1] - rows[0]) < 1000, "bytes a cell"


@pytest.mark.parametrize("nearest", [True, False])
def test_sets_without_texts_show_their_nearest_texts_for_the_eye(tmp_path: Path, nearest: bool) -> None:
    records = [replace(one, league="C", n_bytes=24_649) for one in cell("herding", n_runs=1)]
    rows = [{"label": i, **({"nearest": f"near {i}: {EVIL}"} if nearest else {})} for i in range(2)]
    with ResultStore(tmp_path, "w") as store:
        store.append(*records)
        store.put_task("r1", task_card())
        store.put_set(records[0].set_key, set_card(records[0], n=2, fields=(), rows=tuple(rows)), {})
    text = page(build(store.records()), store)
    said = "the texts nearest to its examples, only to look at; no student reads them"
    assert (said in text, "no text level" in text) == (nearest, not nearest)
    assert [i for i in range(2) if f"near {i}: {EVIL}" in unescape(text)] == [0, 1] * nearest
    assert EVIL not in text
    assert "24.6 kB" in text


def test_shown_rows_take_turns_between_classes() -> None:
    rows = [{"label": label, "text": f"{label}{i}"} for label in range(3) for i in range(20)]
    shown = [row["text"] for row in _spread(rows, ROWS_SHOWN)]
    assert shown == ["00", "01", "02", "03", "10", "11", "12", "20", "21", "22"]
