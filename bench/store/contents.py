"""What the files of a finished folder hold: noted when it is made, compared when a process first uses it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.store.identity import file_digest

Contents = dict[str, dict[str, Any]]  # relative name -> {"size": bytes, "sha256": hex}
SETTLED_NS = 100_000_000  # a file this young may change again within one tick of its time stamp

_known: dict[tuple[int, ...], str] = {}  # state of a file -> its digest


def contents_of(folder: Path) -> Contents:
    """Size and SHA-256 of every file under a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": file_digest(path)}
        for path in files
    }


def checked_contents(noted: Any) -> Contents:
    """A note read from JSON as it was written. Raises ValueError when it is no such note."""
    try:
        return {str(name): {"size": int(each["size"]), "sha256": str(each["sha256"])} for name, each in noted.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("no list of files with their sizes and hashes") from error


def damaged_file(folder: Path, noted: Contents) -> str | None:
    """The first file that is missing or not what was noted of it, or None."""
    for name, each in noted.items():
        try:
            same = (folder / name).stat().st_size == each["size"] and known_digest(folder / name) == each["sha256"]
        except OSError:
            return name
        if not same:
            return name
    return None


def known_digest(path: Path) -> str:
    """Hex SHA-256 of a file: read once a process, and again only when its size, time or inode changed."""
    status = path.stat()
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if state not in _known:
        digest = file_digest(path)
        if time.time_ns() - status.st_mtime_ns < SETTLED_NS:
            return digest
        _known[state] = digest
    return _known[state]
