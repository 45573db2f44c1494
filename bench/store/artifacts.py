"""The artifact store: folders addressed by what they were made from, written once, shared by all runs."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from bench.store.files import check_schema, explained
from bench.store.identity import canonical, key_of
from bench.store.reports import REPORT, load_report


class Artifacts:
    """`<cache>/artifacts/<kind>/<key>/`: content and `artifact.json` (fields and file sizes).

    A folder appears by one rename, so it is whole or absent; a lock a key lets one process build while
    another waits. A folder whose files changed size since is built again.
    """

    def __init__(self, cache: Path) -> None:
        self.root = cache / "artifacts"
        with explained(cache):
            self.root.mkdir(parents=True, exist_ok=True)
        check_schema(self.root, "the cache", "delete that folder, or choose another with --cache")

    def folder(self, kind: str, key: str) -> Path:
        return self.root / kind / key[:2] / key

    def get(self, kind: str, key: str) -> Path | None:
        """The folder of an artifact, or None when it is absent or damaged."""
        folder = self.folder(kind, key)
        try:
            sizes = json.loads((folder / "artifact.json").read_text(encoding="utf-8"))["sizes"]
            whole = all((folder / name).stat().st_size == size for name, size in sizes.items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return folder if whole else None

    def report(self, kind: str, key: str) -> dict[str, Any] | None:
        """What an artifact tells of itself, with its kind and key, or None."""
        found = load_report(self.folder(kind, key), kind)
        return None if found is None else {"kind": kind, "key": key, **found}

    def reported(self, prefix: str) -> list[tuple[str, str]]:
        """(kind, key) of every artifact with a report whose key starts with `prefix`, of 2 hex digits or more."""
        found = self.root.glob(f"*/{prefix[:2]}/{prefix}*/{REPORT}")
        return sorted((file.parent.parent.parent.name, file.parent.name) for file in found)

    def about(self, kind: str, key: str) -> dict[str, Any]:
        """What was noted of an artifact when it was made (`make`); empty when nothing is known."""
        try:
            found = json.loads((self.folder(kind, key) / "artifact.json").read_text(encoding="utf-8"))
            return dict(found.get("about") or {})
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def lineage(self, parts: Mapping[str, str]) -> list[dict[str, Any]]:
        """Kind, key and own seconds (None: unknown) of artifacts, key -> kind, and of all that these were made of."""
        todo, found = dict(parts), dict[str, dict[str, Any]]()
        while todo:
            key, kind = todo.popitem()
            if key not in found:
                noted = self.about(kind, key)
                found[key] = {"kind": kind, "key": key, "seconds": noted.get("seconds")}
                todo |= noted.get("made_of") or {}
        return sorted(found.values(), key=lambda one: (one["kind"], one["key"]))

    def make(
        self,
        kind: str,
        fields: Mapping[str, Any],
        build: Callable[[Path], None],
        key: str | None = None,
        about: Callable[[], Mapping[str, Any]] = dict,
    ) -> Path:
        """The folder for these fields; `build(folder)` fills a new one when there is none.

        `about()` is noted beside the content once it is there: what is no part of it, such as seconds.
        """
        key = key or key_of({"kind": kind, **fields})
        found = self.get(kind, key)
        if found is not None:
            return found
        folder = self.folder(kind, key)
        with explained(self.root):
            folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            found = self.get(kind, key)
            if found is not None:
                return found
            part = self.root / "parts" / uuid.uuid4().hex
            try:
                with explained(self.root, "full"):
                    part.mkdir(parents=True)
                    build(part)
                    files = sorted(path for path in part.rglob("*") if path.is_file())
                    sizes = {path.relative_to(part).as_posix(): path.stat().st_size for path in files}
                    text = canonical({"fields": fields, "sizes": sizes, "about": about()})
                    (part / "artifact.json").write_text(text, encoding="utf-8")
                    if folder.exists():  # damaged
                        shutil.rmtree(folder)
                    os.rename(part, folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(self._workspace(kind, key), ignore_errors=True)
        return folder

    def _workspace(self, kind: str, key: str) -> Path:
        return self.root.parent / "workspaces" / kind / key

    @contextmanager
    def workspace(self, kind: str, key: str) -> Iterator[Path]:
        """A folder for checkpoints on the way to an artifact: for one process at a time, kept until it is made."""
        folder = self._workspace(kind, key)
        with explained(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            folder.mkdir(exist_ok=True)
            yield folder
            if self.get(kind, key) is not None:  # perhaps made by the process that this one waited for
                shutil.rmtree(folder, ignore_errors=True)
