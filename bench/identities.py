"""The identity of a chosen plugin, and from it the keys of its artifacts and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.selection import Choice
from bench.store.identity import code_digest, key_of

if TYPE_CHECKING:
    from bench.data.assets import Assets


def identity(choice: Choice, assets: Assets) -> dict[str, Any]:
    """All that can change what a plugin computes: name, version, code, parameters, assets.

    A parameter that names an asset stands by the asset's identity, so paths are not part of it.
    """
    spec = choice.spec
    found = {ref: assets.identity(ref) for ref in spec.assets(choice.params)}
    params = choice.params.model_dump(mode="json")
    return {
        "kind": spec.kind,
        "name": spec.name,
        "version": spec.version,
        "code": code_digest(spec.target.partition(":")[0]),
        "params": {
            name: found.get(value, value) if isinstance(value, str) else value for name, value in params.items()
        },
        "assets": [found[ref] for ref in sorted(found)] if len(found) > 1 else list(found.values()),
    }


def set_fields(task: dict[str, Any], method: dict[str, Any], dpc: int | None, index: int, seed: int) -> dict[str, Any]:
    """The fields that identify a distilled set: task and method identities, dpc, set index, derived seed."""
    return {"task": task, "method": method, "dpc": dpc, "set": index, "seed": seed}


def run_key(task: dict[str, Any], set_key: str, student: dict[str, Any], set_index: int, run: int, seed: int) -> str:
    """The key of one replicate: the set it trains on, the student, its indices and derived seed."""
    return key_of(
        {
            "kind": "run",
            "task": task,
            "set_key": set_key,
            "student": student,
            "set": set_index,
            "run": run,
            "seed": seed,
        }
    )
