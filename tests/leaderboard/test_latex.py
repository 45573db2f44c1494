"""Paper tables: every row of the board stands in them, bold says what the paired comparison says, holes are marked."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from statsmodels.stats.multitest import multipletests

from bench.cli.leaderboard import command
from bench.store.record import Record
from bench.store.results import ResultStore
from leaderboard.board import Board, board_of, build
from leaderboard.figures import percent
from leaderboard.latex import latex, sheets
from leaderboard.row import Row
from leaderboard.statistics import paired_difference
from tests.leaderboard.conftest import EVIL
from tests.leaderboard.records import cell, gold_labels, plugin, pocket, record, student, task
from tests.leaderboard.test_board import broken, plan_of, with_score
from tests.leaderboard.test_kept_results import RESULTS
from tests.leaderboard.tex import Cell, Tex, parse


def head(row: Row) -> str:
    return "" if row.dpc is None else f"dpc {row.dpc}"


def cells(board: Board) -> list[tuple[Tex, Row, Cell]]:
    """Each row with its cell, found by name alone; a row may stand in several tables."""
    text = latex(board)
    tables = dict(zip(((sheet.league, sheet.student) for sheet in sheets(board)), parse(text), strict=True))
    found = []
    for (league, name), table in tables.items():
        for row in board.rows:
            if row.student != name or row.league not in (None, league):
                continue
            names = [row.method] if row.dpc is not None else [f"{row.method}{size}" for size in SIZES]
            known = [line[0].text for line in table.lines]
            mine = [each for each in names if each in known]
            if row.league is not None:
                assert len(mine) == 1, f"{row.name} stands once"
            found += [(table, row, table.cell(each, row.task, head(row))) for each in mine]
    assert {row.names for _, row, _ in found} == {row.names for row in board.rows}, "no row is left out"
    return found


SIZES = (" (all data)", " (no data)", "")


def check(board: Board) -> None:
    """Every figure is the row's, and each cell without one is marked."""
    for table, row, mine in cells(board):
        if row.summary is None:
            assert mine.text in ("–", "n/a")
            assert mine.marks
            assert (mine.text == "n/a") == (not row.applicable)
        else:
            assert mine.text == f"{percent(row.summary.mean)}±{percent(row.summary.std)}"
            said = " ".join(table.notes[mark] for mark in mine.marks) or next(
                text for text in table.texts if text.startswith("a±b: ")
            )
            if f"Over {row.summary.n_runs} run" not in said:
                usual = next(text for text in table.texts if text.startswith("a±b: "))
                assert f"over {row.summary.n_runs} run" in usual
                assert ("one set" if row.summary.n_sets == 1 else f"{row.summary.n_sets} different sets") in usual
        if not row.complete and row.applicable:
            assert mine.marks, "what is incomplete is marked"


def expected_bold(rows: Iterable[Row], holm: bool) -> dict[str, bool]:
    """Method -> bold, of the rows of a column, two by two."""
    ranked = [row for row in rows if row.rank is not None and row.summary is not None]
    if len(ranked) < 2:
        return dict.fromkeys((row.method for row in ranked), False)
    best = max(ranked, key=lambda row: (row.complete, row.summary.mean if row.summary else 0.0))
    pairs = {
        (one.method, other.method): paired_difference(one.scores, other.scores)
        for place, one in enumerate(ranked)
        for other in ranked[place + 1 :]
    }
    decided = {names: each for names, each in pairs.items() if each is not None and not each.undecided}
    values = [each.p for each in decided.values()]
    adjusted = dict(zip(decided, multipletests(values, method="holm")[1], strict=True)) if holm and values else {}
    found = {}
    for row in ranked:
        names = next((each for each in pairs if set(each) == {row.method, best.method}), None)
        if names is not None and names in decided:
            sign = 1 if names[0] == row.method else -1
            interval = decided[names].interval
            assert interval is not None
            below = interval.high < 0 if sign == 1 else interval.low > 0
            found[row.method] = not (below and adjusted.get(names, 0.0) < 0.05)
        elif row is not best:
            found[row.method] = False
    found[best.method] = any(best.method in names for names in decided)
    return found


def check_bold(board: Board) -> int:
    """Against the two rows alone; returns how many cells are bold."""
    n = 0
    for sheet, table in zip(sheets(board), parse(latex(board)), strict=True):
        for name in dict.fromkeys((row.task, row.dpc) for row in sheet.rows if row.dpc is not None):
            shown = [row for row in sheet.rows if (row.task, row.dpc) == name]
            hidden = [row for row in board.hidden if row.block in {each.block for each in shown if each.rank}]
            expected = expected_bold([*shown, *hidden], board.correction == "holm")
            column = table.column(name[0], f"dpc {name[1]}")
            bold = {method for method, cell in column.items() if cell.bold}
            assert bold == {row.method for row in shown if expected.get(row.method)}, name
            n += len(bold)
    return n


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_every_kept_board_is_whole_and_bold_as_its_rows_compare(folder: Path) -> None:
    board = board_of(ResultStore(folder), correction="holm" if folder.name == "mpnet-sst2" else "none")
    check(board)
    assert check_bold(board) > 0


def test_a_complete_board() -> None:
    (table,) = parse(latex(build(pocket())))
    assert table.caption == "Accuracy in percent of student minilm, league A (text, hard labels)."
    assert table.label == "tab:bench-a-minilm"
    assert table.heads == [("bbc", "dpc 5"), ("bbc", "dpc 20"), ("rt", "dpc 5"), ("rt", "dpc 20")]
    assert [line[0].text for line in table.lines] == ["kcenters", "herding", "random", "full (all data)"]
    assert table.rules == 1, "all data stand at the foot"
    assert [cell.columns for cell in table.lines[-1]] == [1, 2, 2]
    assert not any(cell.bold for cell in table.lines[-1]), "all data are compared with nothing"
    assert table.cell("full (all data)", "rt").text == "–"
    assert table.texts[0] == (
        "a±b: mean and standard deviation (ddof 0), over 10 runs on 5 different sets, unless marked."
    )
    assert "–: not among these results." in table.texts
    assert table.notes == {"a": "Over 10 runs on one set: what another set would change is not in ±."}
    assert "Suite pocket; base seed 0; newest record 2026-01-01T00:00:00Z." in table.texts
    assert "Measured with platform linux, python 3.11.9, torch 2.6.0." in table.texts
    assert "hold for these test rows" in table.texts[1]
    assert not any(text.startswith("Test rows") for text in table.texts), "nobody said how many there are"
    few = pocket(("bbc", "rt"), (5,))
    (table,) = parse(latex(build(few, gold=gold_labels)))
    assert "Test rows: bbc 10000, rt 10000." in table.texts
    assert "what other sets and what other test rows would change is in it" in table.texts[1]


@pytest.mark.parametrize("correction", ["none", "holm"])
def test_bold_is_what_two_rows_alone_say(correction: Any) -> None:
    records = pocket()
    spread = [with_score(one, (one.score or 0) - 0.03 * (i % 3)) for i, one in enumerate(cell("kcenters", seed=3))]
    more = [replace(one, method=plugin("k", f"k[a={n}]"), key=f"{one.key}{n}") for n in range(5) for one in spread]
    board = build([*records, *more], correction=correction)
    assert check_bold(board) > 5
    said = parse(latex(board))[0].texts[1]
    assert said.startswith("Bold: the best of its column")
    assert ("Holm" in said) == (correction == "holm")
    assert ("no correction for many" in said) == (correction == "none")


def test_a_correction_makes_more_bold_where_it_undoes_a_separation() -> None:
    def drawn(method: str, lower: Iterable[float]) -> list[Record]:
        return [
            record(round(0.6 - each, 4), method=plugin(method), set_index=i, set_key=f"{method}{i}")
            for i, each in enumerate(lower)
        ]

    near = drawn("near", [0.02, 0.01, 0.03, 0.002, 0.04])  # separated alone, not among twenty comparisons
    others = [one for n in range(6) for one in drawn(f"m{n}", [0.02 * n, 0.1, 0.05, 0.03 * n, 0])]
    plain, corrected = (
        build([*drawn("best", [0] * 5), *near, *others], correction=each)  # type: ignore[arg-type]
        for each in ("none", "holm")
    )
    bold = [parse(latex(board))[0].cell("near", "bbc", "dpc 5").bold for board in (plain, corrected)]
    assert bold == [False, True]
    check_bold(plain)
    check_bold(corrected)


def test_a_row_is_bold_when_it_is_not_separated_from_the_best_though_it_is_from_another() -> None:
    """Best rank 1 asks more: that no row at all is separated above it."""
    wide = [0.75, 0.45, 0.9, 0.6, 0.85]
    records = [
        record(score, method=plugin(name), set_index=i, set_key=f"{name}{i}")
        for name, scores in {"wide": wide, "steady": [0.7] * 5, "low": [0.66, 0.67, 0.66, 0.67, 0.66]}.items()
        for i, score in enumerate(scores)
    ]
    board = build(records)
    rows = {row.method: row for row in board.rows}
    assert (rows["low"].rank or (0, 0))[0] == 2
    assert rows["low"].to_best == "tie"
    assert parse(latex(board))[0].cell("low", "bbc", "dpc 5").bold
    check_bold(board)


def test_where_nothing_can_be_said_nothing_is_bold() -> None:
    """One set each: the difference of 30 points is undecided, so neither the best nor the worst is bold."""
    one_set = [
        replace(one, method=plugin("other"), cell="o", set_key="o", key=f"o{i}")
        for i, one in enumerate(with_score(one, 0.3 + 0.01 * (one.run % 2)) for one in cell("herding"))
    ]
    board = build([*cell("herding"), *one_set])
    (table,) = parse(latex(board))
    assert {name: cell.bold for name, cell in table.column("bbc", "dpc 5").items()} == {
        "herding": False,
        "other": False,
    }
    (note,) = table.notes.values()
    assert note.startswith("Not bold, for want of a comparison with (or of) the best of its column: fewer than 3")
    assert table.texts[0].endswith("on one set: what another set would change is not in ±, unless marked.")
    (table,) = parse(latex(build([*cell("herding"), *one_set, *cell("random")])))
    column = table.column("bbc", "dpc 5")
    assert {name: cell.bold for name, cell in column.items()} == {"herding": True, "other": False, "random": False}
    assert len(column["other"].marks) == 2
    assert len(column["random"].marks) == 0, "separated from the best, which needs no mark"


def test_a_method_alone_in_its_column_is_not_bold() -> None:
    (table,) = parse(latex(build(cell("random"))))
    assert not table.cell("random", "bbc", "dpc 5").bold
    assert not any(text.startswith("Bold") for text in table.texts)


def test_the_best_is_a_complete_row_and_an_incomplete_one_may_be_bold_too() -> None:
    lucky = [with_score(one, 0.97) if one.set == 4 else broken(one) for one in cell("kcenters")]
    others = cell("herding", dpc=20)
    records = [*lucky, *(replace(one, dpc=5, cell="h", key=f"h{one.key}") for one in others), *cell("random")]
    board = build(records)
    (table,) = parse(latex(board))
    column = table.column("bbc", "dpc 5")
    assert {name: cell.bold for name, cell in column.items()} == {"herding": True, "kcenters": False, "random": False}
    texts = [table.notes[mark] for mark in column["kcenters"].marks]
    assert "Over 2 runs on one set: what another set would change is not in ±." in texts
    assert "Incomplete: 8 of 10 replicates failed: out of memory" in texts
    check(board)
    check_bold(board)


def holes() -> tuple[list[Record], list[Any]]:
    """One of each kind; and what is planned."""
    records = pocket()
    failed = [broken(one, reason=EVIL) if one.run else one for one in cell("kcenters", dpc=10, task="rt")]
    timeouts = [broken(one, "timeout", "600 s are over") for one in cell("random", dpc=10, task="rt")]
    no = record(None, method="tdd", status="not_applicable", reason="needs learned step sizes")
    repeats = [replace(one, near_test=2) for one in cell("herding", dpc=10, task="rt")]
    mixed = [
        replace(one, league="B" if one.run else "A", method=plugin("mix"), cell="mix", key=f"mix{one.key}")
        for one in cell("random")
    ]
    soft = [replace(one, league="B", method=plugin("s"), cell="s", key=f"s{one.key}") for one in cell("kcenters")]
    nobody = record(None, student="xlnet", status="failed", reason="no such model")
    planned = plan_of([*records, replace(no, method=plugin("later"), cell="later", key="later")])
    return [*records, *failed, *timeouts, no, *repeats, *mixed, *soft, nobody], planned


def test_each_hole_is_marked_and_named() -> None:
    board = build(*holes())
    check(board)
    check_bold(board)
    tables = {table.label.removeprefix("tab:bench-"): table for table in parse(latex(board))}
    assert set(tables) == {"a-minilm", "b-minilm", "none-xlnet"}

    def said(method: str, task: str, dpc: str, table: str = "a-minilm") -> tuple[str, str]:
        found = tables[table].cell(method, task, dpc)
        return found.text, " ".join(tables[table].notes[mark] for mark in found.marks)

    text, note = said("kcenters", "rt", "dpc 10")
    assert re.fullmatch(r"\d\d\.\d±\d\.\d", text)
    assert "Incomplete: 5 of 10 replicates failed: <script>" in note
    assert said("random", "rt", "dpc 10") == ("–", "no score (10 timeout): 600 s are over")
    assert said("tdd", "bbc", "dpc 5") == ("n/a", "not applicable: needs learned step sizes")
    assert said("later", "bbc", "dpc 5") == ("–", "not run yet")
    repeats = tables["a-minilm"].cell("herding", "rt", "dpc 10")
    assert "Some examples of its sets repeat test texts, word for word or nearly." in [
        tables["a-minilm"].notes[mark] for mark in repeats.marks
    ]
    assert not tables["a-minilm"].cell("mix", "bbc", "dpc 5").bold
    assert said("mix", "bbc", "dpc 5")[1] == "leagues A and B mixed: not ranked, so never bold."
    assert said("random", "bbc", "dpc 5", "none-xlnet") == ("–", "no score (1 failed): no such model")
    assert tables["none-xlnet"].caption.endswith("No league yet: nothing has a score.")
    assert [line[0].text for line in tables["b-minilm"].lines] == ["s"], "leagues are not mixed"


def test_a_score_of_an_older_student_is_marked_and_compared_with_nothing() -> None:
    new = [replace(one, student=student("minilm", key="new"), time=replace(one.time, finished="2026-02-01T00:00:00Z"))
           for one in [*cell("random"), *cell("herding")]]  # fmt: skip
    board = build([*new, *cell("kcenters")])
    (table,) = parse(latex(board))
    old = table.cell("kcenters", "bbc", "dpc 5")
    assert not old.bold
    assert [table.notes[mark] for mark in old.marks] == [
        "Scored by another version of the student than its neighbours: compared with nothing, never bold."
    ]
    check(board)
    check_bold(board)


def test_a_choice_leaves_bold_as_it_is_and_says_so() -> None:
    whole = parse(latex(build(pocket())))[0]
    board = build(pocket(), methods=["random", "kcenters"], dpcs=[5, 20], tasks=["bbc"])
    (table,) = parse(latex(board))
    assert [line[0].text for line in table.lines] == ["random", "kcenters"], "in the order of the choice"
    for dpc in ("dpc 5", "dpc 20"):
        for method in ("random", "kcenters"):
            mine, among_all = table.cell(method, "bbc", dpc), whole.cell(method, "bbc", dpc)
            assert (mine.text, mine.bold) == (among_all.text, among_all.bold)
    assert not table.cell("kcenters", "bbc", "dpc 5").bold or whole.cell("kcenters", "bbc", "dpc 5").bold
    assert "(rows that are not shown count too)" in table.texts[1]
    assert any("also those that are not shown: herding." in text for text in table.texts)
    assert any("(task bbc; method random, kcenters; dpc 5, 20): 9 rows not shown." in text for text in table.texts)
    check_bold(board)
    (table,) = parse(latex(build(pocket(), dpcs=[5])))
    assert "not shown" not in table.texts[1], "every method stands in each column that is shown"


def test_the_best_may_be_a_row_that_is_not_shown() -> None:
    found = (with_score(one, 0.95 + 0.001 * one.run) for one in cell("kcenters"))
    best = [replace(one, key=f"b{one.key}", method=plugin("best"), cell="b") for one in found]
    board = build([*cell("random"), *cell("kcenters"), *best], methods=["random", "kcenters"])
    (table,) = parse(latex(board))
    assert [cell.bold for cell in table.column("bbc", "dpc 5").values()] == [False, False]
    assert check_bold(board) == 0


def test_the_head_says_how_the_file_is_made_again(
    results: Callable[[Iterable[Record]], ResultStore], tmp_path: Path
) -> None:
    own = [
        replace(one, method=plugin("k", "k[a b]"), key=f"k{one.key}", cell="k") for one in cell("kcenters", n_sets=3)
    ]
    store = results([*cell("random", n_sets=3), *own, *cell("herding", n_sets=3)])
    asked = ["--task", "bbc", "--method", "random", "--method", "k[a b]", "--dpc", "5", "--correction", "holm"]
    done = CliRunner().invoke(command, [str(store.out), *asked, "--format", "latex", "--output", str(tmp_path / "t")])
    assert done.exception is None
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["leaderboard.tex"]
    text = (tmp_path / "t" / "leaderboard.tex").read_text(encoding="utf-8")
    (line,) = re.findall(r"^% Made by `(.*)`, OUT being the folder of the results\.$", text, re.MULTILINE)
    program, name, out, *options = shlex.split(line)
    assert (program, name, out) == ("bench", "leaderboard", "OUT")
    again = CliRunner().invoke(command, [str(store.out), *options, "--output", str(tmp_path / "again")])
    assert again.exception is None
    assert (tmp_path / "again" / "leaderboard.tex").read_text(encoding="utf-8") == text
    assert r"% Needs \usepackage{booktabs} and no other package." in text.split("\n")


HOSTILE = [
    EVIL,
    "\\input{/etc/passwd}",
    "a_b^c~d#e$f%g&h{i}j\\",
    "[2em] x",
    "*x",
    "é ł ß 中文 😀 – ± \x1b[31m",
    "}{",
    "a\n\\end{table}",
    '``"--,,',
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_names_give_no_orders(name: str) -> None:
    records = [
        replace(
            one,
            task=task("t", f"t{name}"),
            student=student("s", f"s{name}"),
            suite=name,
            environment={"python": name},
        )
        for one in pocket(("bbc",))
    ]
    named = [replace(one, method=plugin("m", name), cell="m", key=f"m{i}") for i, one in enumerate(records[:10])]
    failed = replace(records[0], method=plugin("f", f"f{name}"), cell="f", key="f")
    board = build([*records, *named, broken(failed, reason=name)], methods=[name, "random", "f"])
    (table,) = parse(latex(board))
    assert len(table.lines) == 3
    assert len(table.heads) == 2 * len({one.task.label for one in records})
    assert "\\input" not in "".join(line for line in latex(board).split("\n") if not line.startswith("%"))


def test_two_students_never_share_a_label() -> None:
    both = [*cell("random", student="a[b=1]"), *cell("random", student="a-b-1-")]
    assert {table.label for table in parse(latex(build(both)))} == {"tab:bench-a-a-b-1", "tab:bench-a-a-b-1--2"}


def test_metrics_are_said_task_by_task_and_boxes_where_they_differ() -> None:
    pairs: Mapping[str, float] = {"accuracy": 0.7, "f1": 0.5, "accuracy_f1": 0.6}
    qqp = [record(0.6, task="qqp", metric="accuracy_f1", metrics=dict(pairs), set_index=i) for i in range(3)]
    (table,) = parse(latex(build([*cell("random"), *qqp])))
    assert table.caption.startswith("Accuracy (bbc); mean of accuracy and F1 (qqp) in percent of student minilm")
    kept = board_of(ResultStore(next(folder for folder in RESULTS if folder.name == "icl-bbc")))
    for table in parse(latex(kept)):
        (boxes,) = [text for text in table.texts if text.startswith("Boxes")]
        assert "white: lm-grad-match" in boxes
        assert table.lines[-1][0].text == "zero-shot (no data)"


def test_no_results_are_no_table() -> None:
    assert parse(latex(build([]))) == []


def test_more_notes_than_letters() -> None:
    many = [record(None, method=f"m{n:02}", status="failed", reason=f"reason {n}") for n in range(60)]
    (table,) = parse(latex(build([*cell("random"), *many])))
    assert len(table.notes) == 60
    assert {"z", "aa", "az", "ba"} < set(table.notes)


def test_the_table_in_the_documents_is_what_its_command_makes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```latex\n(.*?)```", page, re.DOTALL)
    pocket_results = ResultStore(next(folder for folder in RESULTS if folder.name == "pocket"))
    board = board_of(pocket_results, tasks=["bbc"], methods=["random", "herding"])
    assert block in latex(board) + "\n"
    for text in (*parse(latex(board))[0].notes.values(), "Only a part of these results, by choice"):
        assert text in page.replace("\n", " ")
