"""One registry, four views: what it says stands in each of them, in full, in its place, and as text."""

from __future__ import annotations

import csv
import io
import math
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.store.record import MadeOf, Memory
from leaderboard import columns as registry
from leaderboard.board import Board, build
from leaderboard.columns import Column, Shown, columns, plain
from leaderboard.figures import size
from leaderboard.ledger import Mark, load
from leaderboard.mlflow.content import of_cell, with_figures
from leaderboard.page import environment, html_fragment
from leaderboard.tables import Cell, Table, details, overview_tables, sections, unranked
from leaderboard.text import csv_text, markdown
from tests.leaderboard.records import plugin, pocket, record, times

MEMORY = Memory(process=1_500_000_000, gpu=3_000_000_000)
NOT_APPLICABLE = record(None, method="tdd", status="not_applicable", reason="no text level")


def full_board() -> Board:
    """A board on which every column has something to say."""
    model = MadeOf(kind="model", key="m", seconds=8.0, memory=MEMORY)
    spent = times(made_of=(model,), distil_memory=MEMORY, student_memory=MEMORY)
    noted: dict[str, Any] = {
        "near_test": 1,
        "league": "C",
        "n_bytes": 1500,
        "train_copies": 5,
        "chosen_on": "validation",
    }
    records = [replace(one, time=spent, **noted) for one in pocket(("bbc",), (5, 20))]
    records = [replace(one, metrics={"accuracy": one.score, "f1": 0.25, "accuracy_f1": 0.3}) for one in records]
    board, number = build([*records, NOT_APPLICABLE]), load("dilm-2024").numbers[0]
    marks = [Mark(number, "differs") if row.summary else None for row in board.rows]
    rows = (replace(row, mark=mark) for row, mark in zip(board.rows, marks, strict=True))
    return replace(board, ledger="dilm-2024", rows=tuple(rows))


class Page(HTMLParser):
    """Tables of a page: heads, and cells as (text, data-value); and every tag that was opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.heads: list[list[str]] = []
        self.cells: list[list[list[tuple[str, str | None]]]] = []
        self.tags: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        if tag == "table":
            self.heads.append([])
            self.cells.append([])
        elif tag == "tr" and self.heads:
            self.cells[-1].append([])
        elif tag == "th" and found.get("scope") == "col":
            self.heads[-1].append("")
        elif tag in {"td", "th"} and self.cells:
            self.cells[-1][-1].append(("", found.get("data-value")))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.text += data
        if "thead" in self._open and "th" in self._open:
            self.heads[-1][-1] += data
        elif "table" in self._open and ("td" in self._open or "th" in self._open):
            text, value = self.cells[-1][-1][-1]
            self.cells[-1][-1][-1] = (text + data, value)


def markdown_tables(text: str) -> list[list[list[str]]]:
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    return [[[cell.strip() for cell in line.strip("|").split(" | ")] for line in block] for block in blocks]


def metrics(board: Board) -> dict[str, dict[str, float]]:
    """What MLflow is told of each row."""
    return {row.name: with_figures(of_cell([NOT_APPLICABLE]), board, row).metrics for row in board.rows}


def test_names_are_told_apart_in_every_view() -> None:
    assert len({column.name for column in registry.COLUMNS}) == len(registry.COLUMNS)
    assert len({column.measure for column in columns("mlflow")}) == len(columns("mlflow"))
    assert {"name"} == {column.kind for column in registry.COLUMNS if column.name == "method"}


def test_sizes_are_shown_where_sets_are_numbers() -> None:
    """Of texts they stand in the CSV alone; a mean over different sets; nothing where a record does not say."""
    texts = [replace(one, n_bytes=100 * (one.set + 1)) for one in pocket(("bbc",), (5,))]
    for league in ("A", "C"):
        shown = markdown(build([replace(one, league=league) for one in texts]))
        assert any("size a set" in table[0] for table in markdown_tables(shown)) == (league == "C")
    lines = {line["method"]: line["bytes"] for line in csv.DictReader(io.StringIO(csv_text(build(texts))))}
    assert lines["random"] == "300"
    unknown = [replace(one, n_bytes=None) if one.set == 4 else one for one in texts]
    assert {line["bytes"] for line in csv.DictReader(io.StringIO(csv_text(build(unknown))))} == {""}
    assert [size(n) for n in (0, 999, 1000, 24_649, 999_940, 999_960, 1_500_000)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "24.6 kB",
        "999.9 kB",
        "1.0 MB",
        "1.5 MB",
    ]


def test_every_column_stands_where_the_registry_says() -> None:
    board = full_board()
    page = Page(html_fragment(board))
    tables = markdown_tables(markdown(board))
    lines = list(csv.DictReader(io.StringIO(csv_text(board))))
    told = metrics(board)
    assert list(lines[0]) == [column.name for column in columns("csv")]
    (section,) = sections(board)
    loose = unranked(board)
    assert loose is not None
    for place, rows, view in ((-2, section.rows, "details"), (-1, [board.rows[-1]], "unranked")):
        mine = [column for column in columns(view) if column.name != "box"]  # type: ignore[arg-type]  # all are white
        assert len(mine) > 4
        heads = [column.heading(board, rows) for column in mine]
        assert (page.heads[place], tables[place][0]) == (heads, heads)
        for row, cells, line in zip(rows, page.cells[place][1:], tables[place][2:], strict=True):
            assert [str(column.shown(board, row)) for column in mine] == line
            for column, (shown, value) in zip(mine, cells, strict=True):
                assert shown.strip() == str(column.shown(board, row))
                order = column.order(board, row)
                assert column.kind != "number" or value == ("" if order is None else repr(float(order)))
    for row, line_of_row in zip(board.rows, lines, strict=True):
        for column in columns("csv"):
            value = column.value(board, row)
            assert line_of_row[column.name] == ("" if value is None else str(value)), "every digit"
        values = {column.measure: column.value(board, row) for column in columns("mlflow")}
        assert told[row.name] == {name: value for name, value in values.items() if value is not None}
    said = {name for found in told.values() for name in found}
    assert said == {column.measure for column in columns("mlflow")}, "each of them by some row"


def test_a_new_column_shows_up_in_every_view(monkeypatch: pytest.MonkeyPatch) -> None:
    views: frozenset[Any] = frozenset({"csv", "details", "unranked", "mlflow"})
    new = Column("luck", lambda board, row: row.planned / 3, views, title="how <lucky>", metric="luck_score")
    only = Column("quiet", lambda board, row: 1, frozenset({"csv"}))
    hidden = replace(new, name="hidden", title="hidden", metric="hidden", when=lambda board, rows: False)
    monkeypatch.setattr(registry, "COLUMNS", (*registry.COLUMNS, new, only, hidden))
    board = full_board()
    page = Page(html_fragment(board))
    for heads, cells in zip(page.heads[-2:], page.cells[-2:], strict=True):
        assert "how <lucky>" in heads
        assert not {"quiet", "hidden"} & set(heads)
        place = heads.index("how <lucky>")
        for line in cells[1:]:
            text, value = line[place]
            assert text == value
            assert 3 * float(text) in {row.planned for row in board.rows}
    for table in markdown_tables(markdown(board))[-2:]:
        assert "how &lt;lucky>" in table[0]
        assert not {"quiet", "hidden"} & set(table[0])
    for line, row in zip(csv.DictReader(io.StringIO(csv_text(board))), board.rows, strict=True):
        assert (float(line["luck"]), line["quiet"]) == (row.planned / 3, "1")
        assert metrics(board)[row.name]["luck_score"] == row.planned / 3
        assert "quiet" not in metrics(board)[row.name]


def test_late_columns_stand_last_in_tables_and_in_their_place_in_csv() -> None:
    late = [column.name for column in registry.COLUMNS if column.late]
    assert late == ["sets", "ok"]
    assert [column.name for column in columns("details")][-2:] == late
    assert [column.name for column in columns("csv")].index("sets") < 25


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)
HOSTILE = st.sampled_from(
    ["<script>", "</td>", "{{ 7*7 }}", "{% raw %}", "&lt;", '" onclick="', "'", "|", "\\|", "`", "-->"]
)
PIECES = st.lists(TEXTS | HOSTILE, min_size=1, max_size=4).map("".join)


@given(texts=st.lists(PIECES, min_size=4, max_size=4))
def test_any_text_in_a_table_stays_that_text(texts: list[str]) -> None:
    name, text, strong, title = texts
    cells = (
        Cell(plain(name), "name"),
        Cell(plain(text), "text"),
        Cell(Shown((("strong", strong), ("soft", text), ("", name)), "above", title), order=math.inf),
    )
    heads: Any = ((title, "name"), (strong, "text"), (name, "number"))
    table = Table(name, heads, (cells,), (cells,), note=text, feet_at=((),))
    source = '{% import "macros.html" as draw %}{{ draw.table(table) }}'
    page = Page(environment().from_string(source).render(table=table))
    assert page.heads == [[title, strong, name]]
    assert page.cells[0][1:] == [[(name, None), (text, None), (strong + text + name, "inf")]] * 2
    assert page.text.strip().endswith(text.strip())
    known = {"div", "table", "thead", "tbody", "tfoot", "tr", "th", "td", "button", "wbr", "b", "span", "p"}
    assert page.tags <= known


@given(label=PIECES, reason=PIECES)
def test_any_name_on_a_board_stays_that_name(label: str, reason: str) -> None:
    failed = record(None, method=plugin("m", label), status="failed", reason=reason)
    other = [record(0.5 + i / 100, method=plugin("n", f"{label}n"), set_index=i) for i in range(3)]
    board = build([failed, *other])
    page = Page(html_fragment(board))
    assert [line[1][0] for line in page.cells[-2][1:]] == [f"{label}n"]
    assert page.cells[-1][1][3][0] == label
    assert reason in page.text
    assert not page.tags & {"script", "img", "a", "iframe", "link"}
    text = markdown(board)
    assert "<" not in text
    for block in (block.splitlines() for block in text.split("\n\n") if block.startswith("|")):
        assert len({len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in block}) == 1, "rectangular"
    row = next(iter(csv.reader(io.StringIO(csv_text(board).partition("\n")[2]))))
    assert not any(cell.startswith(("=", "+", "@")) for cell in row)


def test_a_details_table_sorts_by_full_precision() -> None:
    board = full_board()
    (section,) = sections(board)
    table = details(board, section)
    place = [head for head, _ in table.heads].index("accuracy, % [95 %]")
    orders = [line[place].order for line in table.lines]
    assert orders == [row.summary.mean for row in section.rows if row.summary]


def test_a_fragment_has_its_own_style_and_asks_for_nothing() -> None:
    text = html_fragment(full_board())
    page = Page(text)
    assert "style" in page.tags
    assert not page.tags & {"script", "button", "link", "img", "a", "html", "body"}
    rules = re.findall(r"^([^{\n]+)\{", text.partition("<style>")[2].partition("</style>")[0], re.M)
    assert len(rules) > 4
    assert all(part.strip().startswith(".bench-board") for rule in rules for part in rule.split(","))
    assert "url(" not in text
    assert {"No league yet", "Not applicable"} <= {line.strip() for line in page.text.splitlines()}


def test_text_boards_load_no_templates() -> None:
    program = (
        "import sys, leaderboard.text, leaderboard.files, leaderboard.mlflow.tracker; "
        "print([name for name in ('jinja2', 'mlflow', 'torch', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_sets_without_an_example_are_not_all_data() -> None:
    found = [
        replace(record(0.5, method=name), dpc=None, league="D", n_train=n)
        for name, n in (("zero-shot", 0), ("full", 400))
    ]
    board = build(found)
    assert {row.method: (row.size, row.name) for row in board.rows} == {
        "zero-shot": ("none", "bbc no data zero-shot minilm"),
        "full": ("all", "bbc all data full minilm"),
    }
    lines = [line for line in markdown(board).splitlines() if "zero-shot" in line]
    assert any(re.match(r"\|\s+none \| zero-shot", line) for line in lines), lines
    order = next(column for column in columns("details") if column.name == "dpc")
    assert [order.order(board, row) for row in sorted(board.rows, key=lambda row: row.size)] == [math.inf, 0]


def test_an_overview_has_what_no_data_and_all_data_give_at_its_foot() -> None:
    ends = [
        replace(record(score, method=name), dpc=None, league="D", n_train=n)
        for name, n, score in (("full", 400, 0.9), ("zero-shot", 0, 0.3))
    ]
    board = build([*(replace(one, league="D") for one in pocket(("bbc",), (5,)) if one.dpc), *ends])
    (table,) = overview_tables(board)
    assert [str(foot[0].shown) for foot in table.feet] == ["zero-shot (no data)", "all data"]
    assert table.feet_at == ((("dpc", "none"),), (("dpc", "all"),))
    text = markdown(board)
    assert text.index("zero-shot (no data)") < text.index("| all data")
