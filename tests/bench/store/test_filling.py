"""Lock, fill, rename: whole or absent, made once by however many processes, whatever was left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.store.filling import fill, remove


def make_folder(part: Path) -> None:
    part.mkdir()
    (part / "content").write_text("whole")


def make_file(part: Path) -> None:
    part.write_text("whole")


MAKERS = pytest.mark.parametrize(("make", "content"), [(make_folder, "place/content"), (make_file, "place")])


def filled(tmp_path: Path, make: Callable[[Path], None], content: str) -> None:
    def is_whole() -> bool:
        return (tmp_path / content).is_file() and (tmp_path / content).read_text() == "whole"

    fill(tmp_path / "place", make, is_whole, part=tmp_path / "parts" / "one", lock=tmp_path / "place.lock")


@MAKERS
def test_it_is_made_once(tmp_path: Path, make: Callable[[Path], None], content: str) -> None:
    made = []

    def counted(part: Path) -> None:
        made.append(part)
        make(part)

    for _ in range(2):
        filled(tmp_path, counted, content)
    assert (tmp_path / content).read_text() == "whole"
    assert made == [tmp_path / "parts" / "one"]
    assert list((tmp_path / "parts").iterdir()) == []


@MAKERS
@pytest.mark.parametrize("left", [make_folder, make_file])
def test_what_was_left_or_damaged_is_replaced(
    tmp_path: Path, make: Callable[[Path], None], content: str, left: Callable[[Path], None]
) -> None:
    (tmp_path / "parts").mkdir()
    left(tmp_path / "parts" / "one")
    make(tmp_path / "place")
    (tmp_path / content).write_text("dam")
    filled(tmp_path, make, content)
    assert (tmp_path / content).read_text() == "whole"
    assert not (tmp_path / "parts" / "one").exists()


@MAKERS
def test_a_maker_that_fails_leaves_the_old_and_no_part(
    tmp_path: Path, make: Callable[[Path], None], content: str
) -> None:
    def fails(part: Path) -> None:
        make(part)
        raise OSError("the disk died")

    make(tmp_path / "place")
    (tmp_path / content).write_text("old")
    with pytest.raises(OSError, match="the disk died"):
        filled(tmp_path, fails, content)
    assert (tmp_path / content).read_text() == "old"
    assert not (tmp_path / "parts" / "one").exists()
    filled(tmp_path, make, content)
    assert (tmp_path / content).read_text() == "whole"


PROGRAM = """
import os, sys, time
from pathlib import Path
from bench.store.filling import fill

root, dies = Path(sys.argv[1]), sys.argv[2] == "dies"

def make(part):
    part.mkdir()
    for number in range(20):
        (part / str(number)).write_text("whole")
        time.sleep(0.005)
        if dies and number == 10:
            os.kill(os.getpid(), 9)
    with open(root / "made", "a") as file:
        file.write("1")

place = root / "place"
fill(place, make, place.is_dir, part=root / "part", lock=root / "lock")
assert len(list(place.iterdir())) == 20
"""


def test_many_processes_make_it_once_and_one_that_was_killed_is_no_harm(tmp_path: Path) -> None:
    words = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    assert subprocess.run([*words, "dies"], check=False).returncode == -9
    assert len(list((tmp_path / "part").iterdir())) == 11
    assert not (tmp_path / "place").exists()
    for process in [subprocess.Popen([*words, "lives"]) for _ in range(4)]:
        assert process.wait() == 0
    assert (tmp_path / "made").read_text() == "1"
    assert not (tmp_path / "part").exists()


def test_removing_what_is_not_there_or_a_link_is_no_harm(tmp_path: Path) -> None:
    make_folder(tmp_path / "mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    remove(tmp_path / "none")
    remove(tmp_path / "link")
    assert (tmp_path / "mine" / "content").exists()
    assert not (tmp_path / "link").is_symlink()
