"""What run, plan, fetch and score share: settings, plugins, suite, assets and caches, opened from the flags."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench import plugins
from bench.cli.options import collect
from bench.cli.output import echo
from bench.cli.own_files import open_own_files
from bench.data.assets import Assets
from bench.errors import UserError
from bench.plan import Plan, make_plan
from bench.plugins import Registry
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.store.record import Record
from bench.suite import Suite, load_suite


@dataclass(frozen=True)
class Workspace:
    """Everything that a plan needs; the caches are opened when first asked for."""

    settings: Settings
    registry: Registry
    suite: Suite
    assets: Assets

    @classmethod
    def open(cls, options: dict[str, Any], *, sets: bool = False, **fixed: Any) -> Workspace:
        """Take the shared options out of a command's keyword arguments; `fixed` replaces some of them.

        `sets`: the command reads sets, whose columns --text-columns and --label-column name too.
        """
        settings = collect(options)
        registry = plugins.load(settings)
        for line in registry.warnings():
            echo(f"bench: warning: {line}", err=True)
        columns = options.pop("text_columns")
        table = {
            "text": columns.split(",") if columns else None,
            "label": options.pop("label_column"),
            "test": options.pop("test_table"),
        }
        table = {name: value for name, value in table.items() if value is not None}
        flags = {
            name: options.pop(name, None) for name in ("tasks", "methods", "students", "dpc", "sets", "runs", "seed")
        }
        suite = load_suite(
            options.pop("suite"),
            registry,
            task_params={"table": table} if table else None,
            **(flags | fixed),
        )
        if (table.keys() & {"test"} if sets else table) and not any(task.spec.name == "table" for task in suite.tasks):
            flags_of_table = "--test-table goes" if sets else "--text-columns, --label-column and --test-table go"
            raise UserError(f"{flags_of_table} with --tasks table:PATH")
        return cls(settings, registry, suite, Assets(registry.assets, settings))

    @cached_property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.settings.cache)

    def plan(self, records: list[Record]) -> Plan:
        return make_plan(self.suite, self.assets, self.artifacts, records)

    def fetch(self, plan: Plan) -> None:
        """Bring the assets that the missing replicates need, one line each; before a download, own files are read."""
        refs = dict.fromkeys(ref for choice in plan.wanted() for ref in choice.spec.assets(choice.params))
        if any(self.assets.locate(ref) is None for ref in refs):
            open_own_files(plan, self.assets)
        for ref in refs:
            self.assets.fetch(ref, lambda line: echo(line, err=True))


def pass_on(*sources: Any) -> None:
    """Print as warnings what stores and caches have to say, each line once."""
    for source in sources:
        for line in source.said:
            echo(f"bench: warning: {line}", err=True)
        source.said.clear()


def output_folder(value: str) -> Path:
    return Path(value).expanduser().absolute()
