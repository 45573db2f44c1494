"""What the result store and the board cost: CPU seconds to append, to load and check, to look again, to build a board.

    python benchmarks/store.py [--records 100000] [--cells 2000]

Records have the size of real ones: 400 predictions, parameters, an environment. Loading is told by its parts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bench.store import line
from bench.store.cards import TaskCards
from bench.store.check import check
from bench.store.code import code_digest
from bench.store.predictions import encode
from bench.store.record import (
    MadeOf,
    Memory,
    PlannedCell,
    PluginRef,
    Record,
    Seeds,
    StudentRef,
    TaskCard,
    TaskRef,
    Times,
)
from bench.store.results import ResultStore, canonical_order
from leaderboard.board import board_of

Found = TypeVar("Found")
GROUP = 50  # records a sync
RUNS = 5  # of a set
CODE = code_digest("bench.metrics")
N_TEST = 400
PARAMS = {"batch": 64, "clip": 1.0, "dropout": None, "learning_rate": 0.0001, "max_length": 512, "min_epochs": 3}
PARAMS |= {"model": "minilm", "steps": 200, "trainable_layers": 2, "warmup": 0.5, "weight_decay": 0.01}
VERSIONS = {"device": "cpu", "numpy": "2.4.6", "platform": "Linux x86_64", "python": "3.11.7", "torch": "2.13.0+cpu"}


def timed(what: str, act: Callable[[], Found], n: int) -> Found:
    """Do it and print its CPU seconds, in all and for each of n."""
    start = time.process_time()
    found = act()
    seconds = time.process_time() - start
    print(f"{what:42} {seconds:8.2f} s {1e6 * seconds / n:9.1f} us each", flush=True)
    return found


def digest(*words: Any) -> str:
    """64 letters that look like a key."""
    return f"{abs(hash(words)):064x}"


def made(n: int, cells: int) -> Iterator[Record]:
    """n finished records in so many cells: 5 runs a set, two students, 4 dpc, methods as needed."""
    rng = np.random.default_rng(0)
    gold = rng.integers(2, size=N_TEST)
    for number in range(n):
        cell, place = number % cells, number // cells
        method, dpc = f"method-{cell // 8}", (5, 10, 20, 50)[cell // 2 % 4]
        labels = np.where(rng.random(N_TEST) < 0.6 + 0.01 * (cell % 20), gold, 1 - gold)
        score = float((labels == gold).mean())
        set_key = digest(method, dpc, place // RUNS)
        yield Record(
            key=digest(number),
            status="ok",
            reason=None,
            cell=digest("cell", cell),
            suite="speed",
            task=TaskRef(name="rt", label="rt", params={"max_words": 20, "train_rows": 2000}, revision="r"),
            method=PluginRef(name="random" if cell < 8 else method, label=method, params=PARAMS),
            student=StudentRef(name="minilm", label=f"minilm-{cell % 2}", params=PARAMS, key=digest(cell % 2)),
            dpc=dpc,
            set=place // RUNS,
            run=place % RUNS,
            seed=Seeds(base=0, set=1309429247, run=894728656 + place),
            set_key=set_key,
            set_digest=digest("content", set_key),
            near_test=0,
            train_copies=2 * dpc,
            league="A",
            metric="accuracy",
            score=score,
            metrics={"accuracy": score},
            metrics_code=CODE,
            n_train=2 * dpc,
            predictions=encode(labels),
            time=Times(
                finished="2026-11-22T00:10:02+00:00",
                distil_s=0.5,
                student_s=5.4,
                made_of=(MadeOf(kind="features", key=digest("features"), seconds=3.5, memory=memory(0)),),
                distil_memory=memory(place // RUNS),
                student_memory=memory(number),
            ),
            environment=VERSIONS,
        )


def memory(number: int) -> Memory:
    """A peak between 600 MB and 1 GB."""
    return Memory(process=1_000_000 * (600 + number * 7919 % 400), gpu=None)


def planned(records: Iterable[Record]) -> list[PlannedCell]:
    """The plan that these records fulfil."""
    keys: dict[str, list[str]] = {}
    cells: dict[str, Record] = {}
    for record in records:
        keys.setdefault(record.cell, []).append(record.key)
        cells.setdefault(record.cell, record)
    return [
        PlannedCell(
            suite=one.suite,
            key=cell,
            task=one.task.label,
            method=one.method.label,
            student=one.student.label,
            dpc=one.dpc,
            replicates=tuple(keys[cell]),
        )
        for cell, one in cells.items()
    ]


def task_card() -> TaskCard:
    """The card of the task, with the gold labels of `made`."""
    labels = tuple(np.random.default_rng(0).integers(2, size=N_TEST).tolist())
    sizes = {"n_train": 2000, "n_validation": 400, "n_test": N_TEST, "class_counts": (1000, 1000)}
    return TaskCard(
        label="rt", fields=("text",), label_names=("rotten", "fresh"), metric="accuracy", test_labels=labels, **sizes
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU seconds of the result store and the board.")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--cells", type=int, default=2000)
    asked = parser.parse_args()
    n = asked.records
    records = list(made(n, asked.cells))
    plan = planned(records)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        with ResultStore(out, "w") as store:
            store.put_task("r", task_card())
            groups = [records[place : place + GROUP] for place in range(0, n, GROUP)]
            timed(f"append, {GROUP} a sync", lambda: [store.append(*group) for group in groups], n)
            timed("put_plan", lambda: store.put_plan(plan), n)
            timed("put_plan again", lambda: store.put_plan(plan), n)
            timed("records(), the writer's first", store.records, n)
            timed("records() again", store.records, n)
            store.append(records[0])
            timed("records() after one more", store.records, n)
        reader = ResultStore(out)
        found = timed("records() of a new reader", reader.records, n)
        assert found == sorted(records, key=canonical_order), "what was written"
        timed("cells() of a new reader", reader.cells, n)
        with reader.path.open("rb") as file:
            lines = [text[:-1] for text in file][:n]
        timed("  of it: own hash", lambda: [sha256(line.unsealed(text)[0]).hexdigest() for text in lines], n)
        timed("  of it: types and own hash", lambda: [line.parse_record(text) for text in lines], n)
        gold = TaskCards(out / "results" / "tasks").gold("r")
        assert gold is not None
        timed("  of it: predictions", lambda: [one.predictions.raw() for one in found if one.predictions], n)
        timed("  of it: predictions and scores", lambda: list(check(found, gold, CODE)), n)
        timed("  of it: order", lambda: sorted(found, key=canonical_order), n)
        timed("board", lambda: board_of(reader), n)


if __name__ == "__main__":
    main()
