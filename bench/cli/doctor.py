"""`bench doctor`: what a run depends on, one line each with a mend."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
from packaging.requirements import Requirement
from tqdm import tqdm

from bench import plugins
from bench.cli.columns import columns
from bench.cli.options import collect, settings_options
from bench.data import install
from bench.data.assets import Assets
from bench.discovery import DISTRIBUTION
from bench.errors import UserError
from bench.output import echo
from bench.plugins import Registry
from bench.settings import Settings
from bench.store import artifacts
from bench.store.files import read_json
from bench.store.identity import SCHEMA
from bench.suite import DEFAULT, load_suite

PYTHON = (3, 11)
SPACE_NEEDED, SPACE_WANTED = 1e9, 5e9  # bytes free: below the first a pocket run may fail, the second is for GLUE


@dataclass(frozen=True)
class Check:
    """One line. "note" says what will cost time later; only "fail" changes the exit code."""

    state: Literal["ok", "note", "fail"]
    subject: str
    found: str
    mend: str = ""


@click.command("doctor", short_help="Check what a run depends on.")
@settings_options
def command(**options: Any) -> int:
    """Check versions, device, assets of the default suite, plugins, and every file of the caches by its hash.

    Exit code 0: all is well; 3: a plugin is broken; 1: something else is wrong.
    """
    settings = collect(options)
    registry = plugins.load(settings)
    found = [python(), *dependencies(), device(), cores(), *cache(settings)]
    found += [*suite_assets(registry, settings), *contents(settings), *plugin_states(registry)]
    rows = [(each.state, each.subject, f"{each.found} -> {each.mend}" if each.mend else each.found) for each in found]
    echo("\n".join(columns(rows, indent=0)))
    if registry.warnings():
        return 3
    return int(any(each.state == "fail" for each in found))


def python() -> Check:
    """The interpreter's version."""
    version = platform.python_version()
    if tuple(map(int, platform.python_version_tuple()[:2])) < PYTHON:
        return Check("fail", "python", version, f"use Python {PYTHON[0]}.{PYTHON[1]} or newer")
    return Check("ok", "python", version)


def dependencies() -> Iterator[Check]:
    """Installed against smallest version of each declared dependency; nothing is imported."""
    try:
        required = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        yield Check("fail", DISTRIBUTION, "not installed", "python -m pip install .")
        return
    for need in map(Requirement, required):
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        mend = f"python -m pip install '{need.name}{need.specifier}'"
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            yield Check("fail", need.name, f"missing, {need.specifier or 'any version'} is needed", mend)
            continue
        if need.specifier.contains(version, prereleases=True):
            yield Check("ok", need.name, version)
        else:
            yield Check("fail", need.name, f"{version}, but {need.specifier} is needed", mend)


def device() -> Check:
    """What torch computes on; torch is imported, because only that shows whether it works."""
    try:
        import torch

        if torch.cuda.is_available():
            names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
            return Check("ok", "device", f"cuda: {', '.join(names)}")
    except Exception as error:
        line = " ".join(str(error).split())[:200]
        return Check("fail", "device", f"torch: {type(error).__name__}: {line}", "install torch again")
    if Path("/dev/nvidiactl").exists():
        return Check("note", "device", "cpu; there is a GPU, but torch cannot use it", "install torch built for CUDA")
    return Check("ok", "device", "cpu")


def cores() -> Check:
    """How many worker processes a run starts."""
    usable = len(os.sched_getaffinity(0))
    return Check(
        "ok", "cores", f"{usable} usable of {os.cpu_count()}: a run on the CPU starts {usable} one-thread workers"
    )


def cache(settings: Settings) -> Iterator[Check]:
    """The cache folder: can it be written, is there space, was it made by this schema."""
    folder = settings.cache
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    another = "choose another with --cache DIR or BENCH_CACHE"
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        yield Check("fail", "cache", f"{folder}: cannot be written ({error.strerror})", another)
        return
    yield Check("ok", "cache", str(folder) if folder.exists() else f"{folder}, to be made")
    free = shutil.disk_usage(existing).free
    said = f"{free / 1e9:.1f} GB free"
    if free < SPACE_WANTED:
        yield Check("fail" if free < SPACE_NEEDED else "note", "disk", said, f"free some, or {another}")
    else:
        yield Check("ok", "disk", said)
    mark = folder / "artifacts" / "schema.json"
    if mark.exists():
        try:
            schema = read_json(mark).get("schema")
        except (UserError, OSError, AttributeError):
            schema = "unreadable"
        if schema != SCHEMA:
            said = f"{folder} has schema {schema}, this version writes {SCHEMA}"
            yield Check("fail", "schema", said, f"delete {mark.parent}, or {another}")
        else:
            yield Check("ok", "schema", f"cache schema {SCHEMA}")


def suite_assets(registry: Registry, settings: Settings) -> Iterator[Check]:
    """Whether the default suite's data and weights are there."""
    assets = Assets(registry.assets, settings)
    try:
        suite = load_suite(DEFAULT, registry)
        choices = (*suite.tasks, *suite.methods, *suite.students)
        refs = dict.fromkeys(ref for choice in choices for ref in choice.spec.assets(choice.params))
        for ref in refs:
            place = assets.locate(ref)
            if place:
                yield Check("ok", "asset", f"{ref}: {place}")
            elif settings.offline:
                yield Check(
                    "fail", "asset", f"{ref}: not cached, and this is offline", f"with a network: bench fetch {ref}"
                )
            else:
                yield Check("note", "asset", f"{ref}: not cached, a run will fetch it", f"bench fetch {ref}")
    except UserError as error:
        yield Check("fail", "suite", f"{DEFAULT}: {error}", "mend the plugin, or install the project again")


def contents(settings: Settings) -> Iterator[Check]:
    """Whether every file of the caches is what was fetched or computed; all are read."""
    for what, folders, damage, older, mend in (
        ("asset", settings.cache.glob("assets/[!.]*/"), install.damage, _unlisted, "fetches"),
        ("artifact", settings.cache.glob("artifacts/*/??/*/"), artifacts.damage, artifacts.is_older, "computes"),
    ):
        whole = outdated = 0
        for folder in tqdm(sorted(folders), f"reading {what}s", disable=None, leave=False):
            name = damage(folder)
            if name is None:
                whole += 1
            elif older(folder):
                outdated += 1
            else:
                again = f"the next run that needs it {mend} it again; or delete {folder}"
                yield Check("fail", "damage", f"{folder / name}: missing, or not what it was", again)
        yield Check("ok", "contents", f"{whole} {what}s are whole")
        if outdated:
            said = f"{outdated} {what}s of an older version, without hashes"
            yield Check("note", "contents", said, f"the next run that needs one {mend} it again")


def _unlisted(folder: Path) -> bool:
    """Whether an asset's folder has no list of hashes: an older version fetched it, or nobody finished it."""
    return install.damage(folder) == install.MANIFEST


def plugin_states(registry: Registry) -> Iterator[Check]:
    """One line a plugin."""
    for record in registry.plugins:
        if record.state in ("broken", "clash"):
            mend = "mend or uninstall it; BENCH_PLUGINS='' leaves out all that are installed"
            yield Check("fail", "plugin", f"{record.name} is {record.state}: {record.error}", mend)
        else:
            yield Check("ok", "plugin", f"{record.title}: {record.state}")
