"""Files that are either whole or absent: atomic writes, schema marks, and one line for a full disk."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from bench.errors import UserError
from bench.store.identity import SCHEMA

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
MARK = "schema.json"  # in a folder: the schema of what is in it
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")


@contextlib.contextmanager
def explained(where: Path, which: Literal["all", "full"] = "all") -> Iterator[None]:
    """Turn the operating system's refusals into one line each; what was finished before stays.

    "full" explains a full disk only, for blocks that run code whose other errors are its own.
    """
    try:
        yield
    except Exception as error:
        if is_full(error):
            raise UserError(f"no space left on the disk of {where}: free some, then run the same command") from error
        if which == "full" or not isinstance(error, OSError):
            raise
        if error.errno in {errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOENT, errno.ENAMETOOLONG}:
            raise UserError(f"cannot write to {where}: {error.strerror}; choose another folder") from error
        if error.errno in {errno.ENOTDIR, errno.EEXIST}:
            raise UserError(f"{where} is in the way: a file where a folder is needed") from error
        if error.errno == errno.EISDIR:
            taken = error.filename2 or error.filename or where
            raise UserError(f"{taken} is in the way: a folder where a file is needed") from error
        raise


def is_full(error: Exception) -> bool:
    """Whether a write failed for want of space, under a quota or limit too.

    Not every library keeps the error number: numpy counts what it could write, safetensors and pyarrow quote the text.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in NO_SPACE
    text = str(error)
    return SHORT_WRITE.search(text) is not None or any(os.strerror(number) in text for number in NO_SPACE)


def regular_file(path: Path, what: str) -> Path:
    """The path, when it leads to a regular file. UserError otherwise: reading a pipe or a device may never end."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise UserError(f"{what} {path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in it
        raise UserError(f"{what} {path}: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise UserError(f"{what} {path} is {kind}, not a file")
    return path


def sync_folder(folder: Path) -> None:
    """Let the names in a folder survive a power cut too, where the system knows how."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file, a text in UTF-8, so that a reader sees the old or the new content, never a part."""
    with explained(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        try:
            with open(part, "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
            sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """`write_atomic` of a JSON value, readable."""
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON value of a file; one line when it is truncated, not JSON, or no file."""
    try:
        return json.loads(regular_file(path, "the file").read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run again") from error


def check_schema(folder: Path, what: str, mend: str, known: Sequence[int] = (SCHEMA,)) -> None:
    """Refuse a folder that a bench of an unknown schema wrote; one without a mark is taken as it is."""
    mark = folder / MARK
    if mark.exists():
        found = read_json(mark)
        schema = found.get("schema") if isinstance(found, dict) else None
        if schema not in known:
            uses = " and ".join(map(str, known))
            raise UserError(f"{what} {folder} was written with schema {schema}, this bench uses {uses}: {mend}")


def mark_schema(folder: Path, schema: int = SCHEMA) -> None:
    """Mark a folder, after `check_schema`: from now on only a bench that knows this schema opens it."""
    mark = folder / MARK
    if not mark.exists() or read_json(mark)["schema"] != schema:
        write_json(mark, {"schema": schema})
