"""The journal of what was sent: it says what it was told, to other processes too, and nothing when it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from leaderboard.mlflow.sent import Run, Sent

PLACE, OTHER = ("pocket", "ab" * 32), ("glue", "ab" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tracking.jsonl"


def started(path: Path, uri: str = "a") -> Sent:
    sent = Sent(path, uri)
    sent.start()
    return sent


def test_what_was_noted_is_read_by_another_process(path: Path) -> None:
    mine, other = started(path), Sent(path, "a")
    assert other.read()
    mine.announce([PLACE, OTHER])
    mine.note({PLACE: Run("r1", "s1", {"b.json", "a.json"})})
    assert other.read()
    assert other.runs == {PLACE: Run("r1", "s1", {"a.json", "b.json"})}
    assert other.doubtful == {OTHER}
    other.note({PLACE: Run("r1", "s2"), OTHER: Run("r2", "s3")})
    assert mine.read()
    assert (mine.runs[PLACE].stamp, mine.runs[OTHER].id, mine.doubtful) == ("s2", "r2", set())


def test_whole_until_something_more_is_announced(path: Path) -> None:
    sent = started(path)
    sent.finish("digest")
    assert Sent(path, "a").whole == "", "not read yet"
    again = Sent(path, "a")
    assert again.read()
    assert again.whole == "digest"
    again.announce([PLACE])
    assert again.whole == ""


def test_nothing_is_known_of_another_uri_or_without_a_journal(path: Path) -> None:
    assert not Sent(path, "a").read()
    started(path).note({PLACE: Run("r", "s")})
    other = Sent(path, "b")
    assert not other.read()
    assert "password" not in path.read_text()


def test_a_new_beginning_is_seen_by_who_read_the_old_one(path: Path) -> None:
    mine, other = started(path), Sent(path, "a")
    mine.note({PLACE: Run("r1", "s1")})
    assert other.read()
    mine.start()
    assert other.read()
    assert other.runs == {}


@pytest.mark.parametrize("line", [b"{}\n", b"[]\n", b'["run", 1]\n', b'["else"]\n', b"\xff\n", b'["uri"]\n', b"3\n"])
def test_a_damaged_line_makes_all_unknown(path: Path, line: bytes) -> None:
    started(path).note({PLACE: Run("r1", "s1")})
    with open(path, "ab") as file:
        file.write(line)
    sent = Sent(path, "a")
    assert not sent.read()
    assert sent.runs == {}


def test_a_torn_line_is_cut_off(path: Path) -> None:
    started(path).note({PLACE: Run("r1", "s1")})
    with open(path, "ab") as file:
        file.write(b'["run","pocket","cd')
    sent = Sent(path, "a")
    assert sent.read()
    sent.note({OTHER: Run("r2", "s2")})
    again = Sent(path, "a")
    assert again.read()
    assert set(again.runs) == {PLACE, OTHER}
