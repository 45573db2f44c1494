"""Options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from bench.errors import UserError
from bench.settings import Settings
from bench.suite import MOST_DPC

if TYPE_CHECKING:
    from bench.session import Session

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


def result_folder(function: Callable[..., Any]) -> Callable[..., Any]:
    """OUT, or --out DIR as `bench run` has it: one `out`, as it was written."""

    @click.argument("out", required=False, metavar="[OUT]")
    @click.option("--out", "named", metavar="DIR", help="OUT, written as for `bench run`.")
    @functools.wraps(function)
    def with_folder(*args: Any, out: str | None, named: str | None, **options: Any) -> Any:
        if out is not None and named is not None:
            raise UserError(f"the result folder is given twice: {out} and --out {named}")
        found = next((each for each in (out, named) if each is not None), "bench-out")
        return function(*args, out=found, **options)

    return with_folder


def selection_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--suite and the flags that override it; read by `opened`."""
    options: tuple[Decorator, ...] = (
        *_size_options(),
        click.option(
            "--preparations", type=click.IntRange(1), metavar="N", help="Generators a method trains for its sets [1]."
        ),
        click.option("--sets", type=click.IntRange(1), help="Distilled sets per cell."),
        click.option("--dpc", metavar="N[,N]", callback=whole_numbers, help="Data per class, for every task."),
        *_table_options("of table:PATH"),
        click.option("--students", metavar="LIST", help="As --methods."),
        click.option("--methods", metavar="LIST", help="Such as: kcenters[pooling=cls],random   all   all,-herding"),
        click.option("--tasks", metavar="LIST", help="As --methods; also table:PATH for a file of your own."),
        _suite_option(),
    )
    for option in options:
        function = option(function)
    return function


def scoring_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Those of them that apply to sets made elsewhere."""
    options: tuple[Decorator, ...] = (
        *_size_options(),
        click.option("--dpc", type=click.IntRange(1, MOST_DPC), help="Most examples a class [what all classes have]."),
        *_table_options("of the sets and of table:PATH"),
        click.option("--students", metavar="LIST", help="Such as: minilm,probe   [the suite's]"),
        click.option("--tasks", metavar="NAME", help="The one task that the sets are for; also table:PATH."),
        _suite_option(),
    )
    for option in options:
        function = option(function)
    return function


def _size_options() -> tuple[Decorator, ...]:
    return (
        click.option("--seed", type=click.IntRange(0), help="Base of all derived seeds [the suite's, 0]."),
        click.option("--runs", type=click.IntRange(1), help="Student runs per set."),
    )


def _table_options(whose: str) -> tuple[Decorator, ...]:
    return (
        click.option("--test-table", metavar="PATH", help="The test rows of table:PATH; else a part of PATH."),
        click.option("--label-column", metavar="NAME", help=f"Label column {whose}."),
        click.option("--text-columns", metavar="A[,B]", help=f"Text column(s) {whose}."),
    )


def _suite_option() -> Decorator:
    return click.option("--suite", default="pocket", show_default=True, help="A suite's name or TOML file.")


def whole_numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        numbers = tuple(int(part) for part in value.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise click.BadParameter(f"'{value}' is not a list of positive whole numbers, such as 5,10")
    return numbers


def collect(options: dict[str, Any]) -> Settings:
    """Take the shared options out of a command's keyword arguments."""
    return Settings.make(
        cache=options.pop("cache"),
        data_dir=options.pop("data_dir"),
        offline=options.pop("offline"),
        plugin_files=tuple(options.pop("plugin_files")),
    )


def opened(options: dict[str, Any], elsewhere: Sequence[str] = (), **fixed: Any) -> Session:
    """Take the shared options out of a command's keyword arguments; `fixed` replaces parts of the suite."""
    from bench.session import Session

    settings = collect(options)
    columns = options.pop("text_columns")
    flags = {
        "text_columns": columns.split(",") if columns else None,
        "label_column": options.pop("label_column"),
        "test_table": options.pop("test_table"),
    }
    names = ("tasks", "methods", "students", "dpc", "sets", "preparations", "runs", "seed")
    chosen = {name: options.pop(name, None) for name in names}
    return Session.open(settings, options.pop("suite"), flags=flags, elsewhere=elsewhere, **(chosen | fixed))
