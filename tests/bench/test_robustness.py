"""Runs under hostile conditions: what plugins and data say, signals, streams, folders, encodings, two at once."""

from __future__ import annotations

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
ONCE = ("--dpc", "2", "--sets", "1", "--runs", "1", "--jobs", "2")
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
HOW = ("fine", "orders", "usage", "refuse", "long", "silent", "exit", "interrupt", "own", "text", "diagnostics")


def wait_for_records(out: Path, number: int) -> None:
    """Until that many replicates are in the output folder."""
    store = out / "results" / "records.jsonl"
    deadline = time.monotonic() + 60
    while not (store.exists() and store.read_bytes().count(b"\n") >= number):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_a_plugin_says_gives_no_orders_and_everything_is_recorded(sample: Sample) -> None:
    folder = sample.bench.folder
    (folder / "hostile.py").write_text((Path(__file__).parent / "hostile_plugin.py").read_text())
    methods = ",".join(f"hostile[how={how}]" for how in HOW)
    words = ("--plugin", "hostile.py", "--tasks", "odd", "--methods", methods, *ONCE)
    done = sample("run", *words, code=3)  # 3: the set and the diagnostics with half a surrogate pair
    reasons = {r["method"]["params"]["how"]: (r["status"], r["reason"]) for r in records(folder / "bench-out")}
    said = r"before \u001b]0;owned\u0007\u001b[2J\u0000\u202etxt.exe\u2066 \ud800 after"
    assert reasons == {
        "fine": ("ok", None),
        "orders": ("failed", f"distilling: ValueError: {said}"),
        "usage": ("failed", f"distilling: {said}"),
        "refuse": ("not_applicable", f"distilling: {said}"),
        "long": ("failed", reasons["long"][1]),
        "silent": ("failed", "distilling: Silent: its message cannot be read (RuntimeError)"),
        "exit": ("failed", "distilling: SystemExit: 0"),
        "interrupt": ("failed", "distilling: KeyboardInterrupt"),
        "own": ("failed", "distilling: Own: before after"),
        "text": ("failed", reasons["text"][1]),
        "diagnostics": ("failed", reasons["diagnostics"][1]),
    }
    assert len(reasons["long"][1]) < 1200
    assert "before xxx" in reasons["long"][1]
    assert "xxx ... (5000013 characters) ... xxx" in reasons["long"][1]
    assert "half of a surrogate pair, which is no character: field 'text', example 1" in reasons["text"][1]
    assert "returned diagnostics that are no JSON" in reasons["diagnostics"][1]
    assert len(done.stderr) < 100_000
    sample.bench("export", "--to", "sets")
    listed = sample.bench("list", "--plugin", "hostile.py")
    shown = [done.stdout, done.stderr, listed.stdout]
    shown += [(folder / "bench-out" / f"leaderboard.{kind}").read_text() for kind in ("md", "csv", "html")]
    shown += [next((folder / "sets").glob("*.md")).read_text()]
    for text in shown:
        assert not OBEYED.search(text)
    (example, *_) = [json.loads(line) for line in next((folder / "sets").glob("*.jsonl")).read_text().splitlines()]
    assert "\x1b]0;owned" in example["text"]  # data stay what they are

    for how, place in (("text", "'text' of train, row 7"), ("class", r"the name 'good\ud800' of a field or class")):
        done = sample("run", "--plugin", "hostile.py", "--tasks", f"odd[how={how}]", "--out", how, code=1)
        assert f"half of a surrogate pair, which is no character in {place}" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_nothing_but_the_selection_decides_the_records(sample: Sample, tmp_path: Path) -> None:
    folder = sample.bench.folder
    sample("run", "--jobs", "1", "--out", "plain")
    other = {
        "BENCH_CACHE": str(tmp_path / "other-cache"),  # shared by two runs at once
        "PYTHONHASHSEED": "7",
        "LC_ALL": "tr_TR.UTF-8",
        "TZ": "Pacific/Auckland",
    }
    turned = ["--methods", "fixed,pick", "--dpc", "4,2", "--jobs", "2"]
    both = [
        subprocess.Popen(
            sample.bench.command(*sample.words("run", *turned, "--out", name)),
            cwd=folder,
            env=sample.bench.environment | other | {"PYTHONIOENCODING": encoding},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for name, encoding in (("one", "ascii"), ("two", "latin-1"))
    ]
    for process in both:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert b"# Leaderboard" in output
    expected = records(folder / "plain")
    assert len(expected) == 24
    assert records(folder / "one") == expected == records(folder / "two")


def children(process: subprocess.Popen[str]) -> list[int]:
    """Processes that it has started and that live; its workers are the last of them."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in re.findall(r"\d+", found)]


def test_after_signals_it_goes_on_where_it_was(sample: Sample) -> None:
    words = sample.words("run", "--students", "centroid[seconds=0.2]", "--jobs", "2")
    out = sample.bench.folder / "bench-out"
    first = sample.bench.start(*words)
    wait_for_records(out, 2)
    os.kill(children(first)[-1], signal.SIGKILL)  # its job fails as out of memory, the others go on
    wait_for_records(out, 5)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert first.returncode == -signal.SIGTERM
    found = [record["status"] for record in records(out)]
    assert set(found) == {"ok", "oom"}

    second = sample.bench.start(*words)
    wait_for_records(out, len(found) + 2)
    workers = children(second)
    while second.poll() is None:  # Ctrl-C again and again, at every stage of the way out
        second.send_signal(signal.SIGINT)
        time.sleep(0.02)
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 130, errors
    assert "Traceback" not in errors
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.02)

    sample.bench(*words)
    assert [record["status"] for record in records(out)] == ["ok"] * 24


def test_closed_streams_and_folders_in_the_way(sample: Sample) -> None:
    folder = sample.bench.folder
    plugin = folder / "plugin.py"
    noise = "import os\nfor number in (1, 2):\n    os.write(number, b'noise of a library')\n"
    plugin.write_text(plugin.read_text().replace("import os\n", noise, 1))  # in the parent and in the workers
    words = sample.bench.command(*sample.words("run", "--dpc", "2", "--sets", "1"))
    closed = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *words]
    done = subprocess.run(closed, cwd=folder, env=sample.bench.environment, timeout=120)
    assert done.returncode == 0
    assert len(records(folder / "bench-out")) == 4
    assert not [
        path for path in (folder / "bench-out").rglob("*") if path.is_file() and b"noise of" in path.read_bytes()
    ]

    page = folder / "bench-out" / "leaderboard.html"
    page.unlink()
    page.mkdir()
    done = sample("run", "--dpc", "2", "--sets", "1", code=1)
    assert f"bench: error: {page} is in the way: a folder where a file is needed" in done.stderr
    assert "Traceback" not in done.stderr
