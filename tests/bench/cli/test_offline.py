"""A whole offline run, workers, MLflow and boards included, makes no connection."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.conftest import records
from tests.conftest import Bench

WATCH = """
import os, sys
def note(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto"}:
        with open(os.environ["BENCH_TEST_SOCKETS"], "a") as file:
            file.write(f"{sys.argv} {event} {arguments}\\n")
sys.addaudithook(note)
"""


@pytest.fixture
def watch(tmp_path: Path) -> dict[str, str]:
    """Environment in which every Python process notes its connections; `BENCH_TEST_SOCKETS` is the file."""
    folder = tmp_path / "watch"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WATCH)
    return {"PYTHONPATH": str(folder), "BENCH_TEST_SOCKETS": str(tmp_path / "sockets.txt")}


def test_the_watch_sees_connections(bench: Bench, watch: dict[str, str]) -> None:
    code = "import socket; s = socket.socket(); s.settimeout(1); print(s.connect_ex(('127.0.0.1', 9)))"
    subprocess.run([sys.executable, "-c", code], env=bench.environment | watch, check=True, timeout=60)
    assert "socket.connect" in Path(watch["BENCH_TEST_SOCKETS"]).read_text()


def test_an_offline_run_makes_no_connection(sample: Any, watch: dict[str, str]) -> None:
    words = [
        word for word in sample.words("run", "--offline", "--dpc", "2", "--methods", "pick") if word != "--no-mlflow"
    ]
    done = sample.bench(*words, **watch)
    assert len(records(sample.bench.folder / "bench-out")) == 6
    assert (sample.bench.folder / "bench-out" / "mlflow.db").exists()
    assert "warning" not in done.stderr
    assert not Path(watch["BENCH_TEST_SOCKETS"]).exists(), Path(watch["BENCH_TEST_SOCKETS"]).read_text()
