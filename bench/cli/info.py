"""`bench info NAME`: one plugin, suite, asset or trained artifact in full."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bench import plugins
from bench.api import Asset, MethodSpec, Spec
from bench.cli.columns import columns, warn, wrapped
from bench.cli.options import collect, settings_options
from bench.data.assets import Assets
from bench.errors import UserError
from bench.output import echo
from bench.params import describe, plain, validate
from bench.plugins import Registry
from bench.selection import usual_parameters
from bench.settings import Settings
from bench.store.labels import written
from bench.suite import Suite, load_suite, suites

KINDS = ("task", "method", "student")
REPORT_KEY = re.compile(r"[0-9a-f]{8,64}")


@click.command("info", short_help="Show one plugin, suite, asset or artifact.")
@click.argument("name")
@settings_options
def command(name: str, **options: Any) -> None:
    """Show a task, method, student, suite or asset: parameters, source, licence, size, hash. The key of an
    artifact (8 hex digits or more), such as a trained generator, shows what its training left."""
    settings = collect(options)
    registry = plugins.load(settings)
    assets = Assets(registry.assets, settings)
    blocks = [
        spec_lines(registry.specs(kind)[name], registry, assets) for kind in KINDS if name in registry.specs(kind)
    ]
    if name in suites():
        blocks.append(suite_lines(load_suite(name, registry)))
    if REPORT_KEY.fullmatch(name):
        blocks += report_blocks(name, settings)
    if name in registry.assets:
        blocks.append([f"asset {name}", *asset_lines(name, assets)])
    if not blocks:
        raise unknown(registry, name, settings.cache)
    warn(registry)
    echo("\n\n".join("\n".join(lines) for lines in blocks))


def report_blocks(prefix: str, settings: Settings) -> list[list[str]]:
    """The reports of the artifacts in the cache whose keys start so."""
    from bench.store.artifacts import Artifacts

    artifacts = Artifacts(settings.cache)
    found = (artifacts.report(kind, key) for kind, key in artifacts.reported(prefix))
    return [report_lines(report) for report in found if report is not None]


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """Facts, curves (first, middle, last, lowest and highest value) and texts of an artifact."""
    lines = [f"artifact {report['kind']} {report['key']}", f"  {report['title']}"]
    lines += wrapped([(name, str(value)) for name, value in report["facts"].items()])
    curves = [(name, *_outline(points)) for name, points in report["curves"].items() if points["y"]]
    if curves:
        lines += ["curves", *wrapped([("", "steps", "first", "middle", "last", "lowest", "highest"), *curves])]
    for heading, texts in report["texts"].items():
        lines += [heading, *wrapped([(text,) for text in texts])]
    return lines


def _outline(points: Mapping[str, Sequence[float]]) -> list[str]:
    xs, ys = points["x"], points["y"]
    return [f"{xs[-1]:g}", *(f"{value:.4g}" for value in (ys[0], ys[len(ys) // 2], ys[-1], min(ys), max(ys)))]


def unknown(registry: Registry, name: str, cache: Path) -> UserError:
    """The error for a name that nothing has."""
    for record in registry.plugins:
        for owned in record.owns:
            kind, _, owned_name = owned.partition(":")
            if owned_name == name and record.state in ("broken", "clash"):
                return registry.unknown(kind, name, ())
    known = {*suites(), *registry.assets, *(each for kind in KINDS for each in registry.specs(kind))}
    if REPORT_KEY.fullmatch(name):
        return UserError(
            f"no artifact with a report in {cache} has a key that starts with {name}: if the run had another --cache, "
            "give it here too; the keys stand under `reports` in OUT/sets/*.json"
        )
    bare = name.partition("[")[0]
    if bare != name and bare in known:
        return UserError(f"'{name}' has parameters: `bench info` takes the name alone, {bare}")
    return registry.unknown("task, method, student, suite or asset", name, known)


def part_kinds(spec: MethodSpec) -> list[str]:
    """The kinds of the parts that sets need with the default parameters, what parts need included, each once."""
    try:
        todo = list(spec.parts(validate(spec, {}), 1, 0))
    except UserError:
        return []  # a required parameter decides
    kinds: dict[str, None] = {}
    while todo:
        part = todo.pop(0)
        kinds[part.kind] = None
        todo += part.needs
    return list(kinds)


def spec_lines(spec: Spec, registry: Registry, assets: Assets) -> list[str]:
    """A spec with its parameters and the assets that it reads by default."""
    owner = registry.owner(spec.kind, spec.name)
    facts = [
        ("plugin", owner.title if owner else "-"),
        ("implementation", spec.target),
        ("version", spec.version),
        ("tags", ", ".join(spec.tags) or "-"),
    ]
    if isinstance(spec, MethodSpec):
        sets = "one, whatever the seed" if spec.deterministic else "one per seed"
        facts.append(("sets", "one per seed; one with some parameters" if callable(spec.deterministic) else sets))
        if not spec.uses_dpc:
            facts.append(("dpc", "not used"))
        if kinds := part_kinds(spec):
            facts.append(("parts", f"{', '.join(kinds)}: made before the sets that need them, equal ones once"))
        if spec.prepared_by:
            facts.append(("prepared by", f"{spec.prepared_by}: all its sets share what it seeds, or --preparations N"))
    lines = [f"{spec.kind} {spec.name}", f"  {spec.summary}", *columns(facts)]
    if spec.notes:
        lines += ["notes", *wrapped([(" ".join(spec.notes.split()),)], indent=0)]
    rows = [(each.name, each.type, each.default, each.bounds, each.description) for each in describe(spec)]
    heads = ("name", "type", "default", "bounds", "meaning")
    lines += ["parameters", *(wrapped([heads, *rows]) if rows else ["  none"])]
    setting = [suite for suite in suites() if spec.name in load_suite(suite, registry).params]
    if setting:
        lines.append(f"  suites with parameters of their own for it: {', '.join(setting)} (`bench info {setting[0]}`)")
    try:
        refs = list(spec.assets(validate(spec, {})))
    except UserError:
        return lines  # a required parameter decides
    if refs:
        white = ": a student with the weights of one of these is a white box" if isinstance(spec, MethodSpec) else ""
        lines.append(f"assets, with these defaults{white}")
    for ref in refs:
        lines += [f"  {ref}", *("  " + line for line in asset_lines(ref, assets))]
    return lines


def asset_lines(ref: str, assets: Assets) -> list[str]:
    """Source, licence, size, hash and state of an asset."""
    found = assets.resolve(ref)
    if not isinstance(found, Asset):
        return columns([("source", f"local path {found}")])
    if found.from_wheels:
        names = ", ".join(f"{piece.wheel} {piece.version}" for piece in found.pieces)
        joined = f"{found.joined} out of {len(found.pieces)} wheels: {names}"
        source = f"{joined if names else f'wheel {found.wheel} {found.version}'}, from the package index"
        pin = ("sha256", found.sha256)
    else:
        config = f", configuration {found.config}" if found.config else ""
        source = f"hub repository {found.hub}{config}"
        pin = ("revision", found.revision or "main, not pinned")
    place = assets.locate(ref)
    facts = [
        ("summary", found.summary),
        ("content", found.content),
        ("source", source),
        pin,
        ("licence", found.licence or "see its source"),
        ("size", f"{found.size_mb:g} MB" if found.size_mb else "unknown"),
        ("cached", str(place) if place else f"no; bench fetch {ref}"),
    ]
    if found.folder:
        facts.append(("local files", f"DIR/{found.folder} of --data-dir DIR goes before the hub"))
    if found.notes:
        facts.append(("notes", found.notes))
    return wrapped(facts)


def suite_lines(suite: Suite) -> list[str]:
    """A suite's selections, and the parameters in which they differ from the plugins' own defaults."""
    changed = []
    for choice in (*suite.tasks, *suite.methods, *suite.students):
        usual = usual_parameters(choice.spec)
        differing = {key: value for key, value in plain(choice.params).items() if usual.get(key) != value}
        if differing:
            text = ", ".join(f"{key}={written(value)}" for key, value in sorted(differing.items()))
            changed.append((choice.label, text))
    selected = {choice.spec.name for choice in (*suite.tasks, *suite.methods, *suite.students)}
    for name, values in suite.params.items():
        if name not in selected:
            changed.append((name, ", ".join(f"{key}={written(value)}" for key, value in sorted(values.items()))))
    facts = [
        ("tasks", ", ".join(choice.label for choice in suite.tasks)),
        ("methods", ", ".join(choice.label for choice in suite.methods)),
        ("students", ", ".join(choice.label for choice in suite.students)),
        ("dpc", ", ".join(map(str, suite.dpc))),
        *((f"dpc of {label}", ", ".join(map(str, numbers))) for label, numbers in suite.task_dpc.items()),
        ("sets", str(suite.sets)),
        *([("preparations", str(suite.preparations))] if suite.preparations > 1 else []),
        ("runs per set", str(suite.runs)),
        ("seed", str(suite.seed)),
    ]
    lines = [f"suite {suite.name}", f"  {suite.summary}", *wrapped(facts)]
    return [*lines, "parameters set by the suite", *wrapped(changed)] if changed else lines
