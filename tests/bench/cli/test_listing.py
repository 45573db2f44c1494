"""`bench list`, `info`, `plugins`, `doctor`: what they print, their exit codes, and what they import."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench import plugins
from bench.cli import doctor
from bench.cli.info import suite_lines
from bench.cli.main import cli
from bench.errors import PluginError, UserError
from bench.settings import Settings
from bench.suite import load_suite

HEAVY = ("torch", "transformers", "datasets", "mlflow", "pandas", "sklearn")
ADDED = """
    from bench.api import Asset, MethodSpec, Params, hookimpl
    from pydantic import Field

    class MineParams(Params):
        rate: float = Field(default=0.5, gt=0, le=1, description="how much")
        words: list[str] | None = None

    @hookimpl
    def bench_methods():
        return [
            MethodSpec(
                name="mine",
                summary="My method.",
                target="mine.code:Mine",
                params=MineParams,
                preset={"rate": 0.25},
                notes="Its source.",
                assets=lambda params: ("my-corpus", "hub:org/model@abc"),
            )
        ]

    @hookimpl
    def bench_assets():
        return [
            Asset(
                name="my-corpus",
                summary="A corpus.",
                content="data",
                licence="CC0-1.0",
                size_mb=1.5,
                wheel="my-wheel",
                version="2.0",
                sha256="%s",
            )
        ]
""" % ("ab" * 32)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_PLUGINS", raising=False)
    plugins.forget()
    yield
    plugins.forget()


@pytest.fixture
def added(tmp_path: Path) -> str:
    """A one-file plugin with a method and an asset."""
    return write(tmp_path, ADDED)


def write(tmp_path: Path, source: str) -> str:
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return str(path)


def bench(*arguments: str) -> Result:
    """Run a command in this process; a failure that is no exit code is raised."""
    return CliRunner().invoke(cli, arguments, standalone_mode=False, catch_exceptions=False)


def test_list_names_every_kind_and_the_added_method(added: str) -> None:
    result = bench("list", "--plugin", added)
    blocks = dict(block.split("\n", 1) for block in result.stdout.strip().split("\n\n"))
    assert list(blocks) == ["tasks", "methods", "students", "suites"]
    assert any(line.split(maxsplit=1) == ["mine", "My method."] for line in blocks["methods"].splitlines())
    assert "  kcenters " in blocks["methods"]
    assert result.stderr == ""


@pytest.mark.parametrize("kind", ["tasks", "methods", "students", "suites", "assets"])
def test_list_of_one_kind_as_json_agrees_with_the_text(kind: str, added: str) -> None:
    found = json.loads(bench("list", kind, "--json", "--plugin", added).stdout)
    assert list(found) == [kind]
    lines = bench("list", kind, "--plugin", added).stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [entry["name"] for entry in found[kind]]
    assert all(entry["summary"] in line for line, entry in zip(lines, found[kind], strict=True))


def test_list_of_tags() -> None:
    shown = bench("list", "methods", "--tags", "embedding").stdout
    assert shown.splitlines()[0] == "methods"
    names = [line.split()[0] for line in shown.splitlines()[1:]]
    assert {"tdd", "tdd-text", "dd", "class-mean"} <= set(names)
    assert "random" not in names
    both = json.loads(bench("list", "--tags", "embedding,baseline", "--json").stdout)
    assert list(both) == ["methods"]
    assert all({"embedding", "baseline"} <= set(entry["tags"]) for entry in both["methods"])
    with pytest.raises(UserError, match="nothing listed has the tag 'embeding'; did you mean 'embedding'"):
        bench("list", "--tags", "embeding")
    with pytest.raises(UserError, match="nothing listed has all of the tags coreset, generator"):
        bench("list", "methods", "--tags", "coreset,generator")


def test_broken_plugin_is_one_warning_line_and_the_list_goes_on(tmp_path: Path) -> None:
    result = bench("list", "--plugin", write(tmp_path, "import no_such_library"))
    assert "kcenters" in result.stdout
    assert len(result.stderr.splitlines()) == 1
    assert "mine.py is broken: ModuleNotFoundError: No module named 'no_such_library'" in result.stderr


def test_info_shows_parameters_and_assets(added: str) -> None:
    lines = bench("info", "mine", "--plugin", added).stdout.splitlines()
    text = "\n".join(" ".join(line.split()) for line in lines)
    assert lines[:2] == ["method mine", "  My method."]
    assert "rate float 0.25 > 0, <= 1 how much" in text
    assert "words list of str or null null" in text
    assert "source wheel my-wheel 2.0" in text
    assert f"sha256 {'ab' * 32}" in text
    assert "licence CC0-1.0" in text
    assert "size 1.5 MB" in text
    assert "cached no; bench fetch my-corpus" in text
    assert "source hub repository org/model\nrevision abc" in text.replace("content model\n", "")


@pytest.mark.parametrize("name", ["pocket", "glue", "table", "minilm", "random"])
def test_info_of_built_ins(name: str) -> None:
    assert name in bench("info", name).stdout.splitlines()[0]


def test_info_of_a_suite_shows_what_it_sets(added: str, tmp_path: Path) -> None:
    file = tmp_path / "suite.toml"
    file.write_text(
        'tasks = ["bbc", "rt"]\nmethods = ["random", "mine"]\nstudents = ["probe"]\ndpc = [5, 10]\n'
        "[task.rt]\ndpc = [20]\n[params.mine]\nrate = 0.75\n"
    )
    suite = load_suite(file, plugins.load(Settings.make(plugin_files=(added,))))
    lines = [" ".join(line.split()) for line in suite_lines(suite)]
    assert lines[0] == "suite suite"
    assert {"tasks bbc, rt", "methods random, mine", "dpc 5, 10", "dpc of rt 20", "sets 1"} <= set(lines)
    assert lines[-2:] == ["parameters set by the suite", "mine rate=0.75"]


def test_info_says_when_local_files_replace_the_hub(tmp_path: Path) -> None:
    asset = next(asset for asset in plugins.load(Settings.make()).assets.values() if asset.folder)
    assert "cached       no; bench fetch" in bench("info", asset.name).stdout
    (tmp_path / asset.folder).mkdir(parents=True)
    lines = bench("info", asset.name, "--data-dir", str(tmp_path)).stdout.splitlines()
    assert lines[1].split() == ["source", "local", "path", str(tmp_path / asset.folder)]


def test_info_of_an_unknown_name_suggests_one(added: str) -> None:
    with pytest.raises(UserError, match="suite or asset 'my-corpsu'; did you mean 'my-corpus'"):
        bench("info", "my-corpsu", "--plugin", added)


def test_info_of_a_name_that_a_broken_plugin_owns(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"method 'mine' cannot be used: .*the summary must be one line"):
        bench("info", "mine", "--plugin", write(tmp_path, ADDED.replace("My method.", "")))


def test_plugins_shows_state_and_cause(tmp_path: Path) -> None:
    file = write(tmp_path, "import no_such_library")
    lines = bench("plugins", "--plugin", file).stdout.splitlines()
    assert lines[0].split() == ["state", "plugin", "distribution", "adds"]
    assert lines[1].split()[:3] == ["ok", "builtin-methods", "distillation-bench"]
    assert lines[-2].split()[:3] == ["broken", "mine", file]
    assert "No module named 'no_such_library'" in lines[-1]
    records = json.loads(bench("plugins", "--json", "--plugin", file).stdout)
    assert [record["state"] for record in records] == ["ok", "ok", "ok", "broken"]
    assert "method:kcenters" in records[0]["owns"]


def test_doctor_of_this_installation() -> None:
    result = bench("doctor")
    states = {line.split()[1]: line.split()[0] for line in result.stdout.splitlines()}
    assert result.return_value == 0
    assert {states[name] for name in ("python", "torch", "pip", "cores", "cache", "plugin")} == {"ok"}
    assert "-> bench fetch minilm" in result.stdout


def test_doctor_fails_for_a_broken_plugin_and_for_other_faults(tmp_path: Path) -> None:
    result = bench("doctor", "--plugin", write(tmp_path, "import no_such_library"))
    assert result.return_value == 3
    assert "fail  plugin" in result.stdout
    (tmp_path / "file").write_text("")
    result = bench("doctor", "--cache", str(tmp_path / "file" / "cache"))
    assert result.return_value == 1
    assert "cannot be written (Not a directory) -> choose another with --cache" in result.stdout
    result = bench("doctor", "--offline")
    assert result.return_value == 1
    assert "not cached, and this is offline" in result.stdout


def test_doctor_names_a_cache_of_another_schema(tmp_path: Path) -> None:
    mark = tmp_path / "cache" / "artifacts" / "schema.json"
    mark.parent.mkdir(parents=True)
    mark.write_text('{"schema": 99}')
    result = bench("doctor")
    assert result.return_value == 1
    assert "has schema 99" in result.stdout


def test_doctor_names_an_old_or_missing_dependency(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["click>=99.1", "no-such-distribution>=2", "numpy", 'pytest>=99; extra == "test"']
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: lines)
    found = {check.subject: check for check in doctor.dependencies()}
    assert {name: check.state for name, check in found.items()} == {
        "click": "fail",
        "no-such-distribution": "fail",
        "numpy": "ok",
    }
    assert found["click"].mend == "python -m pip install 'click>=99.1'"
    assert "missing, >=2 is needed" in found["no-such-distribution"].found


@pytest.mark.parametrize(
    ("version", "state"),
    [("2.13.0+cpu", "ok"), ("2.6", "ok"), ("2.5.9", "fail"), ("10.0", "ok"), ("2.6rc1", "fail"), ("3.0rc1", "ok")],
)
def test_versions_are_compared_as_pip_does(version: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: ["torch>=2.6"])
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda name: version)
    assert [check.state for check in doctor.dependencies()] == [state]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["plugins"],
        ["plan"],
        ["info", "kcenters"],
        ["run", "--help"],
        ["plan", "--tasks", "table:x.csv"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("".join(["text,label\n", *(f"text {i},{i % 2}\n" for i in range(60))]))
    code = textwrap.dedent(f"""
        import sys
        from bench.cli.main import cli
        cli.main({arguments!r}, prog_name="bench", standalone_mode=False)
        print("imported:", *[name for name in {HEAVY!r} if name in sys.modules])
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["imported:"]
