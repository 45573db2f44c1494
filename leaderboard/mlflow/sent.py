"""What MLflow was sent of the results in a folder: a journal beside them, so that nobody has to ask MLflow."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.store.journal import Journal

Place = tuple[str, str]  # suite, and the key of a replicate or of a cell: what has a run of its own in MLflow
UNTOLD = ""  # stamp of a run that is there, and of whose figures nobody knows


@dataclass
class Run:
    """A run in MLflow: its id there, the stamp of what it holds, the names of the sets beside it."""

    id: str
    stamp: str
    files: set[str] = field(default_factory=set)


class Sent:
    """The journal as it stands. Its first line names the tracking URI by hash; with another one nothing was sent.

    Before runs are made their places are announced, afterwards they are noted: places that were announced and not
    noted (the process died between) are `doubtful`, and only they have to be looked up.
    """

    def __init__(self, path: Path, uri: str) -> None:
        self._uri = hashlib.sha256(uri.encode()).hexdigest()
        self._journal = Journal(path, "what was sent to MLflow,")
        self._forget()

    def _forget(self) -> None:
        self.runs: dict[Place, Run] = {}
        self.doubtful: set[Place] = set()
        self.whole = ""  # digest of all that there was to send, when all of it was sent
        self._known = False

    def read(self) -> bool:
        """Read what was noted since the last time, by other processes too; whether it is about this URI.

        For the holder of the lock: a line that a crash tore is cut off.
        """
        self._journal.mend_end(lambda line: False)
        if not self._journal.is_continued():
            self._forget()
        for line in self._journal.news():
            try:
                self._apply(*json.loads(line))
            except (ValueError, TypeError, LookupError):  # not ours, or damaged: as if nothing were known
                self._forget()
                return False
        return self._known

    def start(self) -> None:
        """Begin a journal about this URI, in which nothing was sent."""
        self._journal.path.unlink(missing_ok=True)
        self._journal.is_continued()
        self._forget()
        self._append(["uri", self._uri, uuid.uuid4().hex])

    def announce(self, places: Iterable[Place]) -> None:
        """Say, before it is done, which runs will be made or changed."""
        self._append(["soon", list(places)])

    def note(self, found: dict[Place, Run]) -> None:
        """Say which runs stand as they are here; their places are no longer doubtful."""
        self._append(*(["run", *place, run.id, run.stamp, sorted(run.files)] for place, run in found.items()))

    def finish(self, digest: str) -> None:
        """Say that all was sent."""
        self._append(["whole", digest])

    def _append(self, *lines: list[Any]) -> None:
        if lines:
            self._journal.append([json.dumps(line, separators=(",", ":")).encode() for line in lines])
            self.read()

    def _apply(self, kind: str, *rest: Any) -> None:
        if kind == "uri":
            self._known = rest[0] == self._uri
        elif kind == "soon":
            self.whole = ""
            self.doubtful |= {(suite, key) for suite, key in rest[0]}
        elif kind == "run":
            suite, key, run, stamp, names = rest
            self.runs[suite, key] = Run(run, stamp, set(names))
            self.doubtful.discard((suite, key))
        elif kind == "whole":
            (self.whole,) = rest
        else:
            raise ValueError(kind)
