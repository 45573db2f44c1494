"""`bench list`: names and one line each."""

from __future__ import annotations

import json
from typing import Any

import click

from bench import plugins
from bench.cli.columns import columns, warn
from bench.cli.options import collect, settings_options
from bench.output import echo
from bench.plugins import Registry
from bench.suite import suites

KINDS = ("tasks", "methods", "students", "suites", "assets")


@click.command("list", short_help="List tasks, methods, students and suites.")
@click.argument("kind", required=False, type=click.Choice(KINDS), metavar=f"[{'|'.join(KINDS)}]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@settings_options
def command(kind: str | None, as_json: bool, **options: Any) -> None:
    """List what can be selected: tasks, methods, students and suites; assets when asked for."""
    registry = plugins.load(collect(options))
    warn(registry)
    kinds = (kind,) if kind else KINDS[:-1]
    found = {each: entries(registry, each) for each in kinds}
    if as_json:
        echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    blocks = ["\n".join([each, *columns([(e["name"], e["summary"]) for e in found[each]])]) for each in kinds]
    echo("\n\n".join(blocks))


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
