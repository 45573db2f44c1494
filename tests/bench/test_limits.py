"""Input beyond all reason: each is one line and quick. The commands run in this process."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import plugins
from bench.cli.main import main
from tests.bench.conftest import SUITE

LONG = "x" * 5000
Command = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The one line on stderr with which a command ends that exits with 1; it works in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_PLUGINS", raising=False)
    (tmp_path / "plugin.py").write_text((Path(__file__).parent / "sample_plugin.py").read_text())
    (tmp_path / "suite.toml").write_text(SUITE)

    def run(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["bench", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        output, errors = capsys.readouterr()
        assert ended.value.code == 1, errors
        assert output == ""
        (line,) = errors.splitlines()
        assert line.startswith("bench: error: ")
        assert len(line) < 1200
        return line

    yield run
    plugins.forget()


@pytest.fixture
def sample(refused: Command) -> Command:
    """`refused` with the sample plugin and its suite."""
    return lambda command, *words: refused(command, "--suite", "suite.toml", "--plugin", "plugin.py", *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sets", "1000000"], "--sets is 1000000, but must be a whole number >= 1 and <= 200000"),
        (["--sets", "9" * 20], "but must be a whole number >= 1"),
        (["--sets", "9" * 5000], "Invalid value for '--sets'"),
        (["--sets", "150000"], "4 cells x 150000 sets x 2 runs are 1200000 replicates; one plan holds 200000 at most"),
        (["--runs", "200000", "--dpc", "2"], "2 cells x 3 sets x 200000 runs are 1200000 replicates"),
        (["--dpc", "9" * 20], "but must be whole numbers >= 1 and <= 1000000"),
        (["--dpc", "9" * 5000], "is not a list of positive whole numbers"),
        (["--seed", "9" * 20], "but must be a whole number >= 0 and <= 9223372036854775807"),
        (["--jobs", "1000000"], "Invalid value for '--jobs'"),
        (["--methods", f"pick[a={'[' * 3000}{']' * 3000}]"], "has 3000 brackets; 100 at most"),
        (["--methods", f"pick[a{'.a' * 3000}=1]"], "no parameter 'a.a"),
        (["--methods", LONG], "no method 'xxx"),
        (["--out", LONG], "File name too long"),
        (["--cache", LONG], "File name too long"),
        (["--data-dir", LONG], "File name too long"),
        (["--plugin", f"{LONG}.py"], "File name too long"),
        (["--tasks", f"table:{LONG}.csv"], "cannot read 'xxx"),
        (["--tasks", "table:pipe.csv"], "local asset pipe.csv is a pipe, socket or device, not a file"),
        (["--tasks", "table:/dev/zero"], "local asset /dev/zero is a pipe, socket or device, not a file"),
        (["--tasks", 'table[path="a\\u0000.csv"]'], "no file or folder 'a\\u0000.csv'"),
        (["--plugin", "pipe.py"], "pipe.py is a pipe, socket or device, not a file"),
        (["--suite", "pipe.toml"], "suite file pipe.toml is a pipe, socket or device, not a file"),
        (["--suite", "loop.toml"], "Too many levels of symbolic links"),
        (["--out", ""], "an empty value stands after '--out': fill it in, or leave it out"),
        (["--out="], "an empty value stands after '--out='"),
        (["--cache", " "], "an empty value stands after '--cache'"),
        (["--out", "\udcff"], "the argument '\\udcff' is no UTF-8 text"),
    ],
)
def test_flags(sample: Command, tmp_path: Path, words: list[str], said: str) -> None:
    for name in ("pipe.csv", "pipe.py", "pipe.toml"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    assert said in sample("plan", *words)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"sets = {'9' * 20}", "but must be a whole number >= 1 and <= 200000"),
        (f"sets = {'9' * 5000}", "suite.toml: Exceeds the limit"),
        (f"sets = 0x{'f' * 5000}", "suite.toml: Exceeds the limit"),
        (f"dpc = [{'9' * 20}]", "but must be whole numbers >= 1 and <= 1000000"),
        (f"seed = {'[' * 50_000}", "suite.toml: is nested too deeply"),
        (f"params.pick{'.a' * 5000} = 1", "suite.toml: is nested too deeply"),
    ],
)
def test_suites(sample: Command, tmp_path: Path, line: str, said: str) -> None:
    kept = [old for old in SUITE.splitlines() if old.partition(" ")[0] != line.partition(" ")[0]]
    (tmp_path / "suite.toml").write_text("\n".join([*kept, line]))
    assert said in sample("plan")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--timeout", "nan"], "Invalid value for '--timeout': nan is no number of seconds"),
        (["run", "--timeout", "inf"], "Invalid value for '--timeout'"),
        (["run", "--timeout", "0"], "Invalid value for '--timeout'"),
        (["fetch", ""], "an empty value stands after 'fetch'"),
        (["info", "asset", LONG], "unexpected extra argument (xxx"),
        (["info", LONG], "no task, method, student, suite or asset 'xxx"),
        (["leaderboard", LONG], "File name too long"),
        (["export", LONG], "File name too long"),
        (["track", LONG], "File name too long"),
        ([LONG], "no command 'xxx"),
        ([f"--{LONG}"], "No such option"),
    ],
)
def test_commands(refused: Command, words: list[str], said: str) -> None:
    assert said in refused(*words)


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("", LONG, "is no method name: up to 100 letters"),
        (None, "mine", "1.jsonl is a pipe, socket or device, not a file"),
        (r'{"text": "a\ud800", "label": 0}', "mine", "holds half of a surrogate pair"),
        (f'{{"text": {"[" * 100_000}', "mine", "1.jsonl, line 1 is not JSON"),
    ],
)
def test_sets_made_elsewhere(sample: Command, tmp_path: Path, content: str | None, name: str, said: str) -> None:
    (tmp_path / "sets").mkdir()
    if content is None:
        os.mkfifo(tmp_path / "sets" / "1.jsonl")
    else:
        (tmp_path / "sets" / "1.jsonl").write_text(content)
    assert said in sample("score", "sets", "--name", name, "--tasks", "words")


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        ("records.jsonl", "the file of records .*records.jsonl is a folder, not a file"),
        ("schema.json", "schema.json is a folder, not a file"),
    ],
)
def test_a_folder_in_the_place_of_results(sample: Command, tmp_path: Path, taken: str, said: str) -> None:
    (tmp_path / "out" / "results" / taken).mkdir(parents=True)
    assert re.search(said, sample("plan", "--out", "out"))


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("/dev/null/out", "/dev/null/out is in the way: a file where a folder is needed"),
        ("/proc/out", "cannot write to /proc/out: .*; choose another folder"),  # refused also to root
        ("taken", "results/records.jsonl is in the way: a folder where a file is needed"),
    ],
)
def test_an_output_that_cannot_be_written(sample: Command, tmp_path: Path, out: str, said: str) -> None:
    (tmp_path / "taken" / "results" / "records.jsonl").mkdir(parents=True)
    assert re.search(said, sample("run", "--out", out, "--jobs", "1"))
