"""Folders of assets in the cache, complete and with a list of their files' hashes."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

from bench.errors import UserError
from bench.store import filling
from bench.store.contents import checked_contents, contents_of, damaged_file
from bench.store.files import is_full

MANIFEST = ".manifest.json"  # relative name -> size and SHA-256; written last, inside the folder

READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST})


class Unreachable(Exception):
    """A source did not deliver; the message is the cause in a few words.

    `down`: the source as a whole did not answer, so asking it for more is in vain.
    """

    def __init__(self, cause: str, down: bool = False) -> None:
        super().__init__(cause)
        self.down = down


def is_complete(folder: Path) -> bool:
    """Whether `folder` holds every file of its manifest in its full length (contents are not read)."""
    try:
        files = checked_contents(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        return all(os.stat(folder / name).st_size == each["size"] for name, each in files.items())
    except (OSError, ValueError):
        return False


def damage(folder: Path) -> str | None:
    """The file that makes `folder` absent or damaged, contents included, or None; each file is read once a process."""
    try:
        return damaged_file(folder, checked_contents(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))))
    except (OSError, ValueError):
        return MANIFEST


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files under a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def install(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Make `folder` complete: `fill(empty)` writes the files, one process at a time, then one rename.

    A process that waited for the lock uses what the other one made; a damaged folder is replaced.
    Raises UserError when the cache cannot be written.
    """

    def make(partial: Path) -> None:
        partial.mkdir()
        fill(partial)
        (partial / MANIFEST).write_text(json.dumps(contents_of(partial)), encoding="utf-8")

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the cache {folder.parent} ({error.strerror}): give --cache DIR") from error
    try:
        partial, lock = (folder.parent / f".{folder.name}.{word}" for word in ("partial", "lock"))
        filling.fill(folder, make, lambda: damage(folder) is None, part=partial, lock=lock)
    except Exception as error:
        if is_full(error):
            raise UserError(f"no space left for the cache {folder.parent}: free some, or give --cache DIR") from error
        if isinstance(error, OSError) and error.errno in READ_ONLY:
            raise UserError(f"cannot write the cache {folder.parent} ({error.strerror}): give --cache DIR") from error
        raise
    return folder
