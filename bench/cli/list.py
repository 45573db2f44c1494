"""`bench list`: names and one line each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from bench import plugins
from bench.cli.columns import columns, warn
from bench.cli.options import collect, settings_options
from bench.errors import UserError, did_you_mean
from bench.output import echo
from bench.plugins import Registry
from bench.suite import suites

KINDS = ("tasks", "methods", "students", "suites", "assets")


@click.command("list", short_help="List tasks, methods, students and suites.")
@click.argument("kind", required=False, type=click.Choice(KINDS), metavar=f"[{'|'.join(KINDS)}]")
@click.option("--tags", metavar="TAG[,TAG]", help="Only tasks, methods and students that have all of these tags.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@settings_options
def command(kind: str | None, tags: str | None, as_json: bool, **options: Any) -> None:
    """List what can be selected: tasks, methods, students and suites; assets when asked for."""
    registry = plugins.load(collect(options))
    warn(registry)
    kinds: Sequence[str] = (kind,) if kind else KINDS[:-1]
    found = {each: entries(registry, each) for each in kinds}
    if tags is not None:
        found = tagged(found, [tag.strip() for tag in tags.split(",")])
        kinds = tuple(found)
    if as_json:
        echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    blocks = ["\n".join([each, *columns([(e["name"], e["summary"]) for e in found[each]])]) for each in kinds]
    echo("\n\n".join(blocks))


def tagged(found: dict[str, list[dict[str, Any]]], tags: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The entries that have all of these tags, of the kinds that have some. UserError for a tag that nothing has."""
    known = sorted({tag for each in found.values() for entry in each for tag in entry.get("tags", ())})
    for tag in tags:
        if tag not in known:
            raise UserError(f"nothing listed has the tag '{tag}'{did_you_mean(tag, known)}")
    kept = {kind: [entry for entry in each if {*tags} <= {*entry.get("tags", ())}] for kind, each in found.items()}
    if not any(kept.values()):
        raise UserError(f"nothing listed has all of the tags {', '.join(tags)}")
    return {kind: each for kind, each in kept.items() if each}


def entries(registry: Registry, kind: str) -> list[dict[str, Any]]:
    """One JSON object an entry, in order of registration (suites: by name)."""
    if kind == "suites":
        return [{"name": name, "summary": summary} for name, summary in suites().items()]
    if kind == "assets":
        return [
            {"name": asset.name, "summary": asset.summary, "content": asset.content, "licence": asset.licence}
            for asset in registry.assets.values()
        ]
    single = kind.removesuffix("s")
    return [
        {
            "name": spec.name,
            "summary": spec.summary,
            "tags": list(spec.tags),
            "version": spec.version,
            "distribution": owner.distribution if (owner := registry.owner(single, spec.name)) else "",
        }
        for spec in registry.specs(single).values()
    ]
