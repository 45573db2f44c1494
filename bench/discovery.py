"""Finds plugin modules: entry points of the group `bench`, and one-file plugins; imports one at a time."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from bench.errors import PluginError, UserError, did_you_mean
from bench.store.files import regular_file
from bench.store.text import message

GROUP = "bench"
OWN = Path(__file__).resolve().parent  # the engine's folder
DISTRIBUTION = "distillation-bench"
BUILTIN_PACKAGES = ("tasks", "methods", "students")


@dataclass(frozen=True)
class Source:
    """Where a plugin comes from. `value` is an entry point's "module" or the path of a one-file plugin."""

    name: str
    distribution: str
    version: str
    value: str
    builtin: bool = False
    file: Path | None = None

    @property
    def title(self) -> str:
        """How an error names it."""
        if self.file:
            return f"file {self.file}"
        return f"'{self.name}' of {self.distribution} {self.version}"


def installed() -> Iterator[Source]:
    """Sources of the installed plugins, built-ins first, then by name.

    Distributions that have several copies of their metadata (an editable install and a left-over build
    folder) count once: the first copy that declares an entry point gives it.
    """
    found: dict[tuple[str, str], Source] = {}
    for distribution in importlib.metadata.distributions():
        text = distribution.read_text("entry_points.txt")
        if not text or f"[{GROUP}]" not in text.replace(" ", ""):
            continue
        name = distribution.name
        for point in distribution.entry_points:
            if point.group == GROUP:
                source = Source(
                    name=point.name,
                    distribution=name,
                    version=distribution.version,
                    value=point.value,
                    builtin=canonicalize_name(name) == DISTRIBUTION,
                )
                found.setdefault((canonicalize_name(name), point.name), source)
    yield from sorted(
        found.values(), key=lambda each: (not each.builtin, canonicalize_name(each.distribution), each.name)
    )


def allowed(sources: list[Source]) -> set[Source]:
    """Those that BENCH_PLUGINS lets in: unset, all; empty, the built-ins; else built-ins and the named ones.

    A name in the list is that of an entry point or of a distribution. Raises UserError for an unknown one.
    """
    text = os.environ.get("BENCH_PLUGINS")
    if text is None:
        return set(sources)
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {source.name for source in sources} | {canonicalize_name(source.distribution) for source in sources}
    for name in names:
        if name not in known and canonicalize_name(name) not in known:
            raise UserError(f"BENCH_PLUGINS names '{name}', which is not installed{did_you_mean(name, known)}")
    wanted = set(names) | {canonicalize_name(name) for name in names}
    return {
        source
        for source in sources
        if source.builtin or source.name in wanted or canonicalize_name(source.distribution) in wanted
    }


def import_source(source: Source) -> Any:
    """The plugin module (or object) of a source. Raises whatever the plugin raises."""
    if source.file:
        return _import_file(source.file)
    if source.builtin:
        shadow = shadowed(source.value)
        if shadow:
            raise PluginError(shadow)
    return importlib.metadata.EntryPoint(source.name, source.value, GROUP).load()


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Run a plugin's code: what it raises beyond Exception becomes a PluginError; the user's Ctrl-C goes through."""
    pressed = False

    def press(number: int, frame: Any) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    watched = handler is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    if watched:
        signal.signal(signal.SIGINT, press)
    try:
        yield
    except BaseException as error:
        if pressed:
            raise KeyboardInterrupt from error
        if isinstance(error, Exception):
            raise
        raise PluginError(cause(error)) from error
    finally:
        if watched:
            signal.signal(signal.SIGINT, handler)


def file_source(path: Path) -> Source:
    """The source of a one-file plugin. Raises UserError when the file cannot be one."""
    regular_file(path, "--plugin")
    if path.suffix != ".py":
        raise UserError(f"--plugin {path}: a one-file plugin is a Python file (.py)")
    return Source(name=path.stem, distribution="", version="", value=str(path), file=path)


def _import_file(path: Path) -> Any:
    """Import a file under a module name made of its stem and content, so that no path enters an identity."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    name = f"bench_plugin_{re.sub(r'[^0-9a-zA-Z]', '_', path.stem)}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def shadowed(module: str) -> str:
    """One line when a built-in package's name leads to somebody else's module, else an empty string."""
    top = module.partition(".")[0]
    if top not in BUILTIN_PACKAGES:
        return ""
    home = OWN.parent / top
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return f"the built-in package '{top}' is missing; install {DISTRIBUTION} again"
    places = [Path(place).resolve() for place in spec.submodule_search_locations or ()]
    if home in places and spec.origin:
        return ""
    found = spec.origin or ", ".join(map(str, places))
    return (
        f"the built-in package '{top}' is hidden by {found}, which comes first on the import path; "
        f"rename that or take its folder out of PYTHONPATH"
    )


def cause(error: BaseException) -> str:
    """An exception as one line, with the place in the plugin's code when there is one."""
    text = message(error)
    if isinstance(error, PluginError):  # it says all by itself
        return text
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError):
        return line
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _ours(frame.filename)]
    if frames and not isinstance(error, UserError):
        line += f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})"
    return line


def _ours(filename: str) -> bool:
    """Whether a traceback frame belongs to the import machinery or the engine, not to a plugin."""
    if filename.startswith("<frozen"):
        return True
    path = Path(filename).resolve()
    return path.is_relative_to(OWN) or path.parent.name in {"importlib", "metadata"}
