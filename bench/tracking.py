"""MLflow sink: a view of the result store. It reads finished results, and its failure fails nothing."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import logging
import os
import re
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bench.errors import UserError
from bench.store.files import read_json, write_json
from bench.store.filling import fill
from bench.store.identity import canonical, key_of
from bench.store.record import Kind, Record
from bench.store.results import ResultStore

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from leaderboard.board import Row

QUIET = {  # read by mlflow when it is imported; a value that the user has set stays
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # 7 by default: minutes of waiting for a server that is not there
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
NO_DAMAGE = ("locked", "disk is full", "readonly database")  # what sqlite says of a file that is whole
RUN_STATUS = {"ok": "FINISHED", "not_applicable": "FINISHED", "not_run": "KILLED"}  # all others: FAILED
KEY, CELL, STATUS, REASON, FINISHED = "bench.key", "bench.cell", "bench.status", "bench.reason", "bench.finished"
PARENT = "mlflow.parentRunId"
TRAINING = "training/"  # prefix of the metrics and tags that come from reports of what sets were made of
NOTE = "mlflow.note.content"

Counts = Counter[str]  # cells, replicates, updated, sets: how many were sent


class TrackingError(UserError):
    """MLflow could not take the results; they are safe in the result store."""


def default_uri(out: Path) -> str:
    """The sqlite database in the output folder."""
    return f"sqlite:///{(out / 'mlflow.db').absolute()}"


def shown_uri(uri: str) -> str:
    """The URI without a user's name and password."""
    user = _user_part(uri)
    return uri.replace(user, "", 1) if user else uri


def _user_part(uri: str) -> str:
    """`name:password@` of a URI, or nothing."""
    user, at, _ = urlsplit(uri).netloc.rpartition("@")
    return user + at


def _milliseconds(iso: str) -> int:
    try:
        moment = datetime.datetime.fromisoformat(iso)
    except ValueError:
        return int(time.time() * 1000)
    return int(moment.timestamp() * 1000)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)


def _plugin_params(record: Record) -> dict[str, str]:
    """`task`, `method`, `student` and each of their parameters, as MLflow parameters."""
    params: dict[str, str] = {}
    kinds: tuple[Kind, ...] = ("task", "method", "student")
    for kind in kinds:
        plugin = record.plugin(kind)
        params[kind] = plugin.label
        params |= {f"{kind}.{name}": _text(value) for name, value in plugin.params.items()}
    params["dpc"] = "all" if record.dpc is None else str(record.dpc)
    return params | ({"metric": record.metric} if record.metric else {})


def _cell_name(record: Record) -> str:
    dpc = "all" if record.dpc is None else record.dpc
    return f"{record.task.label} {record.method.label} dpc={dpc} {record.student.label}"


def _row_metrics(row: Row) -> dict[str, float]:
    """The board's figures of a cell: fractions, and counts."""
    found: dict[str, float] = {"ok": row.ok, "planned": row.planned}
    if row.summary is not None:
        found |= {"score_mean": row.summary.mean, "score_std": row.summary.std, "sets": row.summary.n_sets}
        found |= {f"{name}_mean": value for name, value in row.metrics.items()}
        if row.summary.interval is not None:
            found |= {"score_ci_low": row.summary.interval.low, "score_ci_high": row.summary.interval.high}
    if row.cost is not None:
        found |= {"set_s": row.cost.total, "set_distil_s": row.cost.distil}
        found |= {"set_prepare_s": row.cost.prepare, "set_features_s": row.cost.features}
    if row.near_test is not None:
        found["near_test"] = row.near_test
    return found


def _record_metrics(record: Record) -> dict[str, float]:
    found = {} if record.score is None else {"score": record.score}
    found |= record.metrics | {"student_s": record.time.student_s}
    return found if record.time.distil_s is None else found | {"distil_s": record.time.distil_s}


def _record_tags(record: Record) -> dict[str, str]:
    tags = {KEY: record.key, STATUS: record.status, FINISHED: record.time.finished}
    tags |= {"bench.set_key": record.set_key, "bench.suite": record.suite}
    tags |= {f"bench.seed.{name}": str(getattr(record.seed, name)) for name in ("base", "set", "run")}
    tags[REASON] = record.reason or ""
    return tags


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Any failure of MLflow, its database or its server as one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        text = str(error).replace(_user_part(uri) or "\0", "").strip()
        reason = text.splitlines()[0][:200] if text else type(error).__name__
        file = _sqlite_file(uri)
        if file is not None and file.is_file() and not any(word in text for word in NO_DAMAGE):
            mend = f"when {file} is damaged or was made only in part, delete it (it is a view of them), then"
        else:
            mend = "later,"
        raise TrackingError(
            f"MLflow at {shown_uri(uri)} did not take the results ({reason}); "
            f"they are kept in the output folder: {mend} send them with `bench track --resend`"
        ) from error


def _sqlite_file(uri: str) -> Path | None:
    """The database file of a sqlite URI."""
    return Path(urlsplit(uri).path[1:]) if uri.startswith("sqlite:///") else None


@contextlib.contextmanager
def _unsynced(active: bool) -> Iterator[None]:
    """Let sqlite leave flushing to the operating system: several times faster, and a copy needs no more."""
    if not active:
        yield
        return
    import sqlalchemy

    def relax(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", relax)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.engine.Engine, "connect", relax)


def _check_sqlite(path: Path) -> None:
    """Open the database file once: MLflow itself would try a broken one for more than a minute."""
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA schema_version")
    finally:
        connection.close()


def _make_sqlite(path: Path, artifacts: Path) -> None:
    """Make a database with all tables, under another name until it is whole: MLflow cannot go on with a part of one."""

    def make(part: Path) -> None:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        SqlAlchemyStore(f"sqlite:///{part}", artifacts.as_uri()).engine.dispose()

    def is_whole() -> bool:
        return path.exists() and path.stat().st_size > 0

    fill(path, make, is_whole, part=path.with_name(f".{path.name}.part"), lock=None)


def _client(uri: str, artifacts: Path) -> MlflowClient:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    file = _sqlite_file(uri)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            _check_sqlite(file)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if file is not None:
        _make_sqlite(file, artifacts)
    return MlflowClient(tracking_uri=uri)


class Tracker:
    """Sends the newest records of a result store to MLflow.

    One experiment a suite, a parent run a cell (the board's figures, its distilled sets as artifacts), a child
    run a replicate. What MLflow has already is found by its tags, so sending again adds nothing twice. A mark
    in the output folder lets `sync` return at once, without importing mlflow, when nothing is new.
    """

    def __init__(self, store: ResultStore, uri: str | None = None) -> None:
        self.store = store
        self.uri = uri or default_uri(store.out)
        self._mark = store.out / "tracking.json"
        self._artifacts = (store.out / "mlartifacts").absolute()

    def sync(self, resend: bool = False) -> Counts:
        """Send what is missing or changed; `resend` asks MLflow what it has, whatever the mark says.

        Raises TrackingError, one line, when MLflow cannot take it.
        """
        from filelock import FileLock

        from leaderboard.cells import gather

        cells, _ = gather(self.store.records(), self.store.cells())
        records = [record for cell in cells for record in cell.records]
        if not records:
            return Counter()
        marked = {"uri": hashlib.sha256(self.uri.encode()).hexdigest(), "records": self._digest(records)}
        if not resend and self._is_marked(marked):
            return Counter()
        own = self.uri == default_uri(self.store.out)
        with _explained(self.uri), FileLock(self.store.out / "tracking.lock"), _unsynced(own):
            counts = self._send(_client(self.uri, self._artifacts), records)
            write_json(self._mark, marked)
        return counts

    @staticmethod
    def _digest(records: list[Record]) -> str:
        return key_of(sorted([record.key, record.status, str(record.time)] for record in records))

    def _is_marked(self, marked: dict[str, str]) -> bool:
        if self.uri == default_uri(self.store.out) and not (self.store.out / "mlflow.db").exists():
            return False
        try:
            return bool(read_json(self._mark) == marked)
        except (OSError, UserError):
            return False

    def _send(self, client: MlflowClient, records: list[Record]) -> Counts:
        from leaderboard.board import build
        from leaderboard.cells import names_of

        rows = {row.names: row for row in build(records, self.store.cells()).rows}
        suites: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
        for record in records:
            suites[record.suite][record.cell].append(record)
        counts: Counts = Counter()
        for suite, cells in sorted(suites.items()):
            experiment = self._experiment(client, suite)
            known = _known_runs(client, experiment)
            for cell, members in sorted(cells.items()):
                row = rows[names_of(members[0])]
                parent = self._send_cell(client, experiment, known, cell, members, row, counts)
                for record in members:
                    _send_replicate(client, experiment, known, cell, parent, record, counts)
        return +counts

    def _experiment(self, client: MlflowClient, suite: str) -> str:
        found = client.get_experiment_by_name(suite)
        if found is not None:
            return str(found.experiment_id)
        remote = urlsplit(self.uri).scheme in {"http", "https"}
        place = None if remote else self._artifacts.as_uri()
        return str(client.create_experiment(suite, artifact_location=place))

    def _send_cell(
        self,
        client: MlflowClient,
        experiment: str,
        known: dict[str, Run],
        cell: str,
        members: list[Record],
        row: Row,
        counts: Counts,
    ) -> str:
        """Create or update the parent run of a cell; its run id."""
        from leaderboard.render import row_state, score_text

        metrics = _row_metrics(row)
        old = known.get(cell)
        if old is None:
            started = min(map(_start, members))
            tags = {CELL: cell, "bench.suite": members[0].suite, "bench.league": row.league or ""}
            run = client.create_run(experiment, start_time=started, tags=tags, run_name=_cell_name(members[0]))
            run_id, present = str(run.info.run_id), set[str]()
            counts["cells"] += 1
        else:
            run_id = str(old.info.run_id)
            present = {Path(file.path).name for file in client.list_artifacts(run_id, "sets")}
        if old is None or _board_metrics(old) != metrics:
            tags = {NOTE: f"{score_text(row.summary) if row.summary else row_state(row)}, {row.ok}/{row.planned} ok"}
            tags |= {REASON: row.reason or "", "bench.league": row.league or ""}
            _log(client, run_id, metrics, {} if old else _plugin_params(members[0]), tags)
            failed = any(row.statuses[status] for status in ("failed", "timeout", "oom"))
            if failed or row.complete or not row.applicable:  # a cell that still runs stays open
                client.set_terminated(run_id, "FAILED" if failed else "FINISHED", max(map(_end, members)))
            counts["updated"] += old is not None
        for set_key in dict.fromkeys(record.set_key for record in members if record.set_key):
            path = self.store.out / "sets" / f"{set_key}.json"
            if path.name not in present and path.exists():
                if not present:  # sets of a cell share what they were made of
                    for report in self.store.reports(set_key):
                        _send_report(client, run_id, report)
                client.log_artifact(run_id, str(path), "sets")
                present.add(path.name)
                counts["sets"] += 1
        return run_id


def _send_report(client: MlflowClient, run_id: str, report: dict[str, Any]) -> None:
    """Curves as metrics over their steps, facts as tags, in batches as large as MLflow takes."""
    from mlflow.entities import Metric, RunTag

    now = int(time.time() * 1000)
    metrics = [
        Metric(_report_name(report, name), float(y), now, int(x))
        for name, points in report["curves"].items()
        for x, y in zip(points["x"], points["y"], strict=True)
    ]
    tags = [RunTag(_report_name(report, name), str(value)[:5000]) for name, value in report["facts"].items()]
    for place in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[place : place + 1000])
    for place in range(0, len(tags), 100):
        client.log_batch(run_id, tags=tags[place : place + 100])


def _board_metrics(run: Run) -> dict[str, float]:
    return {name: value for name, value in run.data.metrics.items() if not name.startswith(TRAINING)}


def _report_name(report: dict[str, Any], name: str) -> str:
    """What MLflow allows in a name: a path of letters, digits and a few signs."""
    return f"{TRAINING}{report['kind']}/" + re.sub(r"[^\w.-]+", " ", name).strip(" .")[:150]


def _end(record: Record) -> int:
    return _milliseconds(record.time.finished)


def _start(record: Record) -> int:
    return _end(record) - int(1000 * record.time.student_s)


def _known_runs(client: MlflowClient, experiment: str) -> dict[str, Run]:
    """Runs that are there already, by the key of their replicate, or of their cell for parents."""
    found: dict[str, Run] = {}
    token: str | None = None
    while True:
        batch = client.search_runs([experiment], max_results=1000, page_token=token)
        for run in batch:
            name = run.data.tags.get(KEY) or run.data.tags.get(CELL)
            if name:
                found[name] = run
        token = batch.token
        if not token:
            return found


def _log(client: MlflowClient, run_id: str, metrics: dict[str, float], params: dict[str, str], tags: Any) -> None:
    """One batch; MLflow takes at most 100 parameters and 100 tags in each."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    items = list(params.items())
    client.log_batch(
        run_id,
        metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
        params=[Param(name, value) for name, value in items[:100]],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )
    for place in range(100, len(items), 100):
        client.log_batch(run_id, params=[Param(name, value) for name, value in items[place : place + 100]])


def _send_replicate(
    client: MlflowClient,
    experiment: str,
    known: dict[str, Run],
    cell: str,
    parent: str,
    record: Record,
    counts: Counts,
) -> None:
    """Create the child run of a replicate, or update it when the replicate was computed again."""
    old = known.get(record.key)
    tags = _record_tags(record)
    if old is not None and all(old.data.tags.get(name) == tags[name] for name in (STATUS, FINISHED)):
        return
    if old is None:
        name = f"set {record.set} run {record.run}"
        tags[PARENT] = parent
        run = client.create_run(experiment, start_time=_start(record), tags=tags, run_name=name)
        params = _plugin_params(record) | {"set": str(record.set), "run": str(record.run)}
        _log(client, run.info.run_id, _record_metrics(record), params, {})
        run_id = run.info.run_id
    else:
        run_id = old.info.run_id
        _log(client, run_id, _record_metrics(record), {}, tags)
    client.set_terminated(run_id, RUN_STATUS.get(record.status, "FAILED"), _end(record))
    counts["replicates" if old is None else "updated"] += 1


def track(store: ResultStore, uri: str | None, warn: Callable[[str], None]) -> Counts | None:
    """`Tracker.sync`, with a failure turned into one warning line; None then."""
    try:
        return Tracker(store, uri).sync()
    except TrackingError as error:
        warn(str(error))
        return None
