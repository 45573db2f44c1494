"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from bench.settings import Settings

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def settings_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--cache, --data-dir, --offline, --plugin: collected into one `settings` argument by `collect`."""
    for option in (
        click.option("--plugin", "plugin_files", multiple=True, metavar="FILE", help="A one-file plugin (repeatable)."),
        click.option("--offline", is_flag=True, help="Open no socket; also set by HF_HUB_OFFLINE=1."),
        click.option("--data-dir", metavar="DIR", help="Local GLUE folder: DIR/<sst2|qqp|mnli>/{train,...}.jsonl."),
        click.option(
            "--cache", metavar="DIR", help="Cache of assets and artifacts [BENCH_CACHE, or the user's cache]."
        ),
    ):
        function = option(function)
    return function


def collect(options: dict[str, Any], device: str = "cpu") -> Settings:
    """Take the shared options out of a command's keyword arguments."""
    return Settings.make(
        cache=options.pop("cache"),
        data_dir=options.pop("data_dir"),
        offline=options.pop("offline"),
        plugin_files=tuple(options.pop("plugin_files")),
        device=device,
    )
