"""An append-only file of lines: whole lines or none, whoever dies, reads or writes beside."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.store.files import explained, regular_file, sync_folder

BLOCK = 1 << 16  # bytes


class Journal:
    """One writer at a time (the caller sees to that), any number of readers, no lock for these."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self._what = what
        self._last = b""  # the last line that was read, and where it ends
        self._end = 0

    def append(self, lines: Sequence[bytes]) -> None:
        """Add lines by one write and one sync: all of them, or none and an error."""
        data = b"".join(line + b"\n" for line in lines)
        with explained(self.path.parent):
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                before = os.fstat(fd).st_size
                try:
                    if os.write(fd, data) != len(data):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    os.fsync(fd)
                except OSError:
                    os.ftruncate(fd, before)
                    raise
            finally:
                os.close(fd)
            if not before:
                sync_folder(self.path.parent)

    def mend_end(self, is_whole: Callable[[bytes], bool]) -> int:
        """Cut off a last line without its end, which a crash in the middle of a write leaves. For the writer.

        A whole one gets its end: an editor may have left it out. Returns the number of bytes that were cut off.
        """
        if not self.path.exists():
            return 0
        with open(self.path, "r+b") as file:
            place = size = file.seek(0, os.SEEK_END)
            while place:
                start = max(0, place - BLOCK)
                file.seek(start)
                newline = file.read(place - start).rfind(b"\n")
                if newline >= 0:
                    place = start + newline + 1
                    break
                place = start
            if place == size:
                return 0
            file.seek(place)
            if is_whole(file.read()):
                file.write(b"\n")
                return 0
            file.truncate(place)
            return size - place

    def is_continued(self) -> bool:
        """Whether what was read still stands; otherwise the next `news` begin at the first line again."""
        if not self._end:
            return True
        with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
            file.seek(self._end - len(self._last))
            if file.read(len(self._last)) == self._last:
                return True
        self._last, self._end = b"", 0
        return False

    def news(self) -> Iterator[bytes]:
        """The whole lines that were not read yet, without their ends."""
        if not self.path.exists():
            return
        with open(regular_file(self.path, self._what), "rb") as file:
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._last, self._end = line, self._end + len(line)
                yield line[:-1]
