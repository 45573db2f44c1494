"""Global state that a plugin leaves changed is put back and named; what libraries set at import is no fault."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.data.assets import Assets
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.work.context import JobContext
from bench.work.process_state import ProcessState


@contextlib.contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessState]:
    """The state of this process, put back at the end; the generators to where the tests had them."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    generators = random.getstate(), np.random.get_state(), torch.get_rng_state()
    state = ProcessState()
    try:
        yield state
    finally:
        state.restore()
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        torch.set_rng_state(generators[2])


CHANGES = {
    "the environment (GUILTY)": lambda: os.environ.update(GUILTY="1"),
    "the environment (OMP_NUM_THREADS)": lambda: os.environ.pop("OMP_NUM_THREADS"),
    "the working directory": lambda: os.chdir("/"),
    "sys.path": lambda: sys.path.insert(0, "/nowhere"),
    "the warnings filters": lambda: warnings.simplefilter("error"),
    "the signal handlers": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "a timer": lambda: signal.setitimer(signal.ITIMER_REAL, 1000),
    "the default timeout of sockets": lambda: socket.setdefaulttimeout(1),
    "the recursion limit": lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 1),
    "sys.stdout": lambda: setattr(sys, "stdout", sys.__stderr__),
    "the flushing of denormal numbers": lambda: torch.set_flush_denormal(True),
    "random's global generator": random.random,
    "numpy's global generator": np.random.rand,
    "numpy's error handling": lambda: np.seterr(divide="raise"),
    "numpy's print options": lambda: np.set_printoptions(precision=2),
    "torch's global generator": lambda: torch.rand(1),
    "torch's number of threads": lambda: torch.set_num_threads(2),
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's default device": lambda: torch.set_default_device("meta"),
    "torch's gradient mode": lambda: torch.set_grad_enabled(False),
    "torch's deterministic mode": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "torch's precision of matrix products": lambda: torch.set_float32_matmul_precision("medium"),
    "torch.backends.mkldnn.enabled": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "torch.backends.cudnn.benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_named_and_put_back(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with watched(monkeypatch) as state:
        CHANGES[name]()
        assert state.restore() == [name]
        assert state.restore() == []


def test_generators_start_alike_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with watched(monkeypatch) as state:
        first = random.random(), np.random.rand(), torch.rand(1).item()
        state.restore()
        assert (random.random(), np.random.rand(), torch.rand(1).item()) == first
        ProcessState()
        assert (random.random(), np.random.rand(), torch.rand(1).item()) == first


def run(code: str, **more: str) -> str:
    """What a process of its own prints."""
    words = [sys.executable, "-c", code]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | more
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout


def test_a_library_that_is_imported_in_a_job_is_judged_by_its_defaults() -> None:
    code = """
import numpy, os
from bench.work.process_state import ProcessState
state = ProcessState()
import sklearn.cluster, torch, students.encoder, methods.gen_distill.method
print(state.restore())
import os, torch, xml.dom
torch.set_num_threads(2), torch.set_default_dtype(torch.float64)
print(state.restore(), state.restore())
"""
    changed = '["torch\'s number of threads", "torch\'s default dtype"]'
    assert run(code).splitlines() == ["[]", f"{changed} []"]
    imported_there = """
import numpy
from bench.work.process_state import ProcessState
state = ProcessState()
import os
os.environ["OMP_NUM_THREADS"] = "2"
import torch
torch.set_default_dtype(torch.float64), torch.rand(1)
print("; ".join(state.restore()), "|", torch.get_num_threads(), torch.get_default_dtype())
"""
    names = [
        "the environment (OMP_NUM_THREADS)",
        "torch's number of threads",
        "torch's default dtype",
        "torch's global generator",
    ]
    assert run(imported_there).strip() == f"{'; '.join(names)} | 1 torch.float32"


def test_the_engine_computes_features_under_its_own_settings(
    monkeypatch: pytest.MonkeyPatch, tiny_encoder: Path, tmp_path: Path
) -> None:
    def settings() -> tuple[Any, ...]:
        return torch.get_num_threads(), torch.get_default_dtype(), np.geterr()["over"]

    seen = []
    with watched(monkeypatch) as state:
        ctx = JobContext(
            Assets({}, Settings(cache=tmp_path)),
            Artifacts(tmp_path),
            on_progress=lambda *progress: seen.append(settings()),
            engine=state.engine,
        )
        torch.set_num_threads(2)
        torch.set_default_dtype(torch.float64)
        np.seterr(over="ignore")
        ctx.embed({"text": ["a text"]}, str(tiny_encoder))
        assert seen == [(1, torch.float32, "warn")]
        assert settings() == (2, torch.float64, "ignore")
