"""The `bench` command: finds the sub-command's file and loads only that."""

from __future__ import annotations

import errno
import importlib
import os
import re
import signal
import sys
from itertools import pairwise

import click

from bench.errors import UserError, did_you_mean
from bench.output import echo, prepare_streams
from bench.store.text import one_line, unwritable

COMMANDS = {  # name -> (module, one line for --help); the module is imported when the command is used
    "run": ("bench.cli.run", "Distil, train students, score: every combination that is still missing."),
    "plan": ("bench.cli.plan", "Show the cells of a run, what is cached and an estimate; compute nothing."),
    "leaderboard": ("bench.cli.leaderboard", "Make the board of a result folder: markdown, CSV, HTML and LaTeX."),
    "compare": ("bench.cli.compare", "Compare results with published numbers, or with those of another folder."),
    "list": ("bench.cli.list", "List tasks, methods, students and suites."),
    "info": ("bench.cli.info", "Show one plugin, suite or asset: parameters, source, licence, size, hash."),
    "plugins": ("bench.cli.plugins", "List the installed plugins and their state."),
    "fetch": ("bench.cli.fetch", "Download what a run needs, so that it can work offline."),
    "doctor": ("bench.cli.doctor", "Check versions, device, caches and plugins; one line each with a mend."),
    "export": ("bench.cli.export", "Write distilled sets as JSONL with a card."),
    "score": ("bench.cli.score", "Score distilled sets made elsewhere with the same students."),
    "track": ("bench.cli.track", "Send results to MLflow again."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' one-line helps without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise click.UsageError(f"no command '{args[0]}'{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="distillation-bench", prog_name="bench")
def cli() -> None:
    """Benchmark suite for text dataset distillation."""


def check_words(words: list[str]) -> None:
    """Refuse what nobody means: an empty word, such as an unset variable of a script, and bytes that are no text."""
    for before, word in pairwise(["bench", *words]):
        if unwritable(word):
            raise UserError(f"the argument '{word}' is no UTF-8 text: rename the file or folder that it names")
        if not word.strip() or re.fullmatch(r"--[a-z-]+=\s*", word):
            raise UserError(f"an empty value stands after '{word.strip() or before}': fill it in, or leave it out")


def main() -> None:
    """Entry point: user errors are one line and an exit code; bugs keep their traceback."""
    prepare_streams()
    try:
        check_words(sys.argv[1:])
        code = cli.main(prog_name="bench", standalone_mode=False)
    except UserError as error:
        echo(f"bench: error: {one_line(str(error))}", err=True)
        code = error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        echo(error.format_message())
        code = 0
    except click.ClickException as error:
        echo(f"bench: error: {one_line(error.format_message())}", err=True)
        code = 1
    except (click.Abort, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more would leave a traceback on the way out
        echo("bench: interrupted; what was finished is kept", err=True)
        code = 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe went away; nothing more can be said to it
        code = 0
    except OSError as error:
        if error.errno in {errno.ENAMETOOLONG, errno.ELOOP}:
            echo(f"bench: error: {one_line(f'{error.filename}: {error.strerror}')}", err=True)
            sys.exit(1)
        if error.errno != errno.ENOSPC:
            raise
        echo("bench: error: no space left for the output: free some, then run the same command", err=True)
        os._exit(1)  # what could not be written would be tried, and fail, once more at a normal exit
    sys.exit(code if isinstance(code, int) else 0)
