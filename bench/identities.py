"""The identity of a chosen plugin, and from it the keys of its artifacts and runs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from bench.api import Spec, named_assets
from bench.discovery import cause
from bench.errors import PluginError
from bench.store.code import code_digest, definition_digest, names
from bench.store.identity import key_of

if TYPE_CHECKING:
    from bench.data.assets import Assets
    from bench.selection import Choice

# What of the engine decides numbers, beside `bench.data` and `bench.learners`, which count where they are imported.
SEEDS = (
    "bench.seeds:derive",
    "bench.seeds:generator",
    "bench.work.context:JobContext.derive",
    "bench.work.context:JobContext.rng",
)
TAKEN_APART = tuple(
    f"bench.store.embeddings:{name}" for name in ("arrays_of", "facts_of", "joined", "contiguous", "plain", "_items")
)
LENT = (
    *(f"bench.work.lending:{name}" for name in ("lend_task", "lend_set", "_split", "_texts", "_array", "_json")),
    *TAKEN_APART,
)
HANDED = {  # what a plugin of a kind, or what makes a part, is handed, and how what it returns is kept
    "part": (*SEEDS, "bench.work.context:JobContext._part_seed", "bench.api:TrainData", *LENT),
    "task": SEEDS,
    "method": (
        *(*SEEDS, "bench.api:TrainData", "bench.api:DistilledSet", "bench.api:Embeddings"),
        *("bench.store.sets:save_set", "bench.store.sets:example_rows", *LENT),
    ),
    "student": (*SEEDS, "bench.api:Queries", "bench.api:TaskData.queries", "bench.store.sets:load_set", *LENT),
}
FEATURES = tuple(f"bench.work.context:JobContext.{name}" for name in ("features", "embed", "_encode", "_texts"))
TRAIN_TEXTS = ("bench.work.context:JobContext.train_texts",)  # what a student is given that asks for train texts
FEATURES_MODULE = "bench.data.features"
USES_FEATURES = frozenset({"features", "embed"})  # what a plugin names that asks its context for features


@cache
def engine_code(parts: tuple[str, ...]) -> str:
    """One digest of these definitions of the engine."""
    return key_of({part: definition_digest(part) for part in parts})


@cache
def features_code() -> str:
    """The code that frozen features come from."""
    return key_of([engine_code(FEATURES), code_digest(FEATURES_MODULE)])


def made_by(module: str, kind: str | None = None) -> dict[str, str]:
    """The code that a number of `module` depends on; `kind` of plugin, or None for a part that several share.

    "code": the module and what it imports of its own. "engine": seeds and what the engine hands over. "features",
    only where the code asks its context for frozen features: what they are computed with; "train_texts" likewise.
    """
    found = {"code": code_digest(module), "engine": engine_code(HANDED[kind or "part"])}
    if names(module, {"train_texts"}):
        found["train_texts"] = engine_code(TRAIN_TEXTS)
    return found | ({"features": features_code()} if names(module, USES_FEATURES) else {})


def plugin_code(spec: Spec) -> str:
    """One digest of all code that a plugin's numbers depend on."""
    return key_of(made_by(spec.target.partition(":")[0], spec.kind))


def metrics_code() -> str:
    """The code that scores come from, kept with a record: another one scores its predictions anew."""
    return code_digest("bench.metrics")


def _references(choice: Choice) -> list[str]:
    spec = choice.spec
    try:
        return list(spec.assets(choice.params))
    except Exception as error:
        raise PluginError(f"{spec.kind} '{spec.name}': `assets` of its spec fails: {cause(error)}") from error


def identity(choice: Choice, assets: Assets) -> dict[str, Any]:
    """All that can change what a plugin computes: name, version, code, parameters, assets.

    A parameter that names an asset (`AssetRef`) stands by the asset's identity, so paths are not part of it.
    """
    spec = choice.spec
    found = {ref: assets.identity(ref) for ref in _references(choice)}
    named = named_assets(choice.params)
    params = choice.params.model_dump(mode="json")
    return {
        "kind": spec.kind,
        "name": spec.name,
        "version": spec.version,
        **made_by(spec.target.partition(":")[0], spec.kind),
        "params": {name: found.get(value, value) if name in named else value for name, value in params.items()},
        "assets": [found[ref] for ref in sorted(found)] if len(found) > 1 else list(found.values()),
    }


def task_revision(task: Mapping[str, Any]) -> str:
    """The key of a task's identity."""
    return key_of({"kind": "task", "task": task})


def student_key(student: Mapping[str, Any]) -> str:
    """The key of a student's identity."""
    return key_of({"kind": "student", "student": student})


def set_key(revision: str, fields: Mapping[str, Any]) -> str:
    """The key of a distilled set: the task's revision and what else identifies it."""
    return key_of({"kind": "set", "revision": revision, **fields})


def run_key(revision: str, made: str, student: str, index: int, run: int, seed: int) -> str:
    """The key of one replicate: the keys of task, set and student, its indices and derived seed."""
    fields = {"task": revision, "set_key": made, "student": student, "set": index, "run": run, "seed": seed}
    return key_of({"kind": "run", **fields})
