"""Real damage through the real command: it is named, it heals, and no figure comes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.store.line import sealed
from tests.bench.conftest import records

Sample = Any
WORDS = ["--methods", "pick", "--dpc", "2", "--out", "out", "--jobs", "1"]


def flip(path: Path, old: bytes) -> bytes:
    """Change one letter of a file, its size stays; returns what the file was."""
    whole = path.read_bytes()
    place = whole.index(old)
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    return whole


def test_a_damaged_set_is_named_by_the_doctor_and_made_again_by_the_run(sample: Sample, tmp_path: Path) -> None:
    bench = sample.bench
    sample("run", *WORDS)
    before = records(bench.folder / "out")
    sets = sorted((tmp_path / "cache" / "artifacts" / "set").glob("*/*/examples.jsonl"))
    assert len(sets) == 3
    whole = [flip(sets[0], b"text"), flip(sets[1], b'"label"')]  # another field, which no student could read
    done = bench("doctor", code=1)
    assert [line.split()[0] for line in done.stdout.splitlines() if "damage" in line.split()[1]] == ["fail", "fail"]
    for path in sets[:2]:
        assert f"{path}: missing, or not what it was" in done.stdout
    done = sample("run", *WORDS)
    assert "nothing to compute" in done.stderr, "finished runs stay valid"
    done = sample("run", *WORDS, "--students", "centroid[seconds=0.001]")
    for path in sets[:2]:
        assert f"bench: warning: {path} was damaged; it is computed again (first in: words dpc 2 pick" in done.stderr
    assert [path.read_bytes() for path in sets[:2]] == whole
    kept = [one for one in records(bench.folder / "out") if one["student"]["label"] == "centroid"]
    assert kept == before
    assert len(records(bench.folder / "out")) == 2 * len(before)


def test_a_tampered_record_and_shortened_gold_labels_are_refused_and_their_mends_work(sample: Sample) -> None:
    out = sample.bench.folder / "out"
    sample("run", *WORDS)
    before, path = records(out), out / "results" / "records.jsonl"
    lines = path.read_text().splitlines()
    third = json.loads(lines[2])
    path.write_text("\n".join([*lines[:2], lines[2].replace('"dpc":2', '"dpc":3'), *lines[3:]]) + "\n")
    (line,) = sample.bench("leaderboard", "out", code=1).stderr.splitlines()
    assert "records.jsonl line 3 is damaged (not as it was written: its own hash differs)" in line
    del third["sha256"]
    third["score"] = third["metrics"]["accuracy"] = 0.125
    forged = sealed(json.dumps(third, separators=(",", ":")).encode()).decode()
    path.write_text("\n".join([*lines[:2], forged, *lines[3:]]) + "\n")
    (line,) = sample.bench("leaderboard", "out", code=1).stderr.splitlines()
    assert "records.jsonl line 3 is damaged (score 0.125, but its predictions give " in line
    assert "line 3 is damaged" in sample("run", *WORDS, code=1).stderr
    path.write_text("\n".join([*lines[:2], *lines[3:]]) + "\n")
    (gold,) = (out / "results" / "tasks").iterdir()
    task = gold.read_text()
    gold.write_text(json.dumps(json.loads(task) | {"test_labels": json.loads(task)["test_labels"][:-1]}))
    assert f"bench: error: {gold} is damaged (" in sample("run", *WORDS, code=1).stderr
    gold.unlink()
    sample("run", *WORDS)
    assert records(out) == before
    assert gold.read_text() == task
