"""Sending a little at a time, from several processes, over failures: each run once, and all as at one go."""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from bench.store.results import ResultStore
from leaderboard.board import board_of
from leaderboard.mlflow import tracker as tracking
from leaderboard.mlflow.content import of_replicate, replicate_stamp
from leaderboard.mlflow.database import TrackingError, default_uri
from leaderboard.mlflow.sent import Sent
from leaderboard.mlflow.sink import Sink
from leaderboard.mlflow.tracker import GROUP, Follower, Tracker
from tests.leaderboard.conftest import write_results
from tests.leaderboard.mlflow.conftest import Prepared, Seen
from tests.leaderboard.records import cell, times
from tests.leaderboard.test_board import broken, with_score

RECORDS = cell("random", n_sets=4, n_runs=3) + cell("herding", n_sets=4, n_runs=3)


def content(store: ResultStore) -> dict[str, Any]:
    """All that MLflow has, without its own ids."""
    seen = Seen(default_uri(store.out))
    names = {run.info.run_id: name for name, run in seen.parents.items()}
    found = {}
    for key, run in (seen.parents | seen.children).items():
        tags = {name: names.get(value, value) for name, value in run.data.tags.items()}
        files = {file.path for file in seen.client.list_artifacts(run.info.run_id, "sets")}
        times_of = (run.info.status, run.info.start_time, run.info.end_time)
        found[key] = (run.data.metrics, run.data.params, tags, times_of, files)
    return found


@pytest.fixture(scope="module")
def at_one_go(tmp_path_factory: pytest.TempPathFactory, database: Path) -> dict[str, Any]:
    store = write_results(tmp_path_factory.mktemp("whole") / "out", RECORDS)
    shutil.copy(database, store.out / "mlflow.db")
    assert Tracker(store).sync() == {"cells": 2, "replicates": 24, "sets": 5}
    return content(store)


def test_without_time_it_goes_on_by_groups_and_ends_as_at_one_go(prepared: Prepared, at_one_go: dict[str, Any]) -> None:
    store = prepared(RECORDS)
    tracker = Tracker(store)
    calls = []
    while sent := tracker.sync(seconds=0):
        calls.append(dict(sent))
    assert [call["replicates"] for call in calls] == [GROUP, GROUP, 24 - 2 * GROUP]
    assert content(store) != at_one_go, "figures of cells need time"
    assert tracker.sync(seconds=60) == {"sets": 5}
    assert content(store) == at_one_go
    assert tracker.sync() == {}


def test_news_cost_no_search(prepared: Prepared, at_one_go: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    store = prepared(RECORDS[:10])
    tracker = Tracker(store)
    tracker.sync()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("MLflow was searched")

    monkeypatch.setattr("mlflow.MlflowClient.search_runs", refuse)
    write_results(store.out, RECORDS[10:20])
    assert tracker.sync()["replicates"] == 10
    write_results(store.out, RECORDS[20:])
    assert Tracker(ResultStore(store.out)).sync()["replicates"] == 4, "nor by another process"
    monkeypatch.undo()
    assert content(store) == at_one_go


@pytest.mark.parametrize("call", ["create_run", "log_batch", "set_terminated", "log_artifact"])
@pytest.mark.parametrize(("after", "same_process"), [(False, True), (True, False)])
def test_a_failure_anywhere_doubles_nothing(
    call: str,
    after: bool,
    same_process: bool,
    prepared: Prepared,
    at_one_go: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MLflow fails in the middle, before or after it did what it was asked."""
    from mlflow import MlflowClient

    store = prepared(RECORDS)
    tracker = Tracker(store)
    real = getattr(MlflowClient, call)
    calls = Counter[str]()

    def fails(*words: Any, **named: Any) -> Any:
        calls[call] += 1
        due = calls[call] == (3 if call == "log_artifact" else 14)
        if due and not after:
            raise OSError("gone")
        found = real(*words, **named)
        if due:
            raise OSError("gone")
        return found

    monkeypatch.setattr(MlflowClient, call, fails)
    with pytest.raises(TrackingError, match="gone"):
        tracker.sync()
    monkeypatch.undo()
    again = tracker if same_process else Tracker(ResultStore(store.out))
    again.sync()
    assert content(store) == at_one_go
    assert again.sync() == {}
    assert again.sync(resend=True) == {}


def test_a_board_that_takes_too_long_waits_for_the_end(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "RECORD_SECONDS", 100.0)
    store = prepared(RECORDS[:2])
    tracker = Tracker(store)
    monkeypatch.setattr(tracking, "board_of", lambda *_: pytest.fail("a board was made"))
    assert tracker.sync(seconds=50) == {"cells": 1, "replicates": 2}
    monkeypatch.setattr(tracking, "board_of", board_of)
    assert tracker.sync() == {"sets": 1}
    write_results(store.out, RECORDS[2:4])
    assert tracker.sync(seconds=50) == {"replicates": 2, "updated": 1, "sets": 1}, "now it is known to be quick"


def test_two_processes_share_the_work(prepared: Prepared, at_one_go: dict[str, Any]) -> None:
    store = prepared(RECORDS)
    one, two = Tracker(store), Tracker(ResultStore(store.out))
    sent: Counter[str] = Counter()
    while found := one.sync(seconds=0) + two.sync(seconds=0):
        sent += found
    sent += two.sync()
    assert one.sync() == {}
    assert sent == {"cells": 2, "replicates": 24, "sets": 5}
    assert content(store) == at_one_go


def test_while_another_sends_a_call_with_a_budget_does_not_wait(prepared: Prepared) -> None:
    store = prepared(RECORDS[:2])
    with FileLock(store.out / "tracking.lock"):
        start = time.monotonic()
        assert Tracker(store).sync(seconds=5) == {}
        assert time.monotonic() - start < 5
    assert Tracker(store).sync(seconds=5)["replicates"] == 2


def test_a_database_in_the_place_of_the_old_one_is_noticed(prepared: Prepared) -> None:
    store = prepared(RECORDS[:2])
    Tracker(store).sync()
    sink = Sink(default_uri(store.out), store.out / "mlartifacts")
    run = next(iter(Seen(default_uri(store.out)).children.values())).info.run_id
    assert sink.knows(run)
    assert not sink.knows("0" * 32)
    journal = Sent(store.out / "tracking.jsonl", default_uri(store.out))
    assert journal.read()
    journal.note({place: replace(run, id="0" * 32) for place, run in journal.runs.items()})
    write_results(store.out, RECORDS[2:4])
    assert Tracker(store).sync() == {"replicates": 2, "updated": 1, "sets": 1}
    assert len(Seen(default_uri(store.out)).children) == 4


def test_a_figure_that_is_gone_is_no_number_any_more(prepared: Prepared) -> None:
    records = cell("random", n_sets=1, n_runs=2)
    store = prepared(records)
    tracker = Tracker(store)
    tracker.sync()
    later = times("2026-05-01T00:00:00Z")
    write_results(store.out, [replace(broken(one, reason="lost"), time=later) for one in records])
    assert tracker.sync()["updated"] == 3
    seen = Seen(default_uri(store.out))
    (parent,) = seen.parents.values()
    assert parent.data.metrics["ok"] == 0
    for run in (parent, *seen.children.values()):
        scores = {name: value for name, value in run.data.metrics.items() if "score" in name or "accuracy" in name}
        assert scores
        assert all(map(math.isnan, scores.values()))
        assert run.info.status == "FAILED"
    assert Tracker(store).sync(resend=True) == {}


def test_a_larger_plan_opens_the_cell_again(prepared: Prepared) -> None:
    from tests.leaderboard.test_board import plan_of

    records = cell("random", n_sets=2, n_runs=2)
    store = prepared(records[:2])
    with ResultStore(store.out, "w") as writer:
        writer.put_plan(plan_of(records[:2]))
    tracker = Tracker(store)
    tracker.sync()
    with ResultStore(store.out, "w") as writer:
        writer.put_plan(plan_of(records))
    assert tracker.sync() == {"updated": 1}
    (parent,) = Seen(default_uri(store.out)).parents.values()
    assert (parent.data.metrics["planned"], parent.info.status) == (4, "RUNNING")
    write_results(store.out, records[2:])
    tracker.sync()
    (parent,) = Seen(default_uri(store.out)).parents.values()
    assert (parent.data.metrics["ok"], parent.info.status) == (4, "FINISHED")


def test_a_score_by_other_code_is_another_content() -> None:
    one = RECORDS[0]
    assert of_replicate(one).stamp == of_replicate(replace(one)).stamp
    others = [
        with_score(one, 0.25, predictions=one.predictions),
        replace(one, time=times("2027-01-01T00:00:00Z")),
        replace(one, near_test=None, reason="why"),
        replace(one, metrics={**one.metrics, "f1": 0.5}),
    ]
    assert len({of_replicate(other).stamp for other in (one, *others)}) == 5
    assert all(replicate_stamp(other) == of_replicate(other).stamp for other in (one, *others))


def test_a_follower_sends_now_and_then_and_all_at_the_end(
    prepared: Prepared, at_one_go: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = prepared(RECORDS[:12])
    follower = Follower(store, None, pytest.fail)
    follower.now_and_then()
    assert not (store.out / "tracking.jsonl").exists(), "it has just begun"
    monkeypatch.setattr(tracking, "EVERY", -1.0)
    monkeypatch.setattr(tracking, "BUDGET", 0.0)
    follower.now_and_then()
    assert len(Seen(default_uri(store.out)).children) == GROUP
    write_results(store.out, RECORDS[12:])
    follower.finish()
    assert content(store) == at_one_go
    rows = {row.method: row for row in board_of(store).rows}
    assert rows["random"].summary is not None
    assert at_one_go["bbc random dpc=5 minilm"][0]["score_mean"] == rows["random"].summary.mean
