"""A machine without a browser: the tests that need one are skipped in one line, or fail where one is required."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leaderboard.chromium import find_chromium

ROOT = Path(__file__).parents[2]
PAGE = "tests/leaderboard/test_page.py"
MEND = "no Chromium on the PATH (Debian: apt-get install chromium)"


def test_without_a_browser_its_tests_are_skipped_in_one_line(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", PAGE, "-k", "sort"]
    environment = {**os.environ, "PATH": str(tmp_path), "BENCH_TEST_BROWSER": ""}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    skipped = [line for line in done.stdout.splitlines() if "skipped: " in line]
    assert skipped == [f"3 skipped: the HTML board was not opened in a browser ({PAGE}): {MEND}"]


def test_a_browser_may_be_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("BENCH_TEST_BROWSER", "required")
    with pytest.raises(AssertionError, match="no Chromium on the PATH"):
        find_chromium()
