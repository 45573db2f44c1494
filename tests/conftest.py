"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch and BLAS load; two threads each on two cores crawl
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from hypothesis import settings

from bench.settings import cores

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

MOST_WORKERS = 8
WORKER_BYTES = 3e9  # 1.7 GB with torch after many tests, and the processes that a test starts


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Processes for `-n auto`: one a core as far as memory goes; none beside this one for a single file."""
    files = {argument.partition("::")[0] for argument in config.args}
    if len(files) == 1 and os.path.isfile(*files):
        return 0
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    workers = min(cores(), MOST_WORKERS, int(memory / WORKER_BYTES))
    return workers if workers > 1 else 0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for all tests that were skipped for the same reason."""
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", ()))
    for reason, count in reasons.items():
        terminalreporter.write_line(f"{count} skipped: {reason.removeprefix('Skipped: ')}")


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random BERT encoder with its tokenizer; read it, do not write to it."""
    from bench.testing import build_tiny_encoder

    return build_tiny_encoder(tmp_path_factory.mktemp("tiny-encoder"))


@dataclass(frozen=True)
class Bench:
    """The `bench` command in a process of its own, from an empty folder, with its own cache."""

    folder: Path
    environment: dict[str, str]

    def command(self, *words: str) -> list[str]:
        """Words for subprocess: what the console script does, whatever is installed on the PATH."""
        return [sys.executable, "-P", "-c", "from bench.cli.main import main; main()", *words]

    def __call__(self, *words: str, code: int | None = 0, **more: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; `code` is the exit code that is expected, `more` changes the environment."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert code is None or done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start it and go on."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # ignored in a background job
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """The command with a fresh cache; BENCH_CACHE of the caller is not used."""
    folder = tmp_path / "work"
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in {"BENCH_PLUGINS", "HF_HUB_OFFLINE"}}
    return Bench(folder, environment | {"BENCH_CACHE": str(tmp_path / "cache")})
