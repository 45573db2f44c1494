"""Whose seconds pass: a job's own, or those of the artifacts that it makes on the way."""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

JOB = ""  # stands for the job itself among the keys of artifacts
SECONDS = ".seconds"  # the file in a workspace that keeps over crashes what was spent there
SAVE_SECONDS = 5.0  # of work that a killed job may lose count of


class Meter:
    """Charges all time to whoever works: the job, the artifact that is being made, or nobody while it waits.

    What a job uses while an artifact is being made is a part of that artifact, else of what the job makes.
    `clock`: seconds from any start, never falling.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = self._saved = clock()
        self._working: list[tuple[str, ...]] = [(JOB,)]
        self._open: dict[str, Path] = {}  # workspaces
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._parts: defaultdict[str, dict[str, str]] = defaultdict(dict)

    @property
    def own(self) -> float:
        """Seconds of the job itself, without the artifacts that it made and without waiting for other processes."""
        self._settle()
        return self._seconds[JOB]

    @property
    def parts(self) -> dict[str, str]:
        """Key -> kind of the artifacts that the job used for what it makes itself."""
        return dict(self._parts[JOB])

    def about(self, key: str) -> dict[str, Any]:
        """What is known of an artifact when it is finished: its own seconds, and key -> kind of its parts."""
        return {"seconds": round(self._seconds[key], 3), "made_of": dict(self._parts[key])}

    def use(self, kind: str, key: str) -> None:
        """Note a finished artifact as a part of what is being made."""
        if key not in self._working[-1]:
            for user in self._working[-1]:
                self._parts[user][key] = kind

    @contextlib.contextmanager
    def working(self, *keys: str) -> Iterator[None]:
        """Charge the time inside to these artifacts in equal shares; without a key to nobody."""
        self._settle()
        self._working.append(keys)
        try:
            yield
        finally:
            self._settle()
            self._working.pop()

    @contextlib.contextmanager
    def workspace(self, key: str, folder: Path) -> Iterator[None]:
        """Charge the time inside to this artifact, after what was spent before a crash; open ones share it."""
        try:
            self._seconds[key] = float((folder / SECONDS).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # new, or cut short
            self._seconds[key] = 0.0
        together = (*(one for one in self._working[-1] if one in self._open), key)
        self._open[key] = folder
        try:
            with self.working(*together):
                yield
        finally:
            self._save()
            del self._open[key]

    def tick(self) -> None:
        """Called now and then from inside a job, so that a kill loses little of the count."""
        if self._open and self._clock() - self._saved >= SAVE_SECONDS:
            self._settle()
            self._save()

    def _settle(self) -> None:
        now = self._clock()
        for key in self._working[-1]:
            self._seconds[key] += (now - self._last) / len(self._working[-1])
        self._last = now

    def _save(self) -> None:
        self._saved = self._clock()
        for key, folder in self._open.items():
            with contextlib.suppress(OSError):  # finished, so the folder is gone; or a full disk, which others report
                part = folder / f"{SECONDS}.part"
                part.write_text(repr(self._seconds[key]), encoding="utf-8")
                os.replace(part, folder / SECONDS)
