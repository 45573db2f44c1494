"""Which assets a job may ask its context for: those that the spec declares, and no test rows by a detour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.api import Asset, Spec
from bench.data.assets import Assets
from bench.errors import PluginError


def granted(assets: Assets, spec: Spec, params: Any, task: Sequence[str]) -> frozenset[str]:
    """The references that a job of this spec may ask for; `task`: those that the task of the job declares.

    Raises PluginError when a method or student declares data: it would lead to the labelled test rows.
    """
    refs = frozenset(spec.assets(params))
    if spec.kind != "task":
        refuse_data(assets, refs, task, f"{spec.kind} '{spec.name}'")
    return refs


def refuse_data(assets: Assets, refs: Iterable[str], task: Sequence[str], who: str) -> None:
    """Raise PluginError when one of the references that `who` declares holds data of a task."""
    for ref in sorted(refs):
        if _is_data(assets, ref, task):
            raise PluginError(
                f"{who} declares the asset '{ref}', which holds data of a task: data assets "
                "are for tasks, because test rows are in them; take rows from what the job is given"
            )


def _is_data(assets: Assets, ref: str, task: Sequence[str]) -> bool:
    """Whether a reference is data by name, or lies where that of a data set lies."""
    if ref in assets.registered and assets.registered[ref].content == "data":
        return True
    found = assets.resolve(ref)
    data = [asset for asset in assets.registered.values() if asset.content == "data"]
    if isinstance(found, Asset):
        return any(_overlap(found, asset) for asset in data)
    places = [path for path in map(assets.resolve, task) if isinstance(path, Path)]
    places += [place for asset in data for place in assets.places(asset)]
    mine = found.resolve()
    return any(mine == place or mine in place.parents or place in mine.parents for place in map(Path.resolve, places))


def _overlap(one: Asset, other: Asset) -> bool:
    """Whether two assets read the same members of a wheel; the hub keeps models and data sets apart by itself."""
    if {(piece.wheel, piece.member) for piece in one.pieces} & {(piece.wheel, piece.member) for piece in other.pieces}:
        return True
    if not one.wheel or one.wheel != other.wheel:
        return False
    pairs = ((a, b) for a in one.members or ("",) for b in other.members or ("",))
    return any(a.startswith(b) or b.startswith(a) for a, b in pairs)
