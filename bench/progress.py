"""Progress of a run: a bar with the time left on a terminal or in a notebook, plain lines in a log."""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any, Literal

from bench.output import echo
from bench.store.text import one_line, shown

Place = Literal["terminal", "notebook", "log"]
SHAPE = "{desc} {n_fmt}/{total_fmt} |{bar}| {elapsed}{postfix}"


def duration(seconds: float) -> str:
    """`1:02:03` or `4:05`."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def place() -> Place:
    """Where progress is read."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None and "IPKernelApp" in shell.config:
        return "notebook"
    return "terminal" if sys.stderr.isatty() else "log"


def bar(total: int, finished: int, where: Place) -> Any:
    """A bar of tqdm's for this place; a text bar in notebooks without widgets."""
    if where == "notebook" and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm_notebook

        return tqdm_notebook(total=total, initial=finished)
    from tqdm import tqdm

    return tqdm(total=total, initial=finished, bar_format=SHAPE, dynamic_ncols=where == "terminal")


class TimeLeft:
    """Seconds of work left, from the jobs of each kind that still wait and how long the latest of that kind took."""

    def __init__(self, waiting: Iterable[str], rough: Mapping[str, float]) -> None:
        """waiting: the kind of each job; rough: seconds of a kind, before any of it is done."""
        self._waiting = Counter(waiting)
        self._rough = rough
        self._recent: dict[str, deque[float]] = {}

    def done(self, kind: str, seconds: float) -> None:
        """Count a finished job; one that nobody worked on took 0 seconds and tells nothing of the others."""
        self._waiting[kind] -= 1
        if seconds > 0:
            self._recent.setdefault(kind, deque(maxlen=30)).append(seconds)

    def seconds(self) -> float:
        """Of one worker; kinds that nothing is known of are taken to be as long as the median of the others."""
        known = dict(self._rough) | {kind: statistics.median(each) for kind, each in self._recent.items()}
        other = statistics.median(known.values()) if known else 0.0
        return sum(max(n, 0) * known.get(kind, other) for kind, n in self._waiting.items())


class RunReport:
    """Replicates done/total with the time left; the newest result, and what long jobs are doing."""

    def __init__(self, quiet_seconds: float = 20.0) -> None:
        self._bar: Any = None
        self._place = place()
        self._quiet = quiet_seconds
        self._spoken = 0.0
        self._total = self._done = 0
        self._workers = 1
        self._left = TimeLeft((), {})
        self._slots: dict[int, str] = {}

    def start(self, left: TimeLeft, total: int, finished: int, workers: int, line: str = "") -> None:
        self._left, self._total, self._done, self._workers = left, total, finished, workers
        self._spoken = time.monotonic()
        if self._place != "log":
            self._bar = bar(total, finished, self._place)
        else:
            echo(line or f"{finished}/{total} replicates already there", err=True)

    def step(self, line: str, seconds: float, kind: str = "") -> None:
        self._done += 1
        self._left.done(kind, seconds)
        left = duration(self._left.seconds() / self._workers)
        if self._bar is not None:
            self._bar.set_postfix_str(f"{left} left, {shown(line)}", refresh=False)
            self._bar.update(1)
            return
        echo(f"[{self._done}/{self._total}, {left} left] {line}", err=True)
        self._spoken = time.monotonic()

    def inside(self, slot: int, line: str) -> None:
        self._slots[slot] = one_line(line, 100)
        inside = "; ".join(text for text in self._slots.values() if text)
        if self._bar is not None:
            self._bar.set_description_str(inside[:60])
        elif inside and time.monotonic() - self._spoken > self._quiet:
            echo(f"[{self._done}/{self._total}] {inside}", err=True)
            self._spoken = time.monotonic()

    def warn(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(f"bench: warning: {shown(line)}", file=sys.stderr)
        else:
            echo(f"bench: warning: {line}", err=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
