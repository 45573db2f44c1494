"""`bench plugins`: the installed plugins and their state."""

from __future__ import annotations

import json
from typing import Any

import click

from bench import plugins
from bench.cli.columns import columns
from bench.cli.options import collect, settings_options
from bench.output import echo
from bench.plugins import PluginRecord


@click.command("plugins", short_help="List the installed plugins and their state.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@settings_options
def command(as_json: bool, **options: Any) -> None:
    """List plugins: ok, broken (with the cause), blocked by BENCH_PLUGINS, or clash (a name claimed twice).

    BENCH_PLUGINS='' loads the built-ins only; BENCH_PLUGINS=a,b loads these two as well, named by their entry
    point or distribution.
    """
    records = plugins.load(collect(options)).plugins
    if as_json:
        echo(json.dumps([described(record) for record in records], indent=1, ensure_ascii=False))
        return
    lines = columns([("state", "plugin", "distribution", "adds"), *map(row, records)], indent=0)
    for head, record in zip(lines[1:], records, strict=True):
        lines[lines.index(head)] = f"{head}\n    {record.error}" if record.error else head
    echo("\n".join(lines))


def row(record: PluginRecord) -> tuple[str, str, str, str]:
    """State, name, where it comes from, what it adds."""
    origin = f"{record.distribution} {record.version}" if record.distribution else record.source
    counts: dict[str, int] = {}
    for owned in record.owns:
        kind = owned.partition(":")[0]
        counts[kind] = counts.get(kind, 0) + 1
    adds = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in counts.items())
    return record.state, record.name, origin, adds or "-"


def described(record: PluginRecord) -> dict[str, Any]:
    """A record as JSON."""
    return {
        "name": record.name,
        "distribution": record.distribution,
        "version": record.version,
        "source": record.source,
        "state": record.state,
        "error": record.error,
        "owns": list(record.owns),
    }
