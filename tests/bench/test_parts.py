"""Parts from the outside: made once, shared, isolated, resumed after a kill; and their reports."""

from __future__ import annotations

import csv
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench.conftest import records
from tests.bench.test_runner import calls

Sample = Any
SMALL = ("--dpc", "2", "--sets", "2", "--runs", "1")


def status_of(out: Path) -> dict[tuple[str, int], tuple[str, str | None]]:
    """(method, set) -> status and reason."""
    return {(one["method"]["label"], one["set"]): (one["status"], one["reason"]) for one in records(out)}


def predictions(out: Path) -> dict[tuple[str, int, int], str]:
    """(method, set, run) -> predictions, whatever the parameter `together` of the method is."""
    found = records(out)
    assert {one["status"] for one in found} == {"ok"}
    return {
        (one["method"]["params"].get("style", one["method"]["name"]), one["set"], one["run"]): one["predictions"][
            "data"
        ]
        for one in found
    }


def test_parts_are_made_once_alone_or_together_and_the_sets_are_the_same(sample: Sample, tmp_path: Path) -> None:
    def methods(together: str) -> tuple[str, ...]:
        styles = ["", "style=fancy", "style=other"]
        return "--methods", ",".join(
            ["pick", *(f"trained[together={together},{style}]".replace(",]", "]") for style in styles)]
        )

    counts = {}
    for name, together in (("one", "'a'"), ("two", "''")):
        folder = tmp_path / name
        folder.mkdir()
        counted = {"BENCH_TEST_CALLS": str(folder), "BENCH_CACHE": str(tmp_path / f"cache-{name}")}
        sample("run", *methods(together), *SMALL, "--jobs", "2", "--out", name, **counted)
        counts[name] = [calls(folder, what) for what in ("make", "make 3", "make 1", "step")]
        sample("run", *methods(together), *SMALL, "--out", f"{name}-more", "--seed", "1", **counted)
        assert calls(folder, "step") == 12, "trained already, whatever the seed of the sets"
    assert counts == {"one": [1, 1, 0, 12], "two": [3, 0, 3, 12]}
    folder = sample.bench.folder
    assert predictions(folder / "one") == predictions(folder / "two")
    assert predictions(folder / "one") != predictions(folder / "one-more")

    inside = tmp_path / "inside"  # as a set of a method that names no part to its spec would make it
    inside.mkdir()
    plugin = folder / "plugin.py"
    plugin.write_text(
        plugin.read_text().replace('"params": TrainedParams, "parts": parts_of', '"params": TrainedParams')
    )
    sample("run", *methods("''"), *SMALL, "--jobs", "1", "--out", "inside", BENCH_TEST_CALLS=str(inside))
    assert [calls(inside, what) for what in ("make", "step")] == [3, 12]
    assert predictions(folder / "inside") == predictions(folder / "one")


def test_sets_of_several_preparations_are_as_many_observations(sample: Sample, tmp_path: Path) -> None:
    """More of them later: what is there is kept, and stands on the board only where it is planned."""

    def run(*flags: str) -> dict[int, tuple[str, int, str]]:
        sample("run", "--methods", "trained,pick", "--dpc", "2", "--runs", "1", *flags, BENCH_TEST_CALLS=str(tmp_path))
        found = {one["key"]: one for one in records(folder) if one["method"]["name"] == "trained"}
        return {one["set"]: (key, one["method"]["params"]["start"], one["set_key"]) for key, one in found.items()}

    folder = sample.bench.folder / "bench-out"
    once = run("--sets", "3")
    assert [start for _, start, _ in once.values()] == [0, 0, 0]
    assert calls(tmp_path, "make") == 1
    run("--sets", "4", "--preparations", "2")
    assert calls(tmp_path, "make") == 2, "the first one was there"
    made = [one for one in records(folder) if one["method"]["name"] == "trained"]
    starts = sorted((one["set"], one["method"]["params"]["start"]) for one in made)
    assert starts == [(0, 0), (1, 0), (1, 1), (2, 0), (3, 1)]
    row = next(line for line in csv.DictReader((folder / "leaderboard.csv").open()) if line["method"] == "trained")
    assert [row[name] for name in ("ok", "planned", "sets", "preparations", "ci_over")] == [
        *("4", "4", "4", "2", "preparations")
    ]
    assert all(one["train_copies"] == one["n_train"] == 4 for one in made)
    assert float(row["train_share"]) == 1
    peaks = []
    for line in (folder / "results" / "records.jsonl").read_text().splitlines():
        time = json.loads(line)["time"]
        peaks += [time["distil_memory"], time["student_memory"], *(part["memory"] for part in time["made_of"])]
    assert all(20e6 < peak["process"] < 20e9 and peak["gpu"] is None for peak in peaks)
    assert float(row["distil_memory"]) in [peak["process"] for peak in peaks]
    board = (folder / "leaderboard.md").read_text()
    assert "4 of 2" in board
    assert "sets, 6 of 3: six sets of three prepared artifacts" in board
    assert "1 record" in board, "of set 1 of the first run, whose generator was another"
    planned = sample(
        "plan", "--methods", "trained,pick,fixed", "--dpc", "2", "--sets", "6", "--preparations", "3"
    ).stdout
    assert "3 preparations x 4" in planned


def test_methods_share_their_parts(sample: Sample, tmp_path: Path) -> None:
    sample("run", "--methods", "trained,twin", *SMALL, "--jobs", "2", BENCH_TEST_CALLS=str(tmp_path))
    assert [calls(tmp_path, what) for what in ("make", "step")] == [1, 4]
    sets = {(one["method"]["name"], one["set_digest"]) for one in records(sample.bench.folder / "bench-out")}
    assert len(sets) == 4


def test_a_part_waits_for_what_it_needs_and_fails_with_it(sample: Sample, tmp_path: Path) -> None:
    """Two sums are made together, of two counts that are made alone: one fails, and its sum and sets with it."""
    done = sample(
        "run", "--methods", "summed,summed[of=3],summed[of=13],pick", *SMALL, code=2, BENCH_TEST_CALLS=str(tmp_path)
    )
    found = status_of(sample.bench.folder / "bench-out")
    for index in (0, 1):
        assert found["summed", index] == found["summed[of=3]", index] == found["pick", index] == ("ok", None)
        assert found["summed[of=13]", index] == ("failed", "preparing: ValueError: 13 counts are too many")
    assert [calls(tmp_path, what) for what in ("count", "sum 2")] == [3, 1]
    assert done.stderr.count("Traceback") == 1
    artifacts = tmp_path / "cache" / "artifacts"
    assert [len(list(artifacts.glob(f"{kind}/*/*/artifact.json"))) for kind in ("count", "sum")] == [2, 2]


def test_what_preparing_took_is_known_also_from_the_cache(sample: Sample) -> None:
    """The seconds of a set leave it out; its records name the artifact, and the board shares it out."""
    chosen = ("--methods", "trained[seconds=0.1],trained[style=other],pick", "--dpc", "2", "--runs", "1", "--sets", "2")
    sample("run", *chosen, "--jobs", "1")
    sample("run", *chosen, "--out", "again")
    folder = sample.bench.folder
    times = []
    for out in (folder / "bench-out", folder / "again"):
        lines = map(json.loads, (out / "results" / "records.jsonl").read_text().splitlines())
        of = {(one["method"]["label"], one["set"]): one["time"] for one in lines}
        times.append({place: (time["distil_s"], time["made_of"]) for place, time in of.items()})
    assert times[0] == times[1]
    assert times[0]["pick", 0][1] == []
    ((part,), (same,), (other,)) = (
        times[0][place][1]
        for place in (("trained[seconds=0.1]", 0), ("trained[seconds=0.1]", 1), ("trained[style=other]", 0))
    )
    assert part == same
    assert part["kind"] == "priorities"
    assert part["key"] != other["key"]
    assert part["seconds"] >= 4 * 0.1, "four steps"
    with open(folder / "again" / "leaderboard.csv", newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    trained = rows["trained[seconds=0.1]"]
    assert float(trained["prepare_s"]) == pytest.approx(part["seconds"] / 2)
    assert float(rows["pick"]["prepare_s"]) == 0
    assert " s a set |" in (folder / "again" / "leaderboard.md").read_text()
    sample.bench("export", "again", "--to", "sets", "--method", "trained[seconds=0.1]", "--set", "0")
    (card,) = (folder / "sets").glob("*.md")
    assert f", and of what it shares with other sets: priorities {part['seconds']:.1f}\n" in card.read_text()


def test_a_failing_variant_is_a_row_and_the_others_go_on(sample: Sample) -> None:
    ends = ("raise", "usage", "refuse", "report")
    failing = ",".join(f"trained[ends={end},style={end}]" for end in ends)
    done = sample("run", "--methods", f"{failing},trained,pick", *SMALL, code=3)
    found = status_of(sample.bench.folder / "bench-out")
    for index in (0, 1):
        of = {end: found[f"trained[ends={end},style={end}]", index] for end in ends}
        assert of["raise"] == ("failed", "preparing: ValueError: the loss exploded")
        assert of["usage"] == ("failed", "preparing: no such corpus")
        assert of["refuse"] == ("not_applicable", "preparing: only for pairs")
        assert of["report"][0] == "failed"
        assert str(of["report"][1]).startswith("preparing: report.json of the artifact 'priorities': facts.steps")
        assert found["trained", index] == found["pick", index] == ("ok", None)
    assert "Traceback" in done.stderr
    assert "raise ValueError" in done.stderr


@pytest.mark.parametrize(
    ("job", "status", "reason"),
    [
        ("raise", "failed", "preparing: RuntimeError: the job fell over"),
        ("sleep", "timeout", "preparing: stopped after 15 s (--timeout)"),
    ],
)
def test_a_call_that_ends_badly_costs_the_runs_of_its_parts_only(
    sample: Sample, job: str, status: str, reason: str
) -> None:
    limit = ["--timeout", "15"] if job == "sleep" else []  # the others' first imports must end within it on any machine
    together = f"trained[job={job},together=a]", "trained-fancy[together=a]"
    sample("run", "--methods", ",".join([*together, "trained[style=other]", "pick"]), *SMALL, *limit, code=2)
    found = status_of(sample.bench.folder / "bench-out")
    for index in (0, 1):
        assert [found[method, index] for method in together] == [(status, reason)] * 2
        assert found["trained[style=other]", index] == found["pick", index] == ("ok", None)


def test_cached_sets_need_no_part_even_if_it_fails_now(sample: Sample) -> None:
    small = ("--methods", "trained[ends='if asked']", "--dpc", "2", "--runs", "1")
    sample("run", *small, "--sets", "1")
    for path in (sample.bench.folder.parent / "cache" / "artifacts" / "priorities").glob("*/*/artifact.json"):
        path.unlink()  # as if it had been lost: it has to be trained again for the second set
    sample("run", *small, "--sets", "2", "--out", "more", code=2, BENCH_TEST_FAIL="1")
    found = [(one["set"], one["status"]) for one in records(sample.bench.folder / "more")]
    assert sorted(found) == [(0, "ok"), (1, "failed")]


def test_a_killed_run_goes_on_from_its_checkpoint(sample: Sample, tmp_path: Path) -> None:
    selection = ("--methods", "trained[seconds=0.15,steps=8]", *SMALL, "--jobs", "1")
    bench = sample.bench
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    counting = dataclasses.replace(bench, environment=bench.environment | {"BENCH_TEST_CALLS": str(first)})
    process = counting.start(*sample.words("run", *selection))
    deadline = time.monotonic() + 60
    while calls(first, "step") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    cache = tmp_path / "cache"
    (checkpoint,) = cache.glob("workspaces/priorities/*/checkpoint.json")
    sample("run", *selection, BENCH_TEST_CALLS=str(second))
    assert calls(first, "step") >= 3
    assert 8 <= calls(first, "step") + calls(second, "step") <= 9, "one step may be lost between its end and its count"
    assert calls(second, "step") <= 5
    assert not checkpoint.parent.exists()
    sample("run", *selection, "--out", "whole", BENCH_CACHE=str(tmp_path / "other-cache"))
    assert records(bench.folder / "bench-out") == records(bench.folder / "whole")


def test_a_worker_that_dies_costs_what_followed_its_checkpoint(sample: Sample, tmp_path: Path) -> None:
    selection = ("--methods", "trained[ends='die once'],pick", *SMALL, "--jobs", "2")
    done = sample("run", *selection, code=2, BENCH_TEST_CALLS=str(tmp_path))
    assert "preparing: the worker was killed by the system (signal 9)" in done.stderr
    found = status_of(sample.bench.folder / "bench-out")
    assert sorted(status for status, _ in found.values()) == ["ok", "ok", "oom", "oom"]
    assert calls(tmp_path, "step") == 2
    sample("run", *selection, BENCH_TEST_CALLS=str(tmp_path))
    assert calls(tmp_path, "step") == 4
    assert {status for status, _ in status_of(sample.bench.folder / "bench-out").values()} == {"ok"}
    assert not list((tmp_path / "cache" / "workspaces" / "priorities").glob("*/"))


def test_plan_and_info_say_what_is_to_prepare(sample: Sample) -> None:
    shown = sample.bench("info", "trained", "--plugin", "plugin.py").stdout
    assert "priorities: made before the sets that need them, equal ones once" in shown
    line = "to prepare, where the cache has it not: words: 2 priorities, 1 count, 1 sum"
    assert line in sample("plan", "--methods", "trained,trained-fancy,pick,summed").stdout.splitlines()
    assert "to prepare" not in sample("plan").stdout
    sample("run", "--methods", "trained", *SMALL)
    assert "to prepare" not in sample("plan", "--methods", "trained", *SMALL).stdout
    *_, last = sample("plan", "--methods", "trained,pick").stdout.splitlines()
    assert last.startswith("estimate: ")
    assert last.endswith(", without what is to prepare (which may be most of the time)")
    *_, last = sample("plan", "--methods", "pick").stdout.splitlines()
    assert "without" not in last


def test_reports_are_in_the_output_folder_also_from_the_cache(sample: Sample) -> None:
    folder = sample.bench.folder
    sample("run", "--methods", "trained,pick", *SMALL)
    sample("run", "--methods", "trained,pick", *SMALL, "--out", "again")
    for out in (folder / "bench-out", folder / "again"):
        (path,) = (out / "reports").iterdir()
        report = json.loads(path.read_text())
        assert (report["key"], report["kind"]) == (path.stem, "priorities")
        assert report["curves"]["loss"]["y"] == [1 / 5, 1 / 6, 1 / 7, 1 / 8]
        named = [json.loads(one.read_text()) for one in (out / "sets").iterdir()]
        assert (
            sorted((one["method"], one["reports"]) for one in named)
            == [("pick", [])] * 2 + [("trained", [path.stem])] * 2
        )
        text = (out / "leaderboard.html").read_text()
        assert "priorities in plain style" in text
        assert "<b>fact" not in text
        assert text.count("<script>") == 1
    shown = sample.bench("info", path.stem[:8]).stdout.splitlines()
    assert shown[:2] == [f"artifact priorities {path.stem}", "  priorities in plain style"]
    words = [line.split() for line in shown]
    assert ["steps", "4"] in words
    loss = ["loss", "4", "0.2", "0.1429", "0.125", "0.125", "0.2"]
    assert loss in words, "the last step; first, middle, last, lowest, highest loss"
    assert shown[-1] == "  <script>"
    done = sample.bench("info", "0123abcd", code=1)
    assert "cache has a key that starts with 0123abcd: if the run had another --cache" in done.stderr
