"""The Python front door: the same records, board and errors as the command, from scripts without a guard."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.session import Session, choose_device
from bench.settings import Settings
from bench.store.results import ResultStore
from tests.bench.conftest import records
from tests.conftest import Bench

ROOT = Path(__file__).parents[2]
Sample = Any


@pytest.fixture
def door(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arguments that make `bench.run` do what `sample("run")` does, from the same folder."""
    monkeypatch.chdir(sample.bench.folder)
    monkeypatch.setenv("BENCH_CACHE", sample.bench.environment["BENCH_CACHE"])
    return {"suite": "suite.toml", "plugins": ["plugin.py"], "mlflow": False, "jobs": 1}


def test_it_computes_what_the_command_computes(door: dict[str, Any], sample: Sample) -> None:
    results = bench.run(out="python", sets=2, **door)
    sample("run", "--sets", "2", "--out", "command", "--jobs", "1")
    assert records(Path("python")) == records(Path("command"))
    assert (results.out / "leaderboard.md").read_text() == str(results.board())
    assert results.failures == {}
    assert results.summary.statuses["ok"] == len(results.frame()) == 16


def test_it_goes_on_where_the_command_stopped(door: dict[str, Any], sample: Sample, capfd: Any) -> None:
    sample("run", "--sets", "2", "--out", "both", "--jobs", "1")
    results = bench.run(methods=["pick", "fixed"], dpc=[2, 4], sets=3, out="both", **door)
    assert results.summary.statuses["ok"] == 8  # of 24
    assert "[24/24" in capfd.readouterr().err
    bench.run(sets=3, out="both", **door)
    assert "nothing to compute: all 24 replicates are there" in capfd.readouterr().err


def test_tables_of_replicates_cells_and_examples(door: dict[str, Any]) -> None:
    bench.run(methods="pick,fixed", dpc=2, sets=3, out="tables", **door)
    results = bench.results("tables")
    frame = results.frame()
    assert set(frame["method"]) == {"pick", "fixed"}
    assert frame["score"].between(0, 1).all()
    board = results.board(baseline="fixed")
    assert repr(board) == str(board) == board._repr_markdown_()
    cells = board.frame().set_index("method")
    assert cells.loc["pick", "baseline"] == "fixed"
    assert cells.loc["pick", "mean"] == pytest.approx(frame[frame["method"] == "pick"]["score"].mean())
    chosen = results.board(baseline="fixed", methods="pick", dpc=2)
    assert chosen.frame()["difference"].tolist() == [cells.loc["pick", "difference"]], "to a method that is not shown"
    (line,) = [line for line in chosen.latex().splitlines() if line.startswith("pick & ")]
    assert f"{100 * cells.loc['pick', 'mean']:.1f}" in line
    assert "1 row not shown" in str(chosen)
    with pytest.raises(bench.UserError, match="no dpc 3"):
        results.board(dpc=[2, 3])
    examples = results.examples()
    assert set(examples["label"]) == {"sport", "money"}
    assert len(examples[examples["method"] == "pick"]) == 3 * 2 * 2
    assert all(examples["text"].str.split().str.len() > 3)


def test_a_failing_cell_is_a_row_and_a_mistake_is_an_error(door: dict[str, Any], capfd: Any) -> None:
    results = bench.run(methods="pick,fail", dpc=2, sets=1, out="failing", **door)
    assert list(results.failures) == ["words dpc 2 fail centroid"]
    assert set(results.frame().set_index("method").loc["fail", "status"]) == {"failed"}
    assert results.summary.exit_code == 2
    assert "cell(s) failed" in capfd.readouterr().err
    for wrong, said in (
        ({"methods": "pik"}, "no method 'pik'"),
        ({"sets": 0}, "sets is 0"),
        ({"device": "gpu"}, "choose auto, cpu or cuda"),
        ({"dpc": []}, "dpc"),
        ({"dpc": "2"}, "dpc is '2', but must be a whole number >= 1"),
        ({"dpc": 2.0}, "dpc is 2.0"),
        ({"tasks": ["words", 3]}, "tasks is .*write a text"),
        ({"students": 3}, "students is 3"),
        ({"methods": {"pick": {"order": 1}}}, "methods is {'pick': .*}: write a text, such as 'random,kcenters"),
        ({"dpc": {2: 3}}, "dpc is {2: 3}, but must be a whole number"),
        ({"plugins": {"plugin.py": 1}}, "plugins is {'plugin.py': 1}, but must be a path"),
        ({"jobs": -1}, "jobs is -1"),
        ({"jobs": 0}, "jobs is 0"),
        ({"jobs": True}, "jobs is True"),
        ({"timeout": -1}, "timeout is -1"),
        ({"timeout": "10"}, "timeout is '10'"),
        ({"offline": "no"}, "offline is 'no', but must be True or False"),
        ({"mlflow": 3}, "mlflow is 3"),
        ({"out": 3}, "out is 3, but must be a path"),
        ({"out": ""}, "out is ''"),
        ({"suite": None}, "suite is None"),
        ({"plugins": [3]}, "plugins is 3"),
        ({"plugins": "nope.py"}, "nope.py: no such file"),
    ):
        with pytest.raises(bench.UserError, match=said):
            bench.run(**{**door, "out": "wrong", **wrong})
    with pytest.raises(bench.UserError, match="no results in nowhere: make some with `bench run --out nowhere`"):
        bench.results("nowhere")
    assert not Path("wrong", "results", "records.jsonl").exists()


def test_flags_go_to_the_tasks_that_declare_them(door: dict[str, Any]) -> None:
    settings = Settings.make(plugin_files=("plugin.py",))
    rows = "".join(f"review number {i},{'good' if i % 2 else 'bad'}\n" for i in range(60))
    Path("reviews.csv").write_text("what,how\n" + rows)
    flags = {"text_columns": ["what"], "label_column": "how", "test_table": None}
    session = Session.open(settings, "suite.toml", tasks="table:reviews.csv", flags=flags)
    assert session.suite.tasks[0].params.model_dump()["label"] == "how"
    with pytest.raises(bench.UserError, match="--label-column goes with --tasks table:PATH"):
        Session.open(settings, "suite.toml", flags={"label_column": "how"})
    assert Session.open(settings, "suite.toml", flags={"label_column": "how"}, elsewhere=["label_column"])


def test_no_gpu_is_a_mistake_only_when_it_was_asked_for() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert choose_device("auto") == choose_device("cpu") == 0
    with pytest.raises(bench.UserError, match="finds no GPU"):
        choose_device("cuda")


def python(folder: Path, environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_code_of_the_page_runs_as_a_script_without_a_guard(sample: Sample) -> None:
    """The page's code, with the small plugin's names in the place of those that need downloads."""
    page = (ROOT / "docs" / "python.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page.split("<!-- code -->")[1].split("<!-- end -->")[0], re.DOTALL)
    code = "\n".join(blocks)
    small = {
        '"bbc"': '"words", suite="suite.toml", plugins=["plugin.py"]',
        '"kcenters,random"': '"pick,fixed"',
        '"kcenters"': '"pick"',
        'baseline="random"': 'baseline="fixed"',
    }
    for name, replacement in small.items():
        assert name in code
        code = code.replace(name, replacement)
    (sample.bench.folder / "page.py").write_text(code)
    environment = sample.bench.environment | {"PYTHONPATH": str(ROOT)}
    said = python(sample.bench.folder, environment, "page.py")
    assert "# Leaderboard" in said
    assert "no method 'kcentres'; did you mean 'kcenters'?" in said
    assert (sample.bench.folder / "bench-out" / "results" / "records.jsonl").read_text().count("\n") == 12  # not twice
    assert (sample.bench.folder / "bench-out" / "mlflow.db").is_file()


def test_python_m_bench_is_the_command(bench: Bench) -> None:
    environment = bench.environment | {"PYTHONPATH": str(ROOT)}
    assert python(bench.folder, environment, "-m", "bench", "--version").startswith("bench, version")
    assert python(bench.folder, environment, "-m", "bench", "list", "tasks") == bench("list", "tasks").stdout


def test_the_front_door_loads_when_somebody_knocks(bench: Bench) -> None:
    code = "import sys, bench; print('bench.session' in sys.modules, bench.run.__module__, 'torch' in sys.modules)"
    environment = bench.environment | {"PYTHONPATH": str(ROOT)}
    assert python(bench.folder, environment, "-c", code).split() == ["False", "bench.session", "False"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sys.modules["bench"].nothing  # noqa: B018


def test_a_method_can_be_tried_out_in_this_process(door: dict[str, Any]) -> None:
    settings = Settings.make(plugin_files=("plugin.py",))
    session = Session.open(settings, "suite.toml", methods="fixed", dpc=(2,))
    data, ctx = session.try_out(session.suite.tasks[0])
    choice = session.suite.methods[0]
    tried = session.registry.build(choice.spec, choice.params).distill(data, 2, ctx)
    bench.run(methods="fixed", dpc=2, sets=1, out="kept", **door)
    assert list(tried.texts["text"]) == list(bench.results("kept").examples()["text"])


def test_whole_numbers_of_any_type_are_taken(door: dict[str, Any]) -> None:
    import numpy as np

    results = bench.run(methods="fixed", dpc=np.array([2]), sets=np.int64(1), out=Path("numbers"), **door)
    assert set(results.frame()["dpc"]) == {2}
    assert results.board(tasks="words").frame()["task"].tolist() == ["words"]


def test_a_plugin_that_is_edited_between_two_calls_is_another_one(door: dict[str, Any]) -> None:
    """The class of silent mistake: results of new code under the identity of the old one, or the other way round."""
    bench.run(methods="fixed", dpc=2, sets=1, out="edited", **door)
    plugin = Path("plugin.py")
    plugin.write_text(
        plugin.read_text().replace("data.class_rows(label)[:dpc] for", "data.class_rows(label)[-dpc:] for")
    )
    results = bench.run(methods="fixed", dpc=2, sets=2, out="edited", **door)
    frame = results.frame()
    assert frame.groupby("cell")["set_digest"].nunique().tolist() == [1, 1]
    assert frame.groupby("cell")["current"].unique().map(list).tolist().count([True]) == 1
    assert frame["current"].sum() == 4  # 2 sets x 2 runs of the new code
    assert set(results.board().frame()["ok"]) == {4}
    assert len(results.examples()) == 4


def test_code_that_changes_while_a_run_goes_on_is_refused(door: dict[str, Any]) -> None:
    session = Session.open(Settings.make(plugin_files=("plugin.py",)), "suite.toml", methods="fixed", dpc=(2,), sets=1)
    with ResultStore(Path("during").absolute(), "w") as store:
        plan = session.plan([])
        plugin = Path("plugin.py")
        plugin.write_text(plugin.read_text().replace("[:dpc] for label", "[-dpc:] for label"))
        with pytest.raises(bench.PluginError, match="the code of task 'words' has changed since this run was planned"):
            session.execute(plan, store, jobs=1, mlflow=False)
    assert not Path("during", "results", "records.jsonl").exists()


def test_text_fields_with_the_names_of_columns_keep_their_texts(door: dict[str, Any]) -> None:
    rows = "".join(f"{'team goal' if i % 2 else 'bank profit'} number {i},{i % 2}\n" for i in range(80))
    Path("odd.csv").write_text("method,task\n" + rows)
    table = 'table[path="odd.csv",text=["method"],label="task"]'
    examples = bench.run(tasks=table, methods="fixed", dpc=2, sets=1, out="odd", **door).examples()
    assert set(examples["method"]) == {"fixed"}
    assert set(examples["text.method"].str.split().str[0]) == {"team", "bank"}
