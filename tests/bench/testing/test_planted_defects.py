"""Ten defects planted in plugins: who finds each of them, and that docs/plugins.md says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.api import Asset, MethodSpec, Spec
from bench.settings import Settings
from bench.testing import ConformanceError, check_method, check_student
from tests.bench.conftest import SUITE
from tests.bench.testing import planted
from tests.conftest import Bench

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parent.parent.parent / "docs" / "plugins.md"
COPY = r"take a copy and change that"
DRAW = r"draw from ctx\.rng\(\)"


@dataclass(frozen=True)
class Defect:
    """The plugin that has it; patterns of what the kit says and of what else says it, by that one's name."""

    plugin: str
    kit: str
    also: Mapping[str, str]


DEFECTS = {
    "mutated texts": Defect("mutated-texts", f"'tuple' object does not support item assignment.*{COPY}", {"run": COPY}),
    "mutated labels": Defect("mutated-labels", f"read-only.*{COPY}", {"run": COPY}),
    "mutated queries": Defect("mutated-queries", f"'tuple' object.*{COPY}", {"run": COPY}),
    "global seed": Defect(
        "global-seed",
        f"uses the global generator of numpy.random: {DRAW}",
        {"run (a warning; put back)": rf"left changed: numpy's global generator.*{DRAW}"},
    ),
    "unseeded": Defect("unseeded", f"the same seed gives other rows.*{DRAW}", {"run --verify": f"rows differ.*{DRAW}"}),
    "ignored seed": Defect("ignored-seed", rf"ignores its seed.*{DRAW}.*deterministic=True", {}),
    "kept state": Defect(
        "kept-state",
        "a run leaves a trace in the next; reset all that was trained",
        {"run --verify": r"\d+ of 40 predictions differ.*reset all that is trained"},
    ),
    "undeclared asset": Defect(
        "undeclared-asset",
        "asks for the asset 'minilm', which its spec does not declare.*add it to `assets`",
        {"run": "asks for the asset 'minilm', which its spec does not declare.*add it to `assets`"},
    ),
    "socket offline": Defect(
        "socket-offline",
        "wanted to reach 127.0.0.1: .*into `assets`",
        {"run --offline": "to reach 127.0.0.1.*into `assets`"},
    ),
    "test rows through an asset": Defect(
        "test-rows",
        "'planted-data', which holds data of a task.*take rows from what the job is given",
        {"run": "'planted-data', which holds data of a task.*take rows from what the job is given"},
    ),
}
SPECS: dict[str, Spec] = {
    spec.name: spec  # type: ignore[attr-defined]
    for spec in [*planted.bench_methods(), *planted.bench_students()]
}


def test_the_table_in_the_documents_is_this_one() -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition("| defect | found by |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    documented = {row[0]: row[1] for row in rows}
    assert documented == {name: ", ".join(["kit", *defect.also]) for name, defect in DEFECTS.items()}
    assert {defect.plugin for defect in DEFECTS.values()} == SPECS.keys() - {"bayes"}
    assert len(DEFECTS) == 10


@pytest.mark.parametrize("name", [*DEFECTS, "none"])
def test_the_kit_finds_it(name: str, tmp_path: Path) -> None:
    assets: Any = {asset.name: asset for asset in planted.bench_assets()}
    assets["minilm"] = Asset(
        name="minilm", summary="Weights.", content="model", licence="none", size_mb=1, hub="none/none"
    )
    settings = Settings.make(cache=tmp_path, data_dir=str(data_folder(tmp_path)))
    spec = SPECS[DEFECTS[name].plugin if name in DEFECTS else "bayes"]
    check: Any = check_method if isinstance(spec, MethodSpec) else check_student
    if name not in DEFECTS:
        check(spec, settings=settings, assets=assets)
        return
    with pytest.raises(ConformanceError, match=DEFECTS[name].kit) as caught:
        check(spec, settings=settings, assets=assets)
    assert f"{spec.kind} '{spec.name}'" in str(caught.value)
    assert "\n" not in str(caught.value)


def data_folder(folder: Path) -> Path:
    """A data folder in which the asset of the planted plugin lies."""
    (folder / "data" / "planted").mkdir(parents=True)
    (folder / "data" / "planted" / "test.txt").write_text("A test row.\n" * 50)
    return folder / "data"


def found(name: str, by: str, lines: list[str]) -> bool:
    """Whether one line names the plugin of a defect and says what is expected of `by`."""
    defect = DEFECTS[name]
    return any(re.search(rf"\b{defect.plugin}\b.*{defect.also[by]}", line) for line in lines)


def test_a_run_finds_it(bench: Bench, tmp_path: Path) -> None:
    (bench.folder / "suite.toml").write_text(SUITE)
    words = ["run", "--suite", "suite.toml", "--no-mlflow", "--dpc", "2", "--runs", "1", "--jobs", "1"]
    for file in (TESTS / "planted.py", TESTS.parent / "sample_plugin.py"):
        words += ["--plugin", str(file)]
    expected = [(name, by) for name, defect in DEFECTS.items() for by in defect.also]
    plugins = {name: DEFECTS[name].plugin for name, by in expected if by != "run --verify"}
    methods = ",".join(plugin for plugin in plugins.values() if isinstance(SPECS[plugin], MethodSpec))
    data = ["--data-dir", str(data_folder(tmp_path)), "--offline"]
    students = ["--students", "bayes,mutated-queries"]
    done = bench(*words, *data, "--sets", "1", "--methods", f"pick,{methods}", *students, code=3)
    lines = done.stderr.splitlines()
    for name, by in expected:
        assert by == "run --verify" or found(name, by, lines), f"{name}, {by}\n{done.stderr}"
    assert re.search(r"words dpc 2 pick bayes set 0 run 0: \d", done.stderr)

    state = ["--sets", "2", "--methods", "unseeded", "--students", "kept-state", "--verify", "2"]
    done = bench(*words, "--out", "two", *state, code=2)
    lines = done.stderr.splitlines()
    for name, by in expected:
        assert by != "run --verify" or found(name, by, lines), f"{name}, {by}\n{done.stderr}"
