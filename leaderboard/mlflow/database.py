"""Opening MLflow quietly, its own database in an output folder included; its failures as one line each."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bench.errors import UserError
from bench.store.filling import fill

if TYPE_CHECKING:
    from mlflow import MlflowClient

QUIET = {  # read by mlflow when it is imported; a value that the user has set stays
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # 7 by default: minutes of waiting for a server that is not there
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
NO_DAMAGE = ("locked", "disk is full", "readonly database")  # what sqlite says of a file that is whole


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


@contextlib.contextmanager
def explained(uri: str) -> Iterator[None]:
    """Any failure of MLflow, its database or its server as one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        text = str(error).replace(_user_part(uri) or "\0", "").strip()
        reason = text.splitlines()[0][:200] if text else type(error).__name__
        file = sqlite_file(uri)
        if file is not None and file.is_file() and not any(word in text for word in NO_DAMAGE):
            mend = f"when {file} is damaged or was made only in part, delete it (it is a view of them), then"
        else:
            mend = "later,"
        raise TrackingError(
            f"MLflow at {shown_uri(uri)} did not take the results ({reason}); "
            f"they are kept in the output folder: {mend} send them with `bench track --resend`"
        ) from error


def sqlite_file(uri: str) -> Path | None:
    """The database file of a sqlite URI."""
    return Path(urlsplit(uri).path[1:]) if uri.startswith("sqlite:///") else None


@contextlib.contextmanager
def unsynced(active: bool) -> Iterator[None]:
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


def open_client(uri: str, artifacts: Path) -> MlflowClient:
    """A client of the server or database at `uri`, whose sqlite file is made when it is missing; for one at a time."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    file = sqlite_file(uri)
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
