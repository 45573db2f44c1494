"""Published numbers: what stands in the files, and the line of what is wrong in one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import plugins
from bench.errors import UserError
from bench.settings import Settings
from leaderboard.ledger import Number, ledgers, load

SMALL = """\
schema = 1
id = "mine"
cite = "A paper"
sets = 5
runs = 2
spread = "standard deviation over all runs"
scored_on = "test split"
chosen_on = "validation split"

[tasks.sst2]
metric = "accuracy"
train_rows = 67349
test_rows = 872

[students.bert-base]
params = { steps = 200, dropout = ["null", 0.1] }

[methods.random]

[methods.mine]
name = "gen-distill"
sets = 1

[[numbers]]
table = "1"
task = "sst2"
method = "random"
student = "bert-base"
dpc = [5, 10]
score = [58.1, 64.3]
deviation = [5.2, 7.4]

[[numbers]]
table = "1"
task = "sst2"
method = "mine"
student = "bert-base"
score = [92.7]
"""


def of(text: str, tmp_path: Path) -> tuple[Number, ...]:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return load(str(path)).numbers


def test_a_line_is_a_number_for_each_dpc(tmp_path: Path) -> None:
    five, ten, full = of(SMALL, tmp_path)
    assert (five.dpc, five.score, five.deviation, five.sets, five.runs) == (5, 0.581, 0.052, 5, 2)
    assert (ten.dpc, ten.score, ten.where) == (10, 0.643, "mine 1")
    assert (full.dpc, full.score, full.deviation, full.method_name, full.sets) == (None, 0.927, None, "gen-distill", 1)
    assert five.student_setting.params == {"steps": 200, "dropout": ["null", 0.1]}


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),  # line: what the one that is named begins with
    [
        ("train_rows = 67349", 'train_rows = "many"', "train_rows", "'tasks.sst2.train_rows' is \"many\""),
        ("test_rows = 872", "test_row = 872", "[tasks.sst2]", "no 'tasks.sst2.test_rows'"),
        ("runs = 2", "runs = 0", "runs", "'runs' is 0"),
        ('cite = "A paper"\n', "", "schema", "no 'cite'"),
        ("[methods.random]", "[methods.random]\nsetts = 3", "setts", "'methods.random.setts' is no field of it"),
        ("score = [58.1, 64.3]", "score = [58.1, 164.3]", "score = [58.1", "'numbers.0.score.1' is 164.3"),
        ("score = [92.7]", "score = 92.7", "score = 92.7", "'numbers.1.score' is 92.7"),
        ("score = [92.7]", "score = [92.7]\ncolour = 1", "colour", "'numbers.1.colour' is no field of it"),
        ("score = [58.1, 64.3]", "score = [58.1]", "score = [58.1]", "1 values of 'score' for 2 of 'dpc'"),
        ("deviation = [5.2, 7.4]", "deviation = [5.2]", "deviation = [5.2]", "1 values of 'deviation' for 2 of 'dpc'"),
        (
            'method = "mine"',
            'method = "mien"',
            'method = "mien',
            "method = 'mien': no [methods.mien]; did you mean 'mine'?",
        ),
        ("score = [92.7]", "score = [nan]", "score = [nan", "'numbers.1.score.0' is"),
        ("schema = 1", "schema = 2", "schema", "'schema' is 2"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(old: str, new: str, line: str, said: str, tmp_path: Path) -> None:
    assert SMALL.count(old) == 1
    text = SMALL.replace(old, new)
    (number,) = [n for n, each in enumerate(text.splitlines(), 1) if each.startswith(line)]
    with pytest.raises(UserError) as caught:
        of(text, tmp_path)
    assert f"mine.toml line {number}: {said}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_toml_is_said_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine\.toml is no TOML: .* \(at line 2, column"):
        of("schema = 1\nid =\n", tmp_path)


def test_unknown_sources_are_said() -> None:
    with pytest.raises(
        UserError, match=r"'dilm-2025' \(known: condenselm-2025, dilm-2024; .*; did you mean 'dilm-2024'\?"
    ):
        load("dilm-2025")


def numbers(source: str, **wanted: object) -> list[Number]:
    return [one for one in load(source).numbers if all(getattr(one, name) == value for name, value in wanted.items())]


def test_the_tables_of_the_paper_are_whole() -> None:
    """How many numbers each table has, and some of them; where two tables have a cell they agree."""
    found = load("dilm-2024").numbers
    assert {table: sum(one.table == table for one in found) for table in {one.table for one in found}} == {
        "Table 1": 5 * 9 + 2 * 3 + 3,
        "Table 2": 3 * 3 * 3,
        "Table 3": 9,
        "Table 4": 9,
    }
    (one,) = numbers("dilm-2024", table="Table 1", task="qqp", method="gen-distill", dpc=20)
    assert (one.score, one.deviation, one.facts.metric) == (0.644, 0.026, "accuracy_f1")
    (one,) = numbers("dilm-2024", table="Table 2", task="mnli-m", student="bert-large", method="kcenters")
    assert (one.score, one.deviation) == (0.487, 0.042)
    (one,) = numbers("dilm-2024", table="Table 4", task="sst2", method="gen-distill-ab")
    assert (one.score, one.method_setting.params["teacher"], one.method_setting.params["batch"]) == (
        0.692,
        "random",
        "plain",
    )
    (one,) = numbers("dilm-2024", table="Table 3", student_name="icl-opt-2.7b", method="gen-distill")
    assert (one.score, one.deviation) == (pytest.approx(0.927), pytest.approx(0.019))
    (one,) = numbers("dilm-2024", method="tdd", task="sst2")
    assert (one.score, one.method_setting.league, one.sets, one.runs) == (0.896, "C", 1, 100)
    assert [one.score for one in numbers("dilm-2024", method="full")] == [0.927, 0.896, 0.867]
    assert {(one.sets, one.runs) for one in numbers("dilm-2024", method="herding")} == {(1, 100)}
    assert [one.score for one in numbers("condenselm-2025", task="mnli-m", method="condenselm")] == [0.46, 0.492, 0.513]


@pytest.mark.parametrize("source", ledgers())
def test_settings_name_parameters_and_plugins_that_there_are(source: str) -> None:
    """Of the methods that are ours: a renamed parameter would make everything not comparable."""
    registry = plugins.load(Settings.make())
    specs = {kind: registry.specs(kind) for kind in ("method", "student", "task")}
    for one in load(source).numbers:
        assert one.task in specs["task"]
        assert one.student_name in specs["student"]
        assert set(one.student_setting.params) <= set(specs["student"][one.student_name].params.model_fields)
        if one.method_name.startswith("condenselm"):
            continue
        assert set(one.method_setting.params) <= set(specs["method"][one.method_name].params.model_fields)


def test_fractions_are_no_percent(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        re.sub(r"score = \[(\d)(\d)\.\d", r"score = [0.\1\2", SMALL).replace("64.3", "0.643"), encoding="utf-8"
    )
    with pytest.raises(UserError, match="all scores are at most 1: they are to be in percent"):
        load(str(path))


def test_a_number_stands_once_in_a_table(tmp_path: Path) -> None:
    again = SMALL.rstrip("\n").rpartition("[[numbers]]")[2]
    with pytest.raises(UserError, match=r"line \d+: a second number for sst2 all data mine bert-base in 1"):
        of(f"{SMALL}\n[[numbers]]{again}\n", tmp_path)
    other = again.replace('table = "1"', 'table = "2"')
    assert len(of(f"{SMALL}\n[[numbers]]{other}\n", tmp_path)) == 4, "as papers repeat theirs"


def test_a_file_that_is_no_utf_8_is_said(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(SMALL.replace("A paper", "Müller").encode("latin-1"))
    with pytest.raises(UserError, match=r"mine.toml is not UTF-8 text \(byte \d+\): save it as UTF-8"):
        load(str(path))
