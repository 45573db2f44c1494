"""A third party's package: it conforms, and installed with pip it is listed and runs like a built-in."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from bench.testing import check_method, check_task
from tests.conftest import Bench

PACKAGE = Path(__file__).parents[1] / "plugin_package"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that sees this one's packages and has the plugin installed by pip."""
    folder = tmp_path_factory.mktemp("environment")
    source = shutil.copytree(PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    venv.create(folder / "venv", with_pip=False, symlinks=os.name != "nt")
    python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    line = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip())
    seen = "".join(f"site.addsitedir({place!r});" for place in site.getsitepackages())
    (packages / "outer.pth").write_text(f"import site;{seen}\n", encoding="utf-8")
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([python, "-m", "pip", "install", *flags, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (packages / "errand_bench" / "data" / "train.csv").exists()
    return python


def run(python: Path, bench: Bench, *words: str) -> str:
    """Run `bench` with another interpreter; its standard output."""
    line = [str(python), *bench.command(*words)[1:]]
    done = subprocess.run(line, cwd=bench.folder, env=bench.environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_listed_as_a_built_in_is(installed: Path, bench: Bench) -> None:
    lines = [" ".join(line.split()) for line in run(installed, bench, "list").splitlines()]
    assert "longest The longest texts of each class." in lines
    assert "errands Instruction -> where it is carried out: kitchen, garden or workshop." in lines
    records = {record["name"]: record for record in json.loads(run(installed, bench, "plugins", "--json"))}
    assert records["errands"] == {
        "name": "errands",
        "distribution": "errand-bench",
        "version": "0.3.0",
        "source": "errand_bench.plugin",
        "state": "ok",
        "error": "",
        "owns": ["method:longest", "task:errands"],
    }
    assert records["builtin-methods"]["state"] == "ok"
    assert "'errands' of errand-bench 0.3.0" in run(installed, bench, "info", "longest")


def test_it_runs_beside_the_built_ins(installed: Path, bench: Bench, tiny_encoder: Path) -> None:
    words = ["--tasks", "errands", "--methods", "longest,longest[unit=characters],random", "--dpc", "2", "--sets", "2"]
    students = f"probe[encoder={tiny_encoder},max_length=64]"
    run(installed, bench, "run", *words, "--students", students, "--out", "out", "--jobs", "1", "--no-mlflow")
    lines = (bench.folder / "out" / "results" / "records.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert [record["status"] for record in found] == ["ok"] * 6
    assert {record["method"]["label"] for record in found} == {"longest", "longest[unit=characters]", "random"}
    assert {record["n_train"] for record in found} == {6}
    key = next(record["set_key"] for record in found if record["method"]["label"] == "longest")
    rows = json.loads((bench.folder / "out" / "sets" / f"{key}.json").read_text(encoding="utf-8"))["rows"]
    assert min(len(row["instruction"].split()) for row in rows) >= 12


def test_it_conforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PACKAGE))
    from errand_bench import plugin  # type: ignore[import-not-found]

    for spec in plugin.bench_methods():
        check_method(spec)
        check_method(spec, {"unit": "characters"})
    for spec in plugin.bench_tasks():
        check_task(spec)
    for name in [name for name in sys.modules if name.partition(".")[0] == "errand_bench"]:
        monkeypatch.delitem(sys.modules, name)
