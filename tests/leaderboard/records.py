"""Result records with scores drawn from a seeded two-level model (set effect + run noise), and cards beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.store.cards import Gold
from bench.store.predictions import Predictions, encode
from bench.store.record import PluginRef, Record, Seeds, SetCard, StudentRef, TaskCard, TaskRef, Times

GOLD = [0, 1] * 5000  # of every task: any score of 4 decimals has predictions
CENTRES = {"random": 0.50, "kcenters": 0.60, "herding": 0.58, "full": 0.75}


def plugin(name: str, label: str | None = None, **params: Any) -> PluginRef:
    return PluginRef(name=name, label=label or name, params=params)


def student(name: str, label: str | None = None, key: str | None = None, **params: Any) -> StudentRef:
    return StudentRef(name=name, label=label or name, params=params, key=key)


def task(name: str, label: str | None = None, revision: str = "r1", **params: Any) -> TaskRef:
    return TaskRef(name=name, label=label or name, params=params, revision=revision)


def times(finished: str = "2026-01-01T00:00:00Z", **changes: Any) -> Times:
    return Times(**({"finished": finished, "distil_s": 0.1, "student_s": 2.5, "made_of": None} | changes))


def record(
    score: float | None = 0.5,
    *,
    task: str = "bbc",
    method: str | PluginRef = "random",
    student: str = "minilm",
    dpc: int | None = 5,
    set_index: int = 0,
    run: int = 0,
    set_key: str | None = None,
    status: str = "ok",
    reason: str | None = None,
    metric: str = "accuracy",
    metrics: dict[str, float] | None = None,
    suite: str = "pocket",
    base: int = 0,
    revision: str = "r1",
    finished: str = "2026-01-01T00:00:00Z",
    **changes: Any,
) -> Record:
    """One record; without `set_key`, deterministic methods (herding, full) share one set. `changes`: other fields."""
    chosen = plugin(method) if isinstance(method, str) else method
    index = 0 if chosen.name in {"herding", "full"} else set_index
    fields: dict[str, Any] = {
        "key": f"{task}-{revision}-{student}-{dpc}-{chosen.label}-{base}-{set_index}-{run}",
        "status": status,
        "reason": reason,
        "cell": f"{task}-{revision}-{student}-{dpc}-{chosen.label}-{base}",
        "suite": suite,
        "task": TaskRef(name=task, label=task, params={}, revision=revision),
        "method": chosen,
        "student": StudentRef(name=student, label=student, params={}, key=None),
        "dpc": dpc,
        "set": set_index,
        "run": run,
        "seed": Seeds(base=base, set=100 + set_index, run=200 + 10 * set_index + run),
        "set_key": set_key or f"{task}-{chosen.label}-{dpc}-{base}-{index}",
        "set_digest": None,
        "near_test": None,
        "league": "A" if status == "ok" else None,
        "metric": metric if status == "ok" else None,
        "score": score,
        "metrics": metrics if metrics is not None else ({} if score is None else {"accuracy": score}),
        "metrics_code": None,
        "n_train": None if dpc is None else 5 * dpc,
        "predictions": predicted(score) if status == "ok" and score is not None else None,
        "time": times(finished),
        "environment": {"python": "3.11.9", "torch": "2.6.0", "platform": "linux"},
    }
    return Record(**(fields | changes))


def predicted(score: float) -> Predictions:
    """Predictions that have this accuracy on `GOLD`."""
    labels = np.array(GOLD)
    labels[round(score * len(GOLD)) :] ^= 1
    return encode(labels)


def task_card(**changes: Any) -> TaskCard:
    """The card of every task here."""
    fields: dict[str, Any] = {
        "label": "bbc",
        "fields": ("text",),
        "label_names": ("a", "b"),
        "metric": "accuracy",
        "test_labels": tuple(GOLD),
        "n_train": 200,
        "n_validation": 40,
        "n_test": len(GOLD),
        "class_counts": (100, 100),
    }
    return TaskCard(**(fields | changes))


def gold_labels(revision: str) -> Gold:
    """Of every task here."""
    return Gold(task_card(), Path("tasks"))


def set_card(of: Record, **changes: Any) -> SetCard:
    """The card of the set that a record's student trained on."""
    fields: dict[str, Any] = {
        "task": of.task.label,
        "method": of.method.label,
        "dpc": of.dpc,
        "set": of.set,
        "seed": of.seed.set,
        "n": 10,
        "fields": ("text",),
        "rows": (),
        "diagnostics": {},
        "near_test": of.near_test,
        "set_digest": of.set_digest,
        "seconds": 0.1,
        "made_of": None,
        "environment": None,
        "reports": (),
    }
    return SetCard(**(fields | changes))


def cell(
    method: str, *, n_sets: int = 5, n_runs: int = 2, dpc: int | None = 5, seed: int = 0, **fields: Any
) -> list[Record]:
    """A complete cell of plausible scores."""
    rng = np.random.default_rng([seed, dpc or 0, *method.encode()])
    effects = rng.normal(0, 0.03, n_sets) * (method not in {"herding", "full"})
    return [
        record(
            float(np.round(CENTRES[method] + 0.01 * (dpc or 0) + effects[i] + rng.normal(0, 0.01), 4)),
            method=method,
            dpc=dpc,
            set_index=i,
            run=j,
            **fields,
        )
        for i in range(n_sets)
        for j in range(n_runs)
    ]


def pocket(tasks: tuple[str, ...] = ("bbc", "rt"), dpcs: tuple[int, ...] = (5, 20)) -> list[Record]:
    """A small complete board: three methods, a full row on the first task."""
    found = [
        one
        for task in tasks
        for dpc in dpcs
        for method in ("random", "kcenters", "herding")
        for one in cell(method, dpc=dpc, task=task)
    ]
    return found + cell("full", dpc=None, task=tasks[0])
