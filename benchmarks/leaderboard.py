"""What a large board costs: seconds and peak memory of its statistics and its page, the page's bytes, and how long a
browser takes to open it.

    python -m benchmarks.leaderboard [--cells 10000] [--replicates 100] [--folder DIR]

Each part runs in a process of its own. Records are those of `benchmarks/store.py`, over several tasks of 25 methods, 4
dpc and 2 students; sets have readable copies as real ones do. With --folder the records are kept, and used again.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from bench.store.record import Record, SetCard
from bench.store.results import ResultStore
from benchmarks.store import GROUP, digest, made, planned, task_card
from leaderboard.board import board_of
from leaderboard.page import page
from leaderboard.samples import SETS_SHOWN

METHODS = 25  # of a task; times 4 dpc and 2 students
BLOCK = 8 * METHODS  # cells of a task
TEXT = "a text as long as the sentences of reviews are, of which a set has as many as it has examples, or so"


def spread(record: Record, cell: int) -> Record:
    """The record of a cell as one of a task of its own for each `BLOCK` cells; the first method of each is random."""
    task, number = divmod(cell, BLOCK)
    name = "random" if number < 8 else f"method-{number // 8}"
    return replace(
        record,
        task=replace(record.task, label=f"task-{task}"),
        method=replace(record.method, name=name, label=name),
        set_key=digest(task, record.set_key),
        set_digest=digest("content", task, record.set_key),
    )


def set_card(record: Record) -> SetCard:
    """The readable copy of the set that a record trained on."""
    n = record.n_train or 0
    return SetCard(
        task=record.task.label,
        method=record.method.label,
        dpc=record.dpc,
        set=record.set,
        seed=record.seed.set,
        n=n,
        fields=("text",),
        rows=tuple({"text": f"{i} {TEXT}", "label": i % 2} for i in range(n)),
        diagnostics={},
        near_test=0,
        set_digest=record.set_digest,
        seconds=0.5,
        made_of=record.time.made_of,
        environment=record.environment,
        reports=(),
        n_bytes=len(TEXT) * n,
    )


def write(out: Path, cells: int, replicates: int) -> None:
    """A result folder with so many cells of so many replicates."""
    with ResultStore(out, "w") as store:

        def kept() -> Iterator[Record]:
            """One after another, so that a million of them take little memory."""
            every = (spread(record, i % cells) for i, record in enumerate(made(cells * replicates, cells)))
            while group := list(islice(every, GROUP)):
                store.append(*group)
                for record in group:
                    if record.set < SETS_SHOWN and record.run == 0:
                        store.put_set(record.set_key, set_card(record), {})
                yield from group

        store.put_task("r", task_card())
        store.put_plan(planned(kept()))


def told(act: Callable[[Path], dict[str, Any]], out: Path) -> None:
    """Do it, and print what it tells with the peak memory of this process, as JSON."""
    found = act(out)
    print(json.dumps(found | {"peak_mb": peak_mb()}))


def peak_mb() -> int | None:
    """The most memory that this program held, where Linux tells it: ru_maxrss has that of the process it came from."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    return round(int(found[1]) / 1024) if found else None


def statistics(out: Path) -> dict[str, Any]:
    """Seconds to read the records and to make the board of them."""
    store = ResultStore(out)
    start = time.perf_counter()
    records = store.records()
    read = time.perf_counter()
    board = board_of(store)
    end = time.perf_counter()
    return {"records": len(records), "rows": len(board.rows), "read_s": read - start, "board_s": end - read}


def html(out: Path) -> dict[str, Any]:
    """Seconds to make the page of a board, and its bytes."""
    store = ResultStore(out)
    board = board_of(store)
    start = time.perf_counter()
    text = page(board, store)
    seconds = time.perf_counter() - start
    size = (out / "leaderboard.html").write_bytes(text.encode())
    return {"page_s": seconds, "megabytes": size / 1e6, "bytes_a_cell": size / len(board.rows)}


def opening(out: Path) -> dict[str, Any]:
    """Seconds until a browser has loaded the page and answers, and until a filter and a section are there.

    open_cpu_s: CPU seconds of the page's main thread by then, which other work on the machine hardly changes.
    """
    from tests.leaderboard.chromium import NAMES, chromium

    if not any(map(shutil.which, NAMES)):
        return {"browser": None}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as browser:
        browser.call("Performance.enable", timeDomain="threadTicks")
        acts = {
            "open_s": lambda: browser.open((out / "leaderboard.html").as_uri()),
            "filter_s": lambda: browser.evaluate("document.querySelector('#filters [name=dpc]').click()"),
            "section_s": lambda: browser.evaluate(
                "document.querySelectorAll('.later')[0]?.querySelector('summary').click()"
            ),
        }
        for name, act in acts.items():
            start = time.perf_counter()
            act()
            browser.call(
                "Runtime.evaluate",
                expression="new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))",
                awaitPromise=True,
            )
            found[name] = time.perf_counter() - start
            if name == "open_s":
                busy = {one["name"]: one["value"] for one in browser.call("Performance.getMetrics")["metrics"]}
                found["open_cpu_s"] = busy["TaskDuration"]
        found["elements"] = browser.evaluate("document.querySelectorAll('*').length")
    return found


PARTS = {"statistics": statistics, "html": html, "opening": opening}


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds, memory and bytes of a large board.")
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where the records are kept; used again when they are there")
    parser.add_argument("--part", choices=PARTS, help="only this, of the records in --folder")
    asked = parser.parse_args()
    if asked.part:
        told(PARTS[asked.part], asked.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        out = asked.folder or Path(temporary)
        if not (out / "results").exists():
            write(out, asked.cells, asked.replicates)
        for part in PARTS:
            words = [sys.executable, "-m", "benchmarks.leaderboard", "--part", part, "--folder", str(out)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            figures = ((name, value) for name, value in json.loads(done.stdout.splitlines()[-1]).items())
            shown = (
                f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}" for name, value in figures
            )
            print(f"{part:11} {', '.join(shown)}", flush=True)


if __name__ == "__main__":
    main()
