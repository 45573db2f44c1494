"""`bench doctor` reads every file of the caches: damaged ones are named, those without hashes counted."""

from __future__ import annotations

import json
from pathlib import Path

from bench.cli.doctor import contents
from bench.data.install import install
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.store.contents import contents_of


def fill(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "x.bin").write_bytes(bytes(1000))


def test_damaged_files_are_named_and_older_ones_counted(tmp_path: Path) -> None:
    settings = Settings.make(cache=tmp_path)
    assert [(check.state, check.found) for check in contents(settings)] == [
        ("ok", "0 assets are whole"),
        ("ok", "0 artifacts are whole"),
    ]
    made = [Artifacts(tmp_path).make("kind", {"n": n}, fill) for n in range(4)]
    assets = [install(tmp_path / "assets" / f"asset-{n}", fill) for n in range(3)]
    with Artifacts(tmp_path).workspace("kind", "ab" * 32):  # neither checkpoints nor locks are artifacts
        assert [check.found for check in contents(settings)] == ["3 assets are whole", "4 artifacts are whole"]
    for folder in (made[0], assets[0]):
        (folder / "deep" / "x.bin").write_bytes(b"1" + bytes(999))
    (made[1] / "artifact.json").write_text(json.dumps({"fields": {}, "sizes": {"deep/x.bin": 1000}}))
    (made[2] / "artifact.json").write_text("{")
    assert list(contents_of(assets[1])) == [".manifest.json", "deep/x.bin"]
    (assets[1] / ".manifest.json").write_text(json.dumps({"deep/x.bin": 1000}))
    found = list(contents(settings))
    damaged = {
        f"{folder}: missing, or not what it was"
        for folder in (made[0] / "deep" / "x.bin", made[2] / "artifact.json", assets[0] / "deep" / "x.bin")
    }
    assert {check.found for check in found if check.state == "fail"} == damaged
    assert all("the next run that needs it" in check.mend for check in found if check.state == "fail")
    assert [check.found for check in found if check.state != "fail"] == [
        "1 assets are whole",
        "1 assets of an older version, without hashes",
        "1 artifacts are whole",
        "1 artifacts of an older version, without hashes",
    ]
