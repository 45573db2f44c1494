"""The artifact store: folders addressed by what they were made from, written once, shared by all runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from bench.store.contents import Contents, checked_contents, contents_of, damaged_file
from bench.store.files import check_schema, explained, mark_schema
from bench.store.filling import fill, remove
from bench.store.identity import canonical, key_of
from bench.store.reports import REPORT, load_report

NOTE = "artifact.json"


def _noted(folder: Path) -> Contents:
    """What was noted of an artifact's files. OSError or ValueError without a note; LookupError in an older one."""
    note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    if not isinstance(note, dict):
        raise ValueError(f"{folder / NOTE} is no JSON object")
    return checked_contents(note["files"])


def damage(folder: Path) -> str | None:
    """The file that makes the artifact in `folder` absent or damaged, or None when it is whole."""
    try:
        return damaged_file(folder, _noted(folder))
    except (OSError, ValueError, LookupError):
        return NOTE


def is_older(folder: Path) -> bool:
    """Whether an older version made the artifact in `folder`, which noted no hashes."""
    try:
        _noted(folder)
    except (OSError, ValueError):
        return False
    except LookupError:
        return True
    return False


class Artifacts:
    """`<cache>/artifacts/<kind>/<key>/`: content and `artifact.json` (fields, and size and SHA-256 of each file).

    A folder appears by one rename, so it is whole or absent; a lock a key lets one process build while
    another waits. A folder whose files changed since is built again, and `said` gets a line for the user.
    """

    def __init__(self, cache: Path) -> None:
        self.root = cache / "artifacts"
        self.said: list[str] = []  # what the user should hear; whoever passes it on empties it
        with explained(cache):
            self.root.mkdir(parents=True, exist_ok=True)
        check_schema(self.root, "the cache", "delete that folder, or choose another with --cache")
        mark_schema(self.root)

    def folder(self, kind: str, key: str) -> Path:
        return self.root / kind / key[:2] / key

    def get(self, kind: str, key: str) -> Path | None:
        """The folder of an artifact, or None when it is absent or damaged."""
        folder = self.folder(kind, key)
        return folder if damage(folder) is None else None

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
        """Kind, key, own seconds and memory (None: unknown) of artifacts, key -> kind, and of all that made them."""
        todo, found = dict(parts), dict[str, dict[str, Any]]()
        while todo:
            key, kind = todo.popitem()
            if key not in found:
                noted = self.about(kind, key)
                found[key] = {"kind": kind, "key": key} | {name: noted.get(name) for name in ("seconds", "memory")}
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

        def make(part: Path) -> None:
            part.mkdir()
            build(part)
            files = contents_of(part)
            (part / NOTE).write_text(canonical({"fields": fields, "files": files, "about": about()}), encoding="utf-8")
            if folder.exists():
                self._say_damage(folder, files)

        part, lock = self.root / "parts" / f"{kind}-{key}", folder.with_suffix(".lock")
        with explained(self.root, "full"):
            fill(folder, make, lambda: self.get(kind, key) is not None, part=part, lock=lock)
        remove(self._workspace(kind, key))
        return folder

    def _say_damage(self, folder: Path, files: Contents) -> None:
        """Say that the damaged `folder` is replaced, and when it is not by the content that it was made with."""
        name = damage(folder)
        try:
            same = _noted(folder) == files
        except LookupError:  # an older version made it
            return
        except (OSError, ValueError):
            same = True  # nobody can tell
        rest = "" if same else " and differs from what was there first: earlier results with it may not repeat"
        self.said.append(f"{folder / (name or NOTE)} was damaged; it is computed again{rest}")

    def _workspace(self, kind: str, key: str) -> Path:
        return self.root.parent / "workspaces" / kind / key

    @contextmanager
    def workspace(self, kind: str, key: str) -> Iterator[Path]:
        """A folder for checkpoints on the way to an artifact: for one process at a time, kept until it is made."""
        folder = self._workspace(kind, key)
        with explained(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
        with explained(folder, "full"), FileLock(folder.with_suffix(".lock")):
            folder.mkdir(exist_ok=True)
            yield folder
            if self.get(kind, key) is not None:  # perhaps made by the process that this one waited for
                remove(folder)
