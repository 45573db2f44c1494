"""Suites: what a file means, how flags override it, and one line for every mistake in it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from bench.errors import PluginError, UserError
from bench.plugins import PluginRecord, Registry, load
from bench.settings import Settings
from bench.suite import Suite, load_suite, suites
from tests.bench.test_selection import REGISTRY

TEXT = """
    name = "mine"
    summary = "My suite."
    tasks = ["news", "table:a/r.csv", "table:b/r.csv", "table:s.csv"]
    methods = ["random", "centers[rounds=5]"]
    students = ["random"]
    dpc = [5, 10]
    sets = 3

    [task.table]
    dpc = [7]

    [task."table:s.csv"]
    dpc = 2

    [params.centers]
    pooling = "mean"
"""
REGISTRY_WITH_STUDENT = Registry(
    tasks=REGISTRY.tasks,
    methods=REGISTRY.methods,
    students=REGISTRY.methods,
    assets={},
    plugins=[],  # type: ignore[arg-type]
)


def write(tmp_path: Path, text: str = TEXT) -> Path:
    path = tmp_path / "suite.toml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def read(tmp_path: Path, text: str = TEXT, **flags: object) -> Suite:
    return load_suite(write(tmp_path, text), REGISTRY_WITH_STUDENT, **flags)  # type: ignore[arg-type]


def test_file(tmp_path: Path) -> None:
    suite = read(tmp_path)
    assert (suite.name, suite.summary) == ("mine", "My suite.")
    assert [choice.label for choice in suite.methods] == ["random", "centers[rounds=5]"]
    assert suite.methods[1].params.pooling == "mean"  # type: ignore[attr-defined]
    assert (suite.dpc, suite.sets, suite.runs, suite.seed) == ((5, 10), 3, 1, 0)


def test_dpc_of_a_task_by_name_and_by_label(tmp_path: Path) -> None:
    suite = read(tmp_path)
    found = {choice.label: suite.dpc_for(choice) for choice in suite.tasks}
    assert found == {"news": (5, 10), "table:a/r.csv": (7,), "table:b/r.csv": (7,), "table:s.csv": (2,)}


def test_flags_override(tmp_path: Path) -> None:
    suite = read(tmp_path, tasks="news,table:s.csv", methods="all,-random", dpc=[3, 3, 1], sets=9, runs=2, seed=4)
    assert [choice.label for choice in suite.tasks] == ["news", "table:s.csv"]
    assert [choice.label for choice in suite.methods] == ["centers[rounds=5]"]
    assert [suite.dpc_for(task) for task in suite.tasks] == [(3, 1), (3, 1)]
    assert (suite.sets, suite.runs, suite.seed) == (9, 2, 4)


def test_task_parameters_add_to_the_suites(tmp_path: Path) -> None:
    suite = read(tmp_path, tasks="table:s.csv", task_params={"table": {"label": "stars"}})
    assert suite.tasks[0].params.label == "stars"  # type: ignore[attr-defined]
    assert suite.tasks[0].label == "table:s.csv"


def test_order_of_a_selection_is_kept(tmp_path: Path) -> None:
    assert [choice.label for choice in read(tmp_path, methods="centers,random").methods] == ["centers", "random"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sets = 3", "set = 3", "no key 'set'; did you mean 'sets'?"),
        ("sets = 3", "sets = 0", "sets is 0, but must be a whole number >= 1"),
        ("sets = 3", "sets = true", "sets is True, but must be a whole number >= 1"),
        ("sets = 3", "seed = -1", "seed is -1, but must be a whole number >= 0"),
        ("dpc = [5, 10]", "dpc = []", "dpc is [], but must be whole numbers >= 1"),
        ("dpc = [5, 10]", "dpc = [5, 0]", "dpc is [5, 0], but must be whole numbers >= 1"),
        ("dpc = [5, 10]", "", "names no dpc"),
        ("dpc = [7]", "dcp = [7]", "[task.table] has no key 'dcp'; did you mean 'dpc'?"),
        ("[task.table]", "[task.tabel]", "no task 'tabel'; did you mean 'table'?"),
        ("[params.centers]", "[params.centres]", "no plugin 'centres'; did you mean 'centers'?"),
        ('pooling = "mean"', "poolng = 1", "[params.centers]: centers has no parameter 'poolng'; did you mean"),
        ('pooling = "mean"', "rounds = 0", "parameter 'rounds' is 0, but must be at least 1"),
        ('"random", "centers', '"randm", "centers', "no method 'randm'; did you mean 'random'?"),
        ('students = ["random"]', "", "names no students; add students = [...] or use --students"),
        ('students = ["random"]', 'students = "random"', "students must be a list of selections"),
        ("[params.centers]", "[params]", "params must hold tables, [params.<name>]"),
        ("sets = 3", "sets = ", "Invalid value (at line"),
        ('name = "mine"', "name = 3", "name must be a text"),
    ],
)
def test_mistakes_are_one_line_that_names_the_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(UserError) as caught:
        read(tmp_path, TEXT.replace(old, new, 1))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    if "no task" not in message:
        assert "suite.toml" in str(caught.value)


def test_broken_plugin_that_a_suite_names_is_fatal(tmp_path: Path) -> None:
    record = PluginRecord("p", "dist", "1", "p", "broken", "ValueError: why", ("method:lost",), "'p' of dist 1")
    registry = Registry(REGISTRY.tasks, REGISTRY.methods, REGISTRY_WITH_STUDENT.students, {}, [record])
    path = write(tmp_path, TEXT.replace('"random", "centers', '"lost", "centers'))
    with pytest.raises(PluginError, match="'lost' cannot be used: plugin 'p' of dist 1 is broken: ValueError: why"):
        load_suite(path, registry)
    assert load_suite(path, registry, methods="random").methods[0].label == "random"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pockt", "no suite 'pockt'; did you mean 'pocket'?"),
        ("absent.toml", "suite file absent.toml: no such file"),
        ("some/where", "suite file some/where: no such file"),
    ],
)
def test_missing_suite(name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_suite(name, REGISTRY)
    assert message in str(caught.value)


def test_unreadable_suite(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        load_suite(path, REGISTRY)


@pytest.mark.parametrize("name", ["pocket", "glue"])
def test_built_in_suites_load_with_the_built_in_plugins(name: str, tmp_path: Path) -> None:
    suite = load_suite(name, load(Settings.make(cache=tmp_path)))
    assert suite.name == name
    assert suites()[name] == suite.summary
    assert all(suite.dpc_for(task) for task in suite.tasks)


def test_glue_is_the_papers_protocol(tmp_path: Path) -> None:
    suite = load_suite("glue", load(Settings.make(cache=tmp_path)))
    assert [choice.label for choice in suite.tasks] == ["sst2", "qqp", "mnli-m"]
    assert (suite.dpc, suite.sets, suite.runs) == ((5, 10, 20), 20, 5)
    assert [choice.label for choice in suite.students] == ["bert-base", "roberta-base", "bert-large", "xlnet-base"]
    centers = next(choice for choice in suite.methods if choice.spec.name == "kcenters")
    assert (centers.params.encoder, centers.params.pooling) == ("bert-base", "cls")  # type: ignore[attr-defined]
