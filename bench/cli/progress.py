"""Progress of a run: a bar with the time left on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm


def duration(seconds: float) -> str:
    """`1:02:03` or `4:05`."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class RunReport:
    """Replicates done/total with the time left; the newest result, and what long jobs are doing."""

    def __init__(self, quiet_seconds: float = 20.0) -> None:
        self._bar: tqdm | None = None
        self._terminal = sys.stderr.isatty()
        self._quiet = quiet_seconds
        self._spoken = 0.0
        self._total = self._done = self._before = 0
        self._started = time.monotonic()
        self._slots: dict[int, str] = {}

    def start(self, total: int, finished: int) -> None:
        self._total, self._done, self._before = total, finished, finished
        self._started = self._spoken = time.monotonic()
        if self._terminal:
            self._bar = tqdm(total=total, initial=finished, unit="run", dynamic_ncols=True, smoothing=0.1)
        else:
            print(f"{finished}/{total} replicates already there", file=sys.stderr, flush=True)

    def step(self, line: str) -> None:
        self._done += 1
        if self._bar is not None:
            self._bar.set_postfix_str(line, refresh=False)
            self._bar.update(1)
            return
        elapsed = time.monotonic() - self._started
        left = elapsed / (self._done - self._before) * (self._total - self._done)
        print(f"[{self._done}/{self._total}, {duration(left)} left] {line}", file=sys.stderr, flush=True)
        self._spoken = time.monotonic()

    def inside(self, slot: int, line: str) -> None:
        self._slots[slot] = line
        shown = "; ".join(text for text in self._slots.values() if text)
        if self._bar is not None:
            self._bar.set_description_str(shown[:60])
        elif shown and time.monotonic() - self._spoken > self._quiet:
            print(f"[{self._done}/{self._total}] {shown}", file=sys.stderr, flush=True)
            self._spoken = time.monotonic()

    def warn(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(f"bench: warning: {line}", file=sys.stderr)
        else:
            print(f"bench: warning: {line}", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
