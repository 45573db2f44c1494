"""Files and folders that appear at once and whole, whatever dies or runs beside: lock, fill, rename."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def fill(
    place: Path, make: Callable[[Path], None], is_whole: Callable[[], bool], *, part: Path, lock: Path | None
) -> None:
    """Make `place` whole: `make(part)` makes a file or folder under another name, on the same disk; then one rename.

    One process makes it while others wait for `lock`, and these find it whole; None: the caller holds a lock. What a
    killed process left under `part` is removed first, a damaged `place` last. Whatever goes wrong, `part` is gone.
    """
    if lock is not None:
        with FileLock(lock):
            fill(place, make, is_whole, part=part, lock=None)
        return
    if is_whole():
        return
    remove(part)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        make(part)
        if place.is_dir():
            shutil.rmtree(place)
        os.replace(part, place)
    finally:
        remove(part)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there and as far as that is possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
