"""The peak of a job's memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from bench.work import memory
from bench.work.memory import STEP, Peak

LARGE = 300_000_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_a_peak_is_of_what_ran_since_its_start() -> None:
    peak = Peak("cpu")
    peak.start()
    before = peak.read()
    assert before is not None
    np.ones(LARGE // 8).sum()  # freed at once
    after = peak.read()
    assert after is not None
    assert after.process > before.process + 0.9 * LARGE
    assert (after.process % STEP, after.gpu) == (0, None)
    peak.start()
    later = peak.read()
    assert later is not None
    assert later.process < after.process - 0.5 * LARGE


def test_where_the_system_tells_nothing_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "CLEAR", tmp_path / "no" / "file")
    peak = Peak("cuda:0")
    assert peak.read() is None, "nothing has started"
    peak.start()
    assert peak.read() is None
