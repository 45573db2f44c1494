"""`bench plan` reads files of the user's own and refuses them as `bench run` does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.progress import duration
from students.plugin import bench_students

CRASHES = """
from bench.api import Task, TaskSpec, hookimpl


class Crashes(Task):
    def load(self, ctx):
        raise RuntimeError("it fell over")


@hookimpl
def bench_tasks():
    return [TaskSpec(name="crashes", summary="Falls.", target=f"{__name__}:Crashes", assets=lambda params: (__file__,))]
"""


def table(path: Path, *classes: str, rows: int = 40) -> None:
    lines = [f"text number {i},{classes[i % len(classes)]}\n" for i in range(rows)]
    path.write_text("".join(["text,label\n", *lines]))


@pytest.mark.parametrize(
    ("classes", "flags", "said"),
    [
        (("good", "bad", "Good"), (), "column 'label' has two classes that look like one: 'good' in 14 of 40 rows"),
        (("good", "bad", ""), (), "line 4: the label (column 'label') is missing; so in 13 of 40 rows"),
        (("good", "bad"), ("--methods", "pick", "--dpc", "500"), "dpc 500 is too large for task 'table:my.csv'"),
    ],
)
def test_a_table_is_refused_in_the_words_of_the_run(
    sample: Callable[..., Any], classes: tuple[str, ...], flags: tuple[str, ...], said: str
) -> None:
    table(sample.bench.folder / "my.csv", *classes)  # type: ignore[attr-defined]
    planned, ran = (sample(command, "--tasks", "table:my.csv", *flags, code=1) for command in ("plan", "run"))
    assert planned.stderr == ran.stderr
    assert said in planned.stderr
    assert planned.stderr.count("\n") == 1
    assert planned.stdout == ""


def test_a_run_reads_a_table_before_it_downloads(sample: Callable[..., Any]) -> None:
    table(sample.bench.folder / "my.csv", "good", "bad", "")  # type: ignore[attr-defined]
    words = ("--tasks", "table:my.csv", "--students", "minilm")
    done = sample("run", *words, code=1, PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert "line 4: the label (column 'label') is missing" in done.stderr
    assert "fetching" not in done.stderr


def test_what_is_large_or_not_local_is_not_read_and_a_bug_is_no_refusal(sample: Callable[..., Any]) -> None:
    folder: Path = sample.bench.folder  # type: ignore[attr-defined]
    table(folder / "my.csv", "good", "bad")
    (folder / "big.csv").touch()
    os.truncate(folder / "big.csv", 50_000_001)  # zeros: no table
    (folder / "crashes.py").write_text(CRASHES)
    tasks = "table:my.csv,table:big.csv,words[broken=crash],crashes"
    done = sample("plan", "--tasks", tasks, "--plugin", str(folder / "crashes.py"))
    assert "not read here, for its size: table:big.csv (50 MB); the run reads it before it computes" in done.stdout
    assert "cells: 16, replicates: 96, done: 0, to compute: 96" in done.stdout
    assert done.stderr == "bench: warning: loading the task: crashes: RuntimeError: it fell over\n"


def test_what_a_first_run_fetches_and_takes_is_said_before_it(sample: Callable[..., Any]) -> None:
    words = (
        "--methods",
        "pick",
        "--students",
        "minilm,mpnet-base,icl-gemma3-270m,centroid",
        "--sets",
        "2",
        "--runs",
        "1",
    )
    done = sample("plan", *words, "--dpc", "2", "--jobs", "2")
    assert "to fetch: minilm (84 MB), mpnet-base (405 MB), gemma3-270m (238 MB), together 727 MB" in done.stdout
    rough = {spec.name: spec.rough_seconds for spec in bench_students()}
    seconds = 2 * sum(rough[name] for name in ("minilm", "mpnet-base", "icl-gemma3-270m"))  # type: ignore[misc]
    left_out = "what is to fetch and 2 replicates of students not seen before"
    said = f"estimate: {duration(seconds / 2)} with 2 workers, without {left_out}; "
    assert said + "6 replicates by rough figures of their plugins" in done.stdout


def test_keys_that_name_no_task_are_refused(sample: Callable[..., Any]) -> None:
    words = ("plan", "--tasks", "words", "--methods", "pick", "--dpc", "2")
    for key, said in (
        ("words", ""),
        ("rt", ""),
        ("wrods", "label_words of 'icl': no task is called 'wrods' (selected: words); did you mean 'words'?"),
        ("x", "no task is called 'x' (selected: words); known: bbc"),
    ):
        student = f'icl[label_words={{"{key}":["a","b"]}}]'
        done = sample(*words, "--students", student, code=1 if said else 0)
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    table(sample.bench.folder / "my.csv", "good", "bad")  # type: ignore[attr-defined]
    for key, code in (("table:my.csv", 0), ("table", 0), ("my.csv", 1), ("my", 1)):
        student = f'icl[label_words={{"{key}":["a","b"]}}]'
        done = sample("plan", "--tasks", "table:my.csv", *words[3:], "--students", student, code=code)
        assert ("(selected: table:my.csv)" in done.stderr) is bool(code)


def test_what_the_design_can_tell_apart_is_said_before_anything_runs(sample: Callable[..., Any]) -> None:
    done = sample("plan", "--methods", "pick,random", "--tasks", "words", "--dpc", "2", "--sets", "5", "--runs", "1")
    assert "the smallest difference of two methods that is separated in 8 of 10 cases:" in done.stdout
    assert "5 x 1" in done.stdout
    assert "400 assumed" in done.stdout
    done = sample("plan", "--methods", "pick,random", "--dpc", "2", "--separate", "pick,random", code=1)
    assert "no method 'pick' in the output folder" in done.stderr
