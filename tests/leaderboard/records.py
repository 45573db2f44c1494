"""Result records in the store's format, with scores drawn from a seeded two-level model (set effect + run noise)."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.store.results import encode_predictions

Record = dict[str, Any]
GOLD = [0, 1] * 5000  # of every task: any score of 4 decimals has predictions
CENTRES = {"random": 0.50, "kcenters": 0.60, "herding": 0.58, "full": 0.75}


def plugin(name: str, label: str | None = None, **params: Any) -> dict[str, Any]:
    return {"name": name, "label": label or name, "params": params}


def record(
    score: float | None = 0.5,
    *,
    task: str = "bbc",
    method: str | dict[str, Any] = "random",
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
    **extra: Any,
) -> Record:
    """One record; without `set_key`, deterministic methods (herding, full) share one set."""
    chosen = plugin(method) if isinstance(method, str) else method
    index = 0 if chosen["name"] in {"herding", "full"} else set_index
    found: Record = {
        "schema": 1,
        "key": f"{task}-{revision}-{student}-{dpc}-{chosen['label']}-{base}-{set_index}-{run}",
        "status": status,
        "reason": reason,
        "cell": f"{task}-{revision}-{student}-{dpc}-{chosen['label']}-{base}",
        "suite": suite,
        "task": {**plugin(task), "revision": revision},
        "method": chosen,
        "student": plugin(student),
        "dpc": dpc,
        "set": set_index,
        "run": run,
        "seed": {"base": base, "set": 100 + set_index, "run": 200 + 10 * set_index + run},
        "set_key": set_key or f"{task}-{chosen['label']}-{dpc}-{base}-{index}",
        "league": "A" if status == "ok" else None,
        "metric": metric if status == "ok" else None,
        "score": score,
        "metrics": metrics if metrics is not None else ({} if score is None else {"accuracy": score}),
        "n_train": None if dpc is None else 5 * dpc,
        "predictions": predicted(score) if status == "ok" and score is not None else None,
        "time": {"finished": finished, "distil_s": 0.1, "student_s": 2.5},
        "environment": {"python": "3.11.9", "torch": "2.6.0", "platform": "linux"},
    }
    return found | extra


def predicted(score: float) -> dict[str, Any]:
    """Predictions that have this accuracy on `GOLD`."""
    labels = np.array(GOLD)
    labels[round(score * len(GOLD)) :] ^= 1
    return encode_predictions(labels)


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
