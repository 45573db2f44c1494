"""The one way to the terminal and to a notebook: nothing that stands in data, names or messages is obeyed by it."""

from __future__ import annotations

import contextlib
import os
import sys

import click

from bench.store.text import shown


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text; characters that a terminal would obey are escaped."""
    click.echo(shown(text), err=err, nl=nl)


def prepare_streams() -> None:
    """Let any text be printed whatever the encoding, and put the null device where a standard stream was closed.

    Without that the next file that is opened, such as the records, takes the number of the closed stream, and what a
    library prints there goes into it.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a stream that somebody put in its place
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
