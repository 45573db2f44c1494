"""Students on embeddings through the whole engine: a method's set, kept, lent to a worker's student, recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from bench.store.artifacts import Artifacts
from bench.store.predictions import Predictions
from bench.store.sets import load_set
from bench.testing import topic_task
from bench.work.lending import lend_set
from students.encoder import EncoderStudent
from students.params import EncoderParams
from tests.bench.conftest import records
from tests.learner_models import MakeContext

PLUGIN = Path(__file__).parent / "table_plugin.py"


def test_cells_at_embedding_level(
    tiny_encoder: Path, tmp_path: Path, context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What workers record is what the student answers here, on the same set with the same seed, alone."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    common: dict[str, Any] = {"model": str(tiny_encoder), "trainable_layers": 2}
    students = [{**common, "steps": 40, "learning_rate": 0.003}, {**common, "recipe": "learned-sgd"}]
    bench.run(
        tasks=["topics"],
        methods=[f"table[encoder={tiny_encoder},layer={layer}]" for layer in (1, 2)],
        students=[f"encoder[{','.join(f'{name}={value}' for name, value in each.items())}]" for each in students],
        dpc=3,
        sets=1,
        runs=1,
        plugins=[str(PLUGIN)],
        mlflow=False,
        jobs=1,
        out=str(tmp_path / "out"),
    )
    found = {
        (each["method"]["params"]["layer"], each["student"]["params"]["recipe"]): each
        for each in records(tmp_path / "out")
    }
    assert len(found) == 4
    for params in students:
        recipe = params.get("recipe", "standard")
        reason = found[1, recipe]["reason"]
        assert reason.endswith("this student reads that of layer 0 or 2: trainable_layers=3 fits")
        record = found[2, recipe]
        assert (record["status"], record["league"]) == ("ok", "C")
        folder = Artifacts(tmp_path / "cache").get("set", record["set_key"])
        assert folder is not None
        queries = topic_task().queries()
        ctx = context(record["seed"]["run"], queries)
        answer = EncoderStudent(EncoderParams(**params)).predict(lend_set(load_set(folder)), queries, ctx)
        assert len(set(answer.tolist())) > 1
        np.testing.assert_array_equal(Predictions(**record["predictions"]).labels(), answer)
