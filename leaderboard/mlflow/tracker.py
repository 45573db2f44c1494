"""MLflow as a view of the result store: it reads finished results, and its failure fails nothing."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import UserError
from bench.store.identity import canonical
from bench.store.record import Record
from bench.store.results import ResultStore
from leaderboard.board import board_of
from leaderboard.cells import CellRecords, gather, names_of
from leaderboard.columns import columns
from leaderboard.mlflow.content import of_cell, of_replicate, replicate_stamp, with_figures
from leaderboard.mlflow.database import default_uri, explained, sqlite_file, unsynced
from leaderboard.mlflow.sent import Place, Run, Sent
from leaderboard.mlflow.sink import Sink

GROUP = 10  # runs between two notes in the journal; MLflow takes about 0.3 s for them
EVERY = 30.0  # seconds between two looks at results that are still being made
BUDGET = 1.0  # seconds that such a look may take
RECORD_SECONDS = 0.5e-3  # that making a board takes for each of its records, until one was made

Counts = Counter[str]  # cells, replicates, updated, sets: how many were sent


@dataclass
class News:
    """The records that have a run in MLflow, and those of each cell; the digest of all that MLflow is told."""

    cells: Sequence[CellRecords]
    replicates: dict[Place, Record] = field(default_factory=dict)
    members: dict[Place, list[Record]] = field(default_factory=dict)
    digest: str = ""

    def __post_init__(self) -> None:
        for cell in self.cells:
            for record in cell.records:
                if (record.suite, record.key) not in self.replicates:  # one may stand in two cells, by other labels
                    self.replicates[record.suite, record.key] = record
                    self.members.setdefault((record.suite, record.cell), []).append(record)


class Tracker:
    """Sends the newest records of a result store to MLflow.

    One experiment a suite, a parent run a cell (the board's figures, its distilled sets as artifacts), a child
    run a replicate. What was sent is kept in the process and in OUT/tracking.jsonl, so that only news are sent, and
    nothing twice; without news `sync` returns at once, without importing mlflow.
    """

    def __init__(self, store: ResultStore, uri: str | None = None) -> None:
        self.store = store
        self.uri = uri or default_uri(store.out)
        self._own = self.uri == default_uri(store.out)
        self._file = sqlite_file(self.uri)
        self._sent = Sent(store.out / "tracking.jsonl", self.uri)
        self._stamps: dict[Place, tuple[Record, str]] = {}  # of the records that were looked at
        self._sink: Sink | None = None
        self._record_seconds = RECORD_SECONDS

    def sync(self, *, seconds: float | None = None, resend: bool = False) -> Counts:
        """Send what is missing or changed; `resend` asks MLflow what it has, whatever was noted.

        seconds: stop when they have passed, after ten runs at least, and go on there at the next call. The figures of
        cells come after all replicates, and only when the board is made in that time. While another process sends,
        such a call returns at once. Raises TrackingError, one line, when MLflow cannot take it.
        """
        news = self._news()
        counts: Counts = Counter()
        if not news.replicates:
            return counts
        with explained(self.uri):
            try:
                with FileLock(self.store.out / "tracking.lock", timeout=-1 if seconds is None else 0):
                    self._send(news, seconds, resend, counts)
            except Timeout:
                pass
        return +counts

    def _news(self) -> News:
        cells, _ = gather(self.store.records(), self.store.cells())
        news = News(cells)
        stamps = sorted(self._stamp(place, record) for place, record in news.replicates.items())
        planned = sorted([str(cell.names), str(cell.planned)] for cell in cells)
        told = [column.measure for column in columns("mlflow")]
        news.digest = hashlib.sha256(canonical([stamps, planned, told]).encode()).hexdigest()
        return news

    def _stamp(self, place: Place, record: Record) -> str:
        seen = self._stamps.get(place)
        if seen is None or seen[0] is not record:
            seen = self._stamps[place] = record, replicate_stamp(record)
        return seen[1]

    def _send(self, news: News, seconds: float | None, resend: bool, counts: Counts) -> None:
        there = self._file is None or self._file.exists()
        known = self._sent.read() and there and not resend
        if known and self._sent.whole == news.digest:
            return
        with unsynced(self._own):
            first = self._sink is None
            if self._sink is None or not there:
                self._sink = Sink(self.uri, (self.store.out / "mlartifacts").absolute())
            last = next(reversed(self._sent.runs.values()), None)
            if not known or (first and last is not None and not self._sink.knows(last.id)):
                self._sent.start()
                for suite in sorted({suite for suite, _ in news.members}):
                    self._sent.note(self._sink.all_runs(suite))
            end = math.inf if seconds is None else time.monotonic() + seconds
            if self._replicates(self._sink, news, end, counts) and self._cells(self._sink, news, end, counts):
                self._sent.finish(news.digest)

    def _groups(self, sink: Sink, todo: Sequence[Place], end: float) -> Iterator[list[Place]]:
        """Some places at a time, until the end has come; those that are doubtful are looked up before."""
        for start in range(0, len(todo), GROUP):
            if start and time.monotonic() > end:
                return
            group = list(todo[start : start + GROUP])
            self._announce(sink, group)
            yield group

    def _announce(self, sink: Sink, places: Sequence[Place]) -> None:
        doubtful = self._sent.doubtful.intersection(places)
        self._sent.note({place: run for place in sorted(doubtful) if (run := sink.find(place)) is not None})
        self._sent.announce(places)

    def _replicates(self, sink: Sink, news: News, end: float, counts: Counts) -> bool:
        """Send the replicates that are new or changed, below the runs of their cells; whether none is left."""
        runs = self._sent.runs
        todo = [
            place
            for place, record in news.replicates.items()
            if place in self._sent.doubtful or place not in runs or runs[place].stamp != self._stamp(place, record)
        ]
        left = len(todo)
        for group in self._groups(sink, todo, end):
            found: dict[Place, Run] = {}
            for place in group:
                record = news.replicates[place]
                parent = self._parent(sink, news, (record.suite, record.cell), counts)
                content = of_replicate(record)
                if place in runs:
                    found[place] = runs[place]
                    counts["updated"] += sink.change(runs[place], content, parent)
                else:
                    found[place] = sink.make(record.suite, content, parent)
                    counts["replicates"] += 1
            self._sent.note(found)
            left -= len(group)
        return not left

    def _parent(self, sink: Sink, news: News, place: Place, counts: Counts) -> str:
        """The id of a cell's run, which is made when it is missing."""
        if place not in self._sent.runs:
            self._announce(sink, [place])
        if place not in self._sent.runs:
            self._sent.note({place: sink.make(place[0], of_cell(news.members[place]))})
            counts["cells"] += 1
        return self._sent.runs[place].id

    def _cells(self, sink: Sink, news: News, end: float, counts: Counts) -> bool:
        """Send the figures and sets of the cells where they are new or changed; whether none is left."""
        start = time.monotonic()
        if start + self._record_seconds * len(news.replicates) > end:
            return False
        board = board_of(self.store)
        self._record_seconds = (time.monotonic() - start) / len(news.replicates)
        rows = {row.names: row for row in board.rows}
        runs, contents, sets = self._sent.runs, {}, {}
        for place, members in news.members.items():
            self._parent(sink, news, place, counts)  # its replicates may have been sent as another cell's
            contents[place] = with_figures(of_cell(members), board, rows[names_of(members[0])])
            paths = (self._set_path(key) for key in dict.fromkeys(record.set_key for record in members))
            sets[place] = [path for path in paths if path.name not in runs[place].files and path.exists()]
        todo = [
            place
            for place, content in contents.items()
            if sets[place] or place in self._sent.doubtful or runs[place].stamp != content.stamp
        ]
        left = len(todo)
        for group in self._groups(sink, todo, end):
            for place in group:
                counts["updated"] += sink.change(runs[place], contents[place])
                for path in sets[place]:
                    if path.name not in runs[place].files:
                        sink.add_set(runs[place], path, self.store.reports(path.stem))
                        counts["sets"] += 1
            self._sent.note({place: runs[place] for place in group})
            left -= len(group)
        return not left

    def _set_path(self, set_key: str) -> Path:
        return self.store.out / "sets" / f"{set_key}.json"


class Follower:
    """Sends results while they are made, a little now and then; whatever goes wrong in MLflow is one warning."""

    def __init__(self, store: ResultStore, uri: str | None, warn: Callable[[str], None]) -> None:
        self._tracker = Tracker(store, uri)
        self._warn = warn
        self._last = time.monotonic()
        self._works = True

    def now_and_then(self) -> None:
        """A second's worth of what is not there yet, when half a minute has passed."""
        if time.monotonic() - self._last > EVERY:
            self._sync(BUDGET)

    def finish(self) -> None:
        """All that is not there yet."""
        self._sync(None)

    def _sync(self, seconds: float | None) -> None:
        if self._works:
            try:
                self._tracker.sync(seconds=seconds)
            except UserError as error:
                self._warn(str(error))
                self._works = False
        self._last = time.monotonic()
