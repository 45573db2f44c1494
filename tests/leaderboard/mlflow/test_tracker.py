"""The MLflow sink: read back with MLflow's own client; sending again adds nothing; its failure is one line."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli.track import command
from bench.store.record import MadeOf, PlannedCell, Record
from bench.store.results import ResultStore
from leaderboard.board import board_of, build
from leaderboard.mlflow.database import TrackingError, default_uri, shown_uri
from leaderboard.mlflow.tracker import Follower, Tracker
from tests.conftest import Bench
from tests.leaderboard.conftest import write_results
from tests.leaderboard.mlflow.conftest import Prepared, Seen
from tests.leaderboard.records import cell, predicted, record, student, times
from tests.leaderboard.test_board import broken, with_score


def some_records() -> list[Record]:
    """Three cells: random with one failure, herding (one set), and one that is not applicable."""
    records = cell("random", n_sets=2) + cell("herding", n_sets=2)
    records[0] = broken(records[0], reason="student: out of memory")
    records[1] = replace(records[1], student=student("minilm", steps=200, layers=[1, 2], rate=0.0001))
    time = times(made_of=(MadeOf(kind="model", key="m", seconds=8.0),))
    records[4:] = [replace(one, time=time, near_test=1) for one in records[4:]]
    return [*records, record(None, method="tdd", status="not_applicable", reason="no text level")]


def add(store: ResultStore, records: Iterable[Record]) -> None:
    with ResultStore(store.out, "w") as writer:
        writer.append(*records)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> tuple[ResultStore, Seen, dict[str, int]]:
    store = write_results(tmp_path_factory.mktemp("tracking") / "out", some_records())
    counts = Tracker(store).sync()
    return store, Seen(default_uri(store.out)), dict(counts)


def test_counts(sent: tuple[ResultStore, Seen, dict[str, int]]) -> None:
    _, seen, counts = sent
    assert counts == {"cells": 3, "replicates": 9, "sets": 4}
    assert (len(seen.parents), len(seen.children)) == (3, 9)


def test_parents_hold_the_figures_of_the_board(sent: tuple[ResultStore, Seen, dict[str, int]]) -> None:
    store, seen, _ = sent
    for row in board_of(store).rows:
        run = seen.parents[f"bbc {row.method} dpc=5 minilm"]
        expected: dict[str, float] = {"ok": row.ok, "planned": row.planned, "sets": 0}
        if row.summary is not None:
            assert row.summary.interval is not None
            expected |= {"score_mean": row.summary.mean, "score_std": row.summary.std, "sets": row.summary.n_sets}
            expected |= {"score_ci_low": row.summary.interval.low, "score_ci_high": row.summary.interval.high}
            expected |= {"accuracy_mean": row.metrics["accuracy"]}
        if row.method == "herding":  # one set, the only one with the model
            costs = {"set_s": 8.1, "set_distil_s": 0.1, "set_prepare_s": 8.0, "set_features_s": 0.0}
            expected |= costs | {"near_test": 1}
        assert run.data.metrics == expected
        assert run.data.params["method"] == row.method
        assert run.info.status == ("FAILED" if row.method == "random" else "FINISHED")
    assert "10" not in seen.parents["bbc random dpc=5 minilm"].data.tags["mlflow.note.content"].split("±")[0]
    assert seen.parents["bbc tdd dpc=5 minilm"].data.tags["bench.reason"] == "no text level"


def test_children_hold_the_replicates(sent: tuple[ResultStore, Seen, dict[str, int]]) -> None:
    store, seen, _ = sent
    for one in store.records():
        run = seen.children[one.key]
        expected = {} if one.score is None else {"score": one.score, "accuracy": one.score}
        assert run.data.metrics == expected | {"distil_s": 0.1, "student_s": 2.5}
        parent = f"bbc {one.method.label} dpc=5 minilm"
        assert run.data.tags["mlflow.parentRunId"] == seen.parents[parent].info.run_id
        assert run.data.tags["bench.seed.run"] == str(one.seed.run)
        assert run.data.tags["bench.seed.base"] == "0"
        assert (run.data.params["set"], run.data.params["run"]) == (str(one.set), str(one.run))
        assert run.info.end_time - run.info.start_time == 2500
    first, second = store.records()[4], store.records()[5]
    assert first.status == "failed"
    assert seen.children[first.key].info.status == "FAILED"
    assert seen.children[first.key].data.tags["bench.reason"] == "student: out of memory"
    params = seen.children[second.key].data.params
    assert (params["student.steps"], params["student.layers"], params["student.rate"]) == ("200", "[1,2]", "0.0001")
    assert seen.children[second.key].info.status == "FINISHED"


def test_each_distilled_set_is_one_artifact_of_its_cell(sent: tuple[ResultStore, Seen, dict[str, int]]) -> None:
    store, seen, _ = sent
    for name, keys in (
        ("random", {"bbc-random-5-0-0", "bbc-random-5-0-1"}),
        ("herding", {"bbc-herding-5-0-0"}),
        ("tdd", {"bbc-tdd-5-0-0"}),
    ):
        run = seen.parents[f"bbc {name} dpc=5 minilm"]
        listed = seen.client.list_artifacts(run.info.run_id, "sets")
        assert {file.path for file in listed} == {f"sets/{key}.json" for key in keys}
        path = Path(seen.client.download_artifacts(run.info.run_id, listed[0].path))
        assert path.read_bytes() == (store.out / "sets" / path.name).read_bytes()
    assert all(not seen.client.list_artifacts(run.info.run_id) for run in seen.children.values())


def test_sending_again_adds_nothing_and_news_are_added(prepared: Prepared) -> None:
    records = cell("random", n_sets=2)
    store = prepared(records[:3])
    uri = default_uri(store.out)
    assert Tracker(store).sync() == {"cells": 1, "replicates": 3, "sets": 2}
    assert Tracker(store).sync() == {}
    assert Tracker(store).sync(resend=True) == {}
    add(store, records[3:])
    assert Tracker(store).sync() == {"replicates": 1, "updated": 1}
    seen = Seen(uri)
    assert len(seen.children) == 4
    (row,) = build(records).rows
    assert row.summary is not None
    assert seen.parents["bbc random dpc=5 minilm"].data.metrics["score_mean"] == row.summary.mean

    again = with_score(records[0], 0.9, predictions=predicted(0.9), time=times("2026-03-01T00:00:00Z"))
    add(store, [again])
    assert Tracker(store).sync() == {"updated": 2}, "the replicate and the figures of its cell"
    assert Seen(uri).children[again.key].data.metrics["score"] == 0.9


def test_reports_become_metrics_over_steps_and_tags_of_the_cell(prepared: Prepared) -> None:
    store = prepared(cell("random", n_sets=2))
    curves = {
        "loss": {"x": [1, 5, 9], "y": [0.5, 0.125, 0.25]},
        "a/b: «é»": {"x": list(range(2500)), "y": [float(i % 7) for i in range(2500)]},
    }
    facts: dict[str, Any] = {"n": 3, "whole": True, "text": "a", **{f"fact {i}": i for i in range(150)}}
    report: dict[str, Any] = {
        "key": "ab" * 32,
        "kind": "model",
        "title": "m",
        "facts": facts,
        "curves": curves,
        "texts": {},
    }
    for path in (store.out / "sets").iterdir():
        found = store.set(path.stem)
        assert found is not None
        path.unlink()
        store.put_set(path.stem, replace(found, reports=(report["key"],)), {report["key"]: report})
    assert Tracker(store).sync() == {"cells": 1, "replicates": 4, "sets": 2}
    seen = Seen(default_uri(store.out))
    run = seen.parents["bbc random dpc=5 minilm"]
    history = seen.client.get_metric_history(run.info.run_id, "training/model/loss")
    assert [(one.step, one.value) for one in history] == [(1, 0.5), (5, 0.125), (9, 0.25)]
    assert len(seen.client.get_metric_history(run.info.run_id, "training/model/a b é")) == 2500
    tags = {name: value for name, value in run.data.tags.items() if name.startswith("training/")}
    assert len(tags) == 153
    assert (tags["training/model/n"], tags["training/model/whole"], tags["training/model/text"]) == ("3", "True", "a")
    assert Tracker(store).sync(resend=True) == {}, "the figures of the board are compared, not these"
    assert len(seen.client.get_metric_history(run.info.run_id, "training/model/loss")) == 3


def test_a_lost_database_is_filled_again(tmp_path: Path) -> None:
    store = write_results(tmp_path / "out", cell("random", n_sets=1))
    other = f"sqlite:///{tmp_path / 'elsewhere' / 'other.db'}"
    assert Tracker(store, other).sync() == {"cells": 1, "replicates": 2, "sets": 1}
    assert not (store.out / "mlflow.db").exists()
    assert Tracker(store).sync() == {"cells": 1, "replicates": 2, "sets": 1}
    assert len(Seen(other).children) == len(Seen(default_uri(store.out)).children) == 2


def test_a_database_appears_whole_and_a_part_of_one_has_a_mend_that_works(tmp_path: Path, bench: Bench) -> None:
    """MLflow can never use a database again whose making was cut short by a full disk or kill -9."""
    store = write_results(tmp_path / "out", cell("random", n_sets=1))
    database, part = store.out / "mlflow.db", store.out / ".mlflow.db.part"
    part.write_bytes(b"what a killed process left")
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(TrackingError, match=r"did not take the results .* later, send them with"):
            Tracker(store).sync()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not database.exists()
    assert not part.exists()
    with contextlib.closing(sqlite3.connect(database)) as connection:  # as older versions left one
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER)")
        connection.commit()
    words = [str(store.out), "--resend"]
    mend = f"when {database} is damaged or was made only in part, delete it"
    assert mend in str(CliRunner().invoke(command, words).exception)
    database.unlink()
    bench("track", *words)
    assert len(Seen(f"sqlite:///{database.parent}/../out/mlflow.db").children) == 2


@pytest.mark.parametrize("kind", ["no folder", "no database", "no server", "no scheme", "plain folder"])
def test_a_broken_uri_is_one_warning(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("this is no database, and too long to be an empty one " * 50, encoding="utf-8")
    uri = {
        "no folder": f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}",
        "no database": f"sqlite:///{tmp_path / 'file'}",
        "no server": "http://someone:secret@127.0.0.1:9",
        "no scheme": "nonsense://somewhere",
        "plain folder": str(tmp_path / "mlruns"),
    }[kind]
    store = write_results(tmp_path / "out", cell("random", n_sets=1))
    warnings: list[str] = []
    follower = Follower(store, uri, warnings.append)
    follower.finish()
    follower.finish()
    (line,) = warnings
    assert "\n" not in line
    assert "bench track --resend" in line
    assert "secret" not in line
    assert shown_uri(uri) in line
    with pytest.raises(TrackingError):
        Tracker(store, uri).sync()
    assert [one.status for one in store.records()] == ["ok", "ok"], "the results stand"


def test_command(prepared: Prepared, tmp_path: Path) -> None:
    store = prepared(cell("random", n_sets=1))
    first, second, third = (CliRunner().invoke(command, [str(store.out), *more]) for more in ([], [], ["--resend"]))
    assert "1 cells, 2 replicates, 1 sets" in first.output
    assert "nothing new" in second.output
    assert "nothing new" in third.output
    missing = CliRunner().invoke(command, [str(tmp_path / "none")])
    assert "no results in" in str(missing.exception)


PROBE = """
import os, socket, sys
from pathlib import Path

def refuse(*args, **kwargs):
    print("the network was asked", args, flush=True)
    os._exit(99)

for name in ("connect", "connect_ex", "listen", "sendto", "sendmsg"):
    setattr(socket.socket, name, refuse)
socket.getaddrinfo = refuse
from bench.store.record import MadeOf, PlannedCell, Record
from bench.store.results import ResultStore
from leaderboard.mlflow.tracker import Tracker

store = ResultStore(Path(sys.argv[1]))
print(dict(Tracker(store).sync()))
print(dict(Tracker(store).sync()))
"""


def environment_outside_tests() -> dict[str, Any]:
    """MLflow sends no telemetry from tests and CI; here it must not know that it is in one."""
    marks = {"PYTEST_CURRENT_TEST", "CI", "GITHUB_ACTIONS", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"}
    return {name: value for name, value in os.environ.items() if name not in marks and "PYTEST" not in name}


def test_it_asks_no_network_and_says_nothing(tmp_path: Path) -> None:
    store = write_results(tmp_path / "out", cell("random", n_sets=1))
    words = [sys.executable, "-c", PROBE, str(store.out)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment_outside_tests())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["{'cells': 1, 'replicates': 2, 'sets': 1}", "{}"]
    assert done.stderr == ""


def test_nothing_new_is_known_without_importing_mlflow(prepared: Prepared) -> None:
    store = prepared(cell("random", n_sets=1))
    Tracker(store).sync()
    program = (
        "import sys; from pathlib import Path; from bench.store.results import ResultStore; "
        "from leaderboard.mlflow.tracker import Tracker; assert Tracker(ResultStore(Path(sys.argv[1]))).sync() == {}; "
        "print('mlflow' in sys.modules, 'torch' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(store.out)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False False False\n", done.stderr


def test_replicates_that_another_cell_takes_over_move_to_its_run(tmp_path: Path) -> None:
    """As with more preparations: the plan names them under another key, perhaps of another suite."""
    records = cell("kcenters", n_sets=2, n_runs=1)
    store = write_results(tmp_path / "out", records)
    assert Tracker(store).sync()["cells"] == 1
    first = records[0]
    plan = PlannedCell(
        suite=first.suite,
        key="taken over",
        task=first.task.label,
        method=first.method.label,
        student=first.student.label,
        dpc=first.dpc,
        replicates=tuple(one.key for one in records),
    )
    for suite, cells in ((first.suite, {first.cell, "taken over"}), ("another", {"taken over"})):
        with ResultStore(store.out, "w") as writer:
            writer.put_plan([replace(plan, suite=suite)])
        Tracker(store).sync()
        runs = Seen.runs(default_uri(store.out), suite)
        parents = {run.data.tags["bench.cell"]: run.info.run_id for run in runs if "bench.cell" in run.data.tags}
        assert set(parents) == cells
        children = [run.data.tags["mlflow.parentRunId"] for run in runs if "bench.key" in run.data.tags]
        assert children == [parents["taken over"]] * 2
    assert Tracker(store).sync() == {}
