"""Students on embeddings through the whole engine: a method's set, kept, lent to a worker's student, recorded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import bench
from bench.session import Session
from bench.settings import Settings
from bench.store.artifacts import Artifacts
from bench.store.sets import load_set
from bench.testing import topic_task
from students.encoder import EncoderStudent
from students.params import EncoderParams
from tests.learner_models import MakeContext

PLUGIN = Path(__file__).parent / "table_plugin.py"


def test_a_cell_at_embedding_level(
    tiny_encoder: Path, tmp_path: Path, context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    params = [
        {"model": str(tiny_encoder), "trainable_layers": 2, "steps": 5},
        {"model": str(tiny_encoder), "trainable_layers": 2, "recipe": "learned-sgd"},
    ]
    students = [f"encoder[{','.join(f'{name}={value}' for name, value in each.items())}]" for each in params]
    results = bench.run(
        tasks=["topics"],
        methods=[f"table[encoder={tiny_encoder},layer={layer}]" for layer in (0, 1, 2)],
        students=[*students, f"probe[encoder={tiny_encoder}]"],
        dpc=1,
        sets=1,
        runs=1,
        plugins=[str(PLUGIN)],
        mlflow=False,
        jobs=1,
        out=str(tmp_path / "out"),
    )
    frame = results.frame()
    print(frame.T.to_string())
    assert 0
