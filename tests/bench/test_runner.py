"""The runner from the outside: counts, caches, resume after SIGKILL, isolation of failures, bad input."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench.conftest import records

Sample = Any
VECTORS_BYTES = 4 * (4 * 16 * 4 + 4 * 8 + 2 * 4 + 8) + 2 * 4  # 4 times inputs, mask, targets, group; 2 step sizes


def calls(folder: Path, what: str) -> int:
    path = folder / what
    return len(path.read_text()) if path.exists() else 0


def test_one_job_two_jobs_and_a_killed_run_agree(sample: Sample, tmp_path: Path) -> None:
    bench = sample.bench
    sample("run", "--jobs", "1", "--out", "one")
    sample("run", "--jobs", "2", "--out", "two", BENCH_CACHE=str(tmp_path / "other-cache"))
    expected = records(bench.folder / "one")
    assert len(expected) == 2 * 2 * 3 * 2
    assert all(record["status"] == "ok" for record in expected)
    assert records(bench.folder / "two") == expected

    slow = ["--students", "centroid[seconds=0.2]", "--jobs", "2"]
    sample("run", *slow, "--out", "whole")
    process = bench.start(*sample.words("run", *slow, "--out", "killed", "--cache", str(tmp_path / "third-cache")))
    store = bench.folder / "killed" / "results" / "records.jsonl"
    deadline = time.monotonic() + 60
    while not (store.exists() and store.read_bytes().count(b"\n") >= 5):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    done = store.read_bytes().count(b"\n")
    assert 5 <= done < 24
    with open(store, "ab") as file:
        file.write(b'{"key": "torn')
    sample("run", *slow, "--out", "killed", "--cache", str(tmp_path / "third-cache"))
    assert store.read_bytes().count(b"\n") == 24
    assert records(bench.folder / "killed") == records(bench.folder / "whole")


def test_examples_that_repeat_test_texts_are_counted(sample: Sample) -> None:
    done = sample("run", "--methods", "leak,vectors,pick", "--dpc", "3", "--out", "out")
    out = sample.bench.folder / "out"
    line = "words dpc 3 leak: 2 examples in 1 of 1 set repeat test texts"
    warnings = [each for each in done.stderr.splitlines() if each.startswith("bench: warning")]
    assert [each.startswith(f"bench: warning: {line}") for each in warnings] == [True]
    assert f"- {line}" in done.stdout
    again = sample("run", "--methods", "leak,vectors,pick", "--dpc", "3", "--out", "out")
    assert f"bench: warning: {line}" in again.stderr, "also when nothing is computed"
    assert f"bench: warning: {line}" not in sample("run", "--methods", "pick", "--dpc", "3", "--out", "out").stderr
    assert {r["method"]["label"]: r["near_test"] for r in records(out)} == {"leak": 2, "vectors": None, "pick": 0}
    assert {r["method"]["label"]: r["league"] for r in records(out)} == {"leak": "A", "vectors": None, "pick": "A"}
    found = [json.loads(path.read_text()) for path in (out / "sets").iterdir()]
    counted = {one["method"]: one["near_test"] for one in found}
    assert counted == {"leak": 2, "vectors": None, "pick": 0}  # one for each class
    assert "2 of them near-duplicates of test texts" in (out / "leaderboard.html").read_text()
    sample.bench("export", "out", "--to", "sets", "--method", "leak")
    (card,) = (sample.bench.folder / "sets").glob("*.md")
    assert "nearly or word for word: 2" in card.read_text()


def test_the_learner_seed_is_shared_by_methods_and_sets_differ(sample: Sample) -> None:
    sample("run", "--out", "out")
    found = records(sample.bench.folder / "out")
    seeds: dict[tuple[Any, ...], set[int]] = {}
    for record in found:
        seeds.setdefault((record["dpc"], record["set"], record["run"]), set()).add(record["seed"]["run"])
    assert all(len(each) == 1 for each in seeds.values())
    assert len({seed for each in seeds.values() for seed in each}) == len(seeds)
    picked = {record["set_key"] for record in found if record["method"]["name"] == "pick" and record["dpc"] == 2}
    fixed = {record["set_key"] for record in found if record["method"]["name"] == "fixed" and record["dpc"] == 2}
    assert (len(picked), len(fixed)) == (3, 1)


def test_a_record_keeps_its_students_key_and_a_set_its_content_and_environment(sample: Sample) -> None:
    """dpc = class size: three sets under three keys hold the same rows, and the board counts one."""
    students = "centroid,centroid[seconds=0.001]"
    sample("run", "--methods", "pick,fixed", "--dpc", "2,30", "--students", students, "--runs", "1", "--out", "out")
    out = sample.bench.folder / "out"
    found = records(out)
    keys = {
        label: {r["student"]["key"] for r in found if r["student"]["label"] == label} for label in students.split(",")
    }
    assert [len(each) for each in keys.values()] == [1, 1]
    assert len(set.union(*keys.values())) == 2
    sets = {dpc: {(r["set_key"], r["set_digest"]) for r in found if r["dpc"] == dpc} for dpc in (2, 30)}
    assert [len({key for key, _ in sets[dpc]}) for dpc in (2, 30)] == [4, 4]
    assert [len({digest for _, digest in sets[dpc]}) for dpc in (2, 30)] == [4, 1]
    lines = csv.DictReader((out / "leaderboard.csv").read_text().splitlines())
    (row,) = [one for one in lines if (one["student"], one["dpc"], one["method"]) == ("centroid", "30", "pick")]
    assert (row["sets"], row["sets_made"], row["ci_over"]) == ("1", "3", "runs")
    stored = [json.loads(path.read_text()) for path in (out / "sets").iterdir()]
    assert {one["set_digest"] for one in stored} == {digest for each in sets.values() for _, digest in each}
    assert {json.dumps(one["environment"], sort_keys=True) for one in stored} == {
        json.dumps(r["environment"], sort_keys=True) for r in found
    }


def test_stages_are_cached_apart(sample: Sample, tmp_path: Path) -> None:
    counted = {"BENCH_TEST_CALLS": str(tmp_path)}
    sample("run", "--methods", "pick", "--dpc", "2", **counted)
    assert (calls(tmp_path, "distill"), calls(tmp_path, "predict")) == (3, 6)
    again = sample("run", "--methods", "pick", "--dpc", "2", **counted)
    assert (calls(tmp_path, "distill"), calls(tmp_path, "predict")) == (3, 6)
    assert "nothing to compute: all 6 replicates are there" in again.stderr
    sample("run", "--methods", "pick", "--dpc", "2", "--students", "centroid,centroid[seconds=0.01]", **counted)
    assert (calls(tmp_path, "distill"), calls(tmp_path, "predict")) == (3, 12)
    sample("run", "--methods", "fixed,pick", "--dpc", "2", **counted)
    assert (calls(tmp_path, "distill"), calls(tmp_path, "predict")) == (4, 18)
    sample("run", "--methods", "pick", "--dpc", "2", "--out", "elsewhere", **counted)
    assert (calls(tmp_path, "distill"), calls(tmp_path, "predict")) == (4, 24)
    assert len(list((sample.bench.folder / "elsewhere" / "sets").glob("*.json"))) == 3


def test_a_failing_cell_is_a_row_and_the_rest_goes_on(sample: Sample) -> None:
    methods = ["raise", "refuse", "die", "sleep", "memory", "label", "peek"]
    selection = ",".join(["pick", "vectors", *(f"fail[how={how}]" for how in methods)])
    done = sample(
        "run", "--methods", selection, "--dpc", "2", "--sets", "1", "--runs", "1", "--timeout", "15", code=None
    )
    found = {record["method"]["label"]: record for record in records(sample.bench.folder / "bench-out")}
    status = {label: record["status"] for label, record in found.items()}
    assert status == {
        "pick": "ok",
        "vectors": "not_applicable",
        "fail": "failed",
        "fail[how=refuse]": "not_applicable",
        "fail[how=die]": "oom",
        "fail[how=sleep]": "timeout",
        "fail[how=memory]": "oom",
        "fail[how=label]": "failed",
        "fail[how=peek]": "failed",
    }
    assert found["fail"]["reason"] == "distilling: ValueError: something unexpected"
    assert "no access to the split 'test'" in found["fail[how=peek]"]["reason"]
    assert "label 9" in found["fail[how=label]"]["reason"]
    assert all(record["score"] is None for label, record in found.items() if label != "pick")
    assert {label: record["league"] for label, record in found.items() if record["league"]} == {"pick": "A"}
    assert "Traceback" in done.stderr
    assert "ValueError: something" in done.stderr
    assert done.returncode == 3  # the method that returns label 9 is broken


def test_a_method_cannot_exceed_its_budget(sample: Sample) -> None:
    small = ["--dpc", "2", "--sets", "1", "--runs", "1"]
    done = sample("run", *small, "--methods", "fail[how=many]", code=3)
    assert "the method 'fail[how=many]' returned 3 examples of class 'sport'; dpc is 2" in done.stderr
    done = sample("run", *small, "--methods", "fail[how=list]", code=3)
    assert "returned list, not a DistilledSet" in done.stderr


def test_a_refused_run_leaves_no_cell_on_the_board(sample: Sample) -> None:
    sample("run", "--methods", "pick", "--dpc", "2")
    before = (sample.bench.folder / "bench-out" / "results" / "plan.json").read_text()
    sample("run", "--methods", "pick", "--dpc", "500", code=1)
    assert (sample.bench.folder / "bench-out" / "results" / "plan.json").read_text() == before


def test_a_full_standard_output_is_one_line(sample: Sample) -> None:
    sample("run", "--methods", "pick", "--dpc", "2")
    with open("/dev/full", "w") as full:
        words = sample.bench.command("leaderboard")
        done = subprocess.run(
            words, cwd=sample.bench.folder, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 1
    assert done.stderr.startswith("bench: error: no space left")
    assert "Traceback" not in done.stderr


def test_exit_codes(sample: Sample) -> None:
    small = ["--dpc", "2", "--sets", "1", "--runs", "1"]
    sample("run", *small, "--methods", "pick,vectors", code=0)
    sample("run", *small, "--methods", "pick,fail", code=2)
    sample("run", *small, "--methods", "pick,fail[how=usage],fail", code=1)
    done = sample("run", *small, "--methods", "pick,broken,fail[how=usage]", code=3)
    assert "cannot import no_such_module" in done.stderr


def test_failed_replicates_are_retried_and_finished_ones_kept(sample: Sample) -> None:
    path = sample.bench.folder / "bench-out" / "results" / "records.jsonl"
    small = ["--dpc", "2", "--sets", "1", "--runs", "1", "--methods", "pick,vectors,fail"]
    sample("run", *small, code=2)
    first = path.read_text().splitlines()
    sample("run", *small, code=2)
    second = path.read_text().splitlines()
    assert second[: len(first)] == first
    assert [json.loads(line)["method"]["name"] for line in second[len(first) :]] == ["fail"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--tasks", "wrds"], "did you mean 'words'"),
        (["--methods", "pick[size=3]"], "no parameter"),
        (["--students", "nobody"], "no student 'nobody'"),
        (["--dpc", "31"], "dpc 31 is too large for task 'words': class 'sport' has 30 train rows"),
        (["--tasks", "words[broken=empty]"], "empty text in 'text' of train, row 3"),
        (["--tasks", "words[broken=label]"], "label 7 in test"),
        (["--dpc", "two"], "'two' is not a list"),
        (["--sets", "0"], "--sets"),
        (["--data-dir", "nowhere"], "--data-dir nowhere: no such folder"),
        (["--text-columns", "a"], "--text-columns goes with --tasks table:PATH"),
        (["--out", "suite.toml/x"], "in the way"),
    ],
)
def test_bad_input_is_one_line_and_exit_1(sample: Sample, words: list[str], line: str) -> None:
    done = sample("run", *words, code=1)
    assert line in done.stderr
    errors = [each for each in done.stderr.splitlines() if each.startswith("bench: error")]
    assert len(errors) == 1
    assert "Traceback" not in done.stderr
    assert not (sample.bench.folder / "bench-out" / "results" / "records.jsonl").exists()


def test_a_task_that_falls_over_fails_its_cells_only(sample: Sample) -> None:
    done = sample("run", "--tasks", "words,words[broken=crash]", "--methods", "pick", code=2)
    status = [(record["task"]["label"], record["status"]) for record in records(sample.bench.folder / "bench-out")]
    assert status.count(("words", "ok")) == 12
    assert status.count(("words[broken=crash]", "failed")) == 12
    assert "loading the task: RuntimeError: the task fell over" in done.stderr


def test_ctrl_c_ends_cleanly_with_what_is_done_kept(sample: Sample) -> None:
    process = sample.bench.start(*sample.words("run", "--students", "centroid[seconds=0.3]"))
    store = sample.bench.folder / "bench-out" / "results" / "records.jsonl"
    deadline = time.monotonic() + 60
    while not (store.exists() and store.read_bytes().count(b"\n") >= 2):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted; what was finished is kept" in errors
    assert "Traceback" not in errors
    assert 2 <= len(records(sample.bench.folder / "bench-out")) < 24


def test_workers_end_when_the_parent_is_killed(sample: Sample) -> None:
    process = sample.bench.start(*sample.words("run", "--students", "centroid[seconds=30]", "--jobs", "1"))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while not (found := re.findall(r"\d+", children.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()
    while any(Path(f"/proc/{pid}").exists() for pid in found):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_second_run_in_one_folder_is_refused(sample: Sample) -> None:
    process = sample.bench.start(*sample.words("run", "--students", "centroid[seconds=30]", "--jobs", "1"))
    lock = sample.bench.folder / "bench-out" / "results" / "schema.json"
    deadline = time.monotonic() + 60
    while not lock.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    try:
        done = sample("run", code=1)
        assert "another bench is writing" in done.stderr
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


def test_folders_named_like_our_packages_do_not_matter(sample: Sample) -> None:
    folder = sample.bench.folder
    for name in ("bench", "methods", "tasks", "students", "leaderboard"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise SystemExit('the user\\'s own')")
    (folder / "tasks.py").write_text("raise SystemExit('the user\\'s own')")
    sample("run", "--methods", "pick", "--dpc", "2")
    assert len(records(folder / "bench-out")) == 6


def test_score_puts_sets_made_elsewhere_on_the_board(sample: Sample) -> None:
    folder = sample.bench.folder
    sample("run", "--methods", "fixed,vectors", "--students", "centroid,reader", "--dpc", "2")
    sample.bench("export", "--to", "sets")
    check_vectors(folder, sample)
    sample("score", "sets", "--name", "mine")
    found = records(folder / "bench-out")
    fixed = {
        (r["set"], r["run"]): r for r in found if (r["method"]["name"], r["student"]["name"]) == ("fixed", "centroid")
    }
    mine = {(r["set"], r["run"]): r for r in found if r["method"]["name"] == "mine"}
    assert set(mine) == {(0, 0), (0, 1)}
    for place, record in mine.items():  # the same set and the same learner seeds: the same predictions
        assert record["predictions"] == fixed[place]["predictions"]
        assert record["dpc"] == 2
    rows = [json.loads(line) for line in (folder / "sets" / "words-fixed-dpc2-set0.jsonl").read_text().splitlines()]
    (folder / "tables").mkdir()
    with open(folder / "tables" / "named.csv", "w", newline="") as file:
        csv.writer(file).writerows([("topic", "said"), *((["sport", "money"][r["label"]], r["text"]) for r in rows)])
    again = sample("score", "tables", "--name", "mine", "--label-column", "topic", "--text-columns", "said")
    assert "nothing to compute: all 2 replicates are there" in again.stderr  # the content counts, not the file
    wrong = sample("score", "tables", "--name", "mine", "--label-column", "topics", "--text-columns", "said", code=1)
    assert "named.csv has no column 'topics'; did you mean 'topic'?; or give --label-column" in wrong.stderr
    wrong = sample("score", "tables", "--name", "mine", "--test-table", "x.csv", code=1)
    assert wrong.stderr == "bench: error: --test-table goes with --tasks table:PATH\n"
    card = (folder / "sets" / "words-fixed-dpc2-set0.md").read_text()
    assert "centroid, accuracy" in card


def check_vectors(folder: Path, sample: Sample) -> None:
    """Of the embedding level: steps, groups and distributions with it, and its nearest texts on the page."""
    name = "words-vectors-dpc2-set0"
    (folder / "vectors").mkdir()
    for end in (".jsonl", ".md", ".safetensors"):
        (folder / "sets" / f"{name}{end}").rename(folder / "vectors" / f"{name}{end}")
    sample("score", "vectors", "--name", "ours", "--students", "reader")
    first_set = (one for one in records(folder / "bench-out") if one["set"] == 0)
    found = {(one["method"]["name"], one["student"]["name"], one["run"]): one for one in first_set}
    assert found["fixed", "reader", 0]["status"] == found["vectors", "centroid", 0]["status"] == "not_applicable"
    first, second = (found["vectors", "reader", run]["predictions"]["data"] for run in (0, 1))
    assert first != second, "they are of the run's seed"
    for run in (0, 1):
        ours, theirs = found["ours", "reader", run], found["vectors", "reader", run]
        for part in ("predictions", "set_digest", "dpc", "n_train"):
            assert ours[part] == theirs[part], part
        assert (ours["league"], ours["n_bytes"], theirs["n_bytes"]) == ("C", VECTORS_BYTES, VECTORS_BYTES)
    rows = [json.loads(line) for line in (folder / "vectors" / f"{name}.jsonl").read_text().splitlines()]
    page = (folder / "bench-out" / "leaderboard.html").read_text()
    assert [row["nearest"] in page for row in rows] == [True] * 4


def test_a_set_made_again_with_other_content_is_another_set(sample: Sample, tmp_path: Path) -> None:
    """The cache is gone and a library was updated, say: the same key, other examples."""
    out, small = sample.bench.folder / "out", ("--methods", "drifting", "--dpc", "2", "--sets", "1", "--runs", "2")
    sample("run", *small, "--out", "out")
    again = {"BENCH_CACHE": str(tmp_path / "empty"), "BENCH_TEST_DRIFT": "3"}
    done = sample("run", *small, "--students", "centroid[seconds=0.01]", "--out", "out", **again)
    assert "words dpc 2 drifting set 0 was made again with other content" in done.stderr
    digests = {record["student"]["label"]: record["set_digest"] for record in records(out)}
    assert len(set(digests.values())) == 2
    assert len({record["set_key"] for record in records(out)}) == 1
    card = json.loads(next((out / "sets").iterdir()).read_text())
    assert card["set_digest"] == digests["centroid[seconds=0.01]"]
    # The other way round: the folder's card is of the old content, the cache holds the new one.
    sample("run", *small, "--out", "other")
    sample("run", *small, "--students", "centroid[seconds=0.02]", "--out", "other", **again)
    found = {record["student"]["label"]: record for record in records(sample.bench.folder / "other")}
    assert found["centroid[seconds=0.02]"]["set_digest"] == digests["centroid[seconds=0.01]"]


def test_the_worst_failure_of_a_cell_decides_the_exit_code(sample: Sample) -> None:
    small = ["--methods", "pick", "--dpc", "2", "--sets", "1", "--runs", "2", "--jobs", "1", "--out", "worst"]
    done = sample("run", *small, "--students", "centroid[how=worse]", code=3)
    assert done.stderr.count("bench: words dpc 2 pick centroid[how=worse]: failed: ") == 1


def test_one_table_under_two_paths_is_computed_once(sample: Sample) -> None:
    folder = sample.bench.folder
    rows = "".join(f"{'team goal' if i % 2 else 'bank profit'} number {i},{i % 2}\n" for i in range(80))
    (folder / "copy").mkdir()
    for path in (folder / "a.csv", folder / "copy" / "a.csv"):
        path.write_text("text,label\n" + rows)
    small = ["--methods", "pick", "--dpc", "2", "--sets", "2", "--runs", "1"]
    sample("run", "--tasks", "table:a.csv,table:copy/a.csv", *small, "--out", "twice")
    assert len((folder / "twice" / "results" / "records.jsonl").read_text().splitlines()) == 2
    rows_of_board = [
        line for line in (folder / "twice" / "leaderboard.csv").read_text().splitlines() if ",pick," in line
    ]
    assert len(rows_of_board) == 2


def test_sets_that_nobody_can_read_are_not_made(sample: Sample, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()
    words = ("--methods", "vectors-alone,pick", "--dpc", "2", "--sets", "2", "--runs", "1")
    sample("run", *words, "--students", "words-only", "--out", "out", BENCH_TEST_CALLS=str(calls))
    found = {record["method"]["label"]: record for record in records(sample.bench.folder / "out")}
    assert (found["vectors-alone"]["status"], found["pick"]["status"]) == ("not_applicable", "ok")
    assert found["vectors-alone"]["reason"] == (
        "sets of 'vectors-alone' have no text level, and this student reads texts alone"
    )
    assert not (calls / "vectors").exists()
    sample("run", *words, "--students", "words-only,reader", "--out", "out", BENCH_TEST_CALLS=str(calls))
    assert (calls / "vectors").read_text() == "xx"  # the reader needs them
    assert {
        (record["method"]["label"], record["student"]["label"]): record["status"]
        for record in records(sample.bench.folder / "out")
    }[("vectors-alone", "reader")] == "ok"


def test_a_method_whose_spec_is_untrue_is_broken(sample: Sample) -> None:
    done = sample("run", "--methods", "pick-untrue", "--dpc", "2", "--out", "out", code=3)
    assert "returned texts, but its spec says texts=False" in done.stderr
